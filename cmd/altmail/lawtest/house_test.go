package lawtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module   = "altmail.se/altmail"
	root     = "../../.."
	maxLines = 600
)

// rooms are the folders that hold code; the module has no others.
var rooms = []string{"bench", "cluster", "cmd", "crypto", "deploy", "frontend", "mailstore"}

// file is one Go file of the module.
type file struct {
	path string // below the module's root
	pkg  string // its folder
	test bool
	text []byte
	set  *token.FileSet
	tree *ast.File
}

func (f *file) generated() bool { return ast.IsGenerated(f.tree) }

func (f *file) lines() int { return bytes.Count(f.text, []byte("\n")) }

func (f *file) imports() []string {
	var out []string
	for _, s := range f.tree.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			p = s.Path.Value
		}
		out = append(out, p)
	}
	return out
}

// source parses every Go file, with all build tags.
func source(t *testing.T) []*file {
	t.Helper()
	var out []*file
	for _, room := range rooms {
		err := filepath.WalkDir(filepath.Join(root, room), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if n := d.Name(); n == "testdata" || strings.HasPrefix(n, ".") || strings.HasPrefix(n, "_") {
					return fs.SkipDir
				}
				return nil
			}
			if !strings.HasSuffix(p, ".go") {
				return nil
			}
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, rel, text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			out = append(out, &file{
				path: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"),
				text: text, set: set, tree: tree,
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) < 50 {
		t.Fatalf("only %d Go files found; the root is not where it should be", len(out))
	}
	return out
}

// TestPackageComments: a package says what it is for, in one place.
func TestPackageComments(t *testing.T) {
	docs := map[string][]string{}
	written := map[string]bool{}
	for _, f := range source(t) {
		if f.test || f.generated() {
			continue
		}
		written[f.pkg] = true
		if f.tree.Doc != nil && strings.TrimSpace(f.tree.Doc.Text()) != "" {
			docs[f.pkg] = append(docs[f.pkg], f.path)
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(written)) {
		switch d := docs[pkg]; len(d) {
		case 0:
			t.Errorf("%s has no package comment", pkg)
		case 1:
		default:
			t.Errorf("%s has %d package comments: %s", pkg, len(d), strings.Join(d, ", "))
		}
	}
}

// longFiles are over the limit for a reason that has been looked at.
var longFiles = map[string]string{}

// TestFileLength: past the limit, ask what room is missing.
func TestFileLength(t *testing.T) {
	over := map[string]bool{}
	for _, f := range source(t) {
		if f.test || f.generated() || f.lines() <= maxLines {
			continue
		}
		over[f.path] = true
		if _, ok := longFiles[f.path]; !ok {
			t.Errorf("%s has %d lines, %d are wanted at most", f.path, f.lines(), maxLines)
		}
	}
	for p := range longFiles {
		if !over[p] {
			t.Errorf("%s is short again: take it off the list", p)
		}
	}
}

// sleepers are the tests that may sleep, and why: the clock is synctest's, a
// condition is polled against a deadline, or time itself is what is tested.
var sleepers = map[string]string{
	"bench/load/backfill_test.go":         "plays a slow server, and phases that are measured by time",
	"cluster/group/hold_test.go":          "counts calls in a stretch of time",
	"cluster/group/lane_test.go":          "synctest",
	"cluster/member/leave_test.go":        "polls a condition",
	"cluster/transport/broken_test.go":    "plays a slow line",
	"cluster/transport/transport_test.go": "polls a condition",
	"cluster/node/node_test.go":           "polls a condition",
	"cmd/altmail/clock_faults_test.go":    "synctest",
	"crypto/passwd/passwd_test.go":        "synctest",
	"frontend/auth/share_test.go":         "synctest",
	"frontend/auth/throttle_test.go":      "synctest",
	"frontend/smtp/directory_test.go":     "synctest",
	"frontend/smtp/fuzz_test.go":          "lets the server wait before the line breaks",
	"frontend/smtp/helper_test.go":        "polls a condition",
	"frontend/smtp/server_test.go":        "plays a trickling client",
	"mailstore/body/hook_test.go":         "polls a condition",
	"mailstore/body/peers_test.go":        "synctest",
	"mailstore/body/reclaim_test.go":      "synctest",
	"mailstore/commit/helpers_test.go":    "polls a condition",
	"mailstore/state/erase_test.go":       "polls a condition",
}

// TestNoSleep: a test that sleeps to wait is slow on a fast machine and wrong
// on a slow one.
func TestNoSleep(t *testing.T) {
	for _, f := range source(t) {
		if !f.test {
			continue
		}
		var at []string
		name := timePackage(f.tree)
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
					at = append(at, f.set.Position(s.Pos()).String())
				}
			}
			return true
		})
		why, listed := sleepers[f.path]
		switch {
		case len(at) > 0 && !listed:
			t.Errorf("sleeps: %s", strings.Join(at, ", "))
		case why == "synctest" && !slices.Contains(f.imports(), "testing/synctest"):
			t.Errorf("%s sleeps on the real clock", f.path)
		}
	}
	// A name that stays behind does no harm: tests are moved about often.
}

// timePackage is the name a file knows package time by.
func timePackage(f *ast.File) string {
	for _, s := range f.Imports {
		if s.Path.Value == `"time"` && s.Name != nil {
			return s.Name.Name
		}
	}
	return "time"
}

// formats are the packages that define bytes on a disk or a wire.
var formats = []string{
	"cluster/group", "cluster/logstore", "cluster/snapshot", "cluster/transport",
	"crypto/cryptfs", "crypto/keyring", "crypto/pki", "crypto/seal",
	"frontend/message",
	"mailstore/backup/repo", "mailstore/backup/source", "mailstore/body", "mailstore/command", "mailstore/lookup", "mailstore/search", "mailstore/state",
}

// TestPapers: what must lie beside the code.
func TestPapers(t *testing.T) {
	want := []string{"README.md", "LICENSE", "go.mod", "deploy/README.md", "deploy/altmail.service", "deploy/altmail.sysusers"}
	for _, room := range []string{"cluster", "crypto", "frontend", "mailstore"} {
		want = append(want, room+"/DESIGN.md")
	}
	for _, p := range formats {
		want = append(want, p+"/FORMAT.md")
	}
	for _, p := range want {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p)))
		if err != nil {
			t.Error(err)
		} else if len(bytes.TrimSpace(b)) < 50 {
			t.Errorf("%s says nothing", p)
		}
	}
	if b, err := os.ReadFile(filepath.Join(root, "LICENSE")); err == nil && !bytes.Contains(b, []byte("MIT License")) {
		t.Error("LICENSE is not the MIT license")
	}
}
