package imap

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"altmail.se/altmail/frontend/imapwire"
)

// untold are the response codes that a story cannot bring about, with the file
// of the test that does.
var untold = map[string]string{
	"COMPRESSIONACTIVE":    "compress_test.go",
	"INPROGRESS":           "progress_test.go",
	"INUSE":                "codes_test.go",
	"NOTIFICATIONOVERFLOW": "notify_test.go",
	"SERVERBUG":            "codes_test.go",
}

// TestAnswers: what is said of each failure of the rooms below, and of any
// other.
func TestAnswers(t *testing.T) {
	k := newKit(t, nil)
	for _, a := range append(slices.Clone(answers), struct {
		err        error
		code, text string
	}{errors.New("something else"), "SERVERBUG", "Internal error"}) {
		var out bytes.Buffer
		s := &session{srv: k.srv, w: imapwire.NewWriter(&out)}
		if err := s.answer("a", "X", fmt.Errorf("inside: %w", a.err)); err != nil {
			t.Fatal(err)
		}
		if err := s.w.Flush(); err != nil {
			t.Fatal(err)
		}
		want := "a NO " + a.text + "\r\n"
		if a.code != "" {
			want = "a NO [" + a.code + "] " + a.text + "\r\n"
		}
		if out.String() != want {
			t.Errorf("%v: %q, want %q", a.err, out.String(), want)
		}
	}
}

// codesOf returns the response codes that the package's source can send: what
// is given to no and Status, stands in answers, or is made with such a word in
// front.
func codesOf(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`^[A-Z]{2,}(-[A-Z]+)*$`)
	var all []string
	take := func(e ast.Expr) {
		ast.Inspect(e, func(n ast.Node) bool {
			l, ok := n.(*ast.BasicLit)
			if !ok || l.Kind != token.STRING {
				return true
			}
			s, err := strconv.Unquote(l.Value)
			if err != nil {
				t.Fatal(err)
			}
			word, _, _ := strings.Cut(s, " ")
			if code.MatchString(word) {
				all = append(all, word)
			}
			return true
		})
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				name := ""
				switch fun := n.Fun.(type) {
				case *ast.Ident:
					name = fun.Name
				case *ast.SelectorExpr:
					name = fun.Sel.Name
				}
				switch {
				case name == "no" && len(n.Args) == 2:
					take(n.Args[0])
				case (name == "Status" || name == "bye") && len(n.Args) == 4:
					take(n.Args[2])
				case name == "bye" && len(n.Args) > 0:
					take(n.Args[0])
				}
			case *ast.CompositeLit:
				// The rows of answers, and refusals made by hand.
				if len(n.Elts) != 3 {
					break
				}
				id, _ := n.Type.(*ast.Ident)
				_, row := n.Elts[0].(*ast.SelectorExpr)
				if row && n.Type == nil || id != nil && id.Name == "refusal" {
					take(n.Elts[1])
				}
			case *ast.AssignStmt:
				for i, l := range n.Lhs {
					if id, ok := l.(*ast.Ident); ok && id.Name == "code" && len(n.Rhs) == len(n.Lhs) {
						take(n.Rhs[i])
					}
				}
			}
			return true
		})
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestResponseCodes: each response code that is sent is in a story.
func TestResponseCodes(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.story")
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for _, f := range stories {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		told.Write(b)
	}
	codes := codesOf(t)
	if len(codes) < 30 {
		t.Errorf("only %d codes were found: %v", len(codes), codes)
	}
	t.Log(codes)
	for _, c := range codes {
		in := regexp.MustCompile(`(OK|NO|BAD|BYE|PREAUTH) \[` + c + `[] ]`).MatchString(told.String())
		test := untold[c]
		switch {
		case in && test != "":
			t.Errorf("%s is in a story after all", c)
		case !in && test == "":
			t.Errorf("no story has %s", c)
		case test != "":
			if b, err := os.ReadFile(test); err != nil || !strings.Contains(string(b), c) {
				t.Errorf("%s does not have %s: %v", test, c, err)
			}
		}
	}
}
