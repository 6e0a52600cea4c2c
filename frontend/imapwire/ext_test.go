package imapwire

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// accepts reports whether a command parses to its end.
func accepts(t *testing.T, in string, parse func(*Scanner)) bool {
	t.Helper()
	s := scan(t, in, false)
	parse(s)
	return s.End() == nil
}

func TestPreviewArgs(t *testing.T) {
	for in, want := range map[string][]FetchItem{
		"a FETCH 1 PREVIEW":                               {FetchPreview},
		"a FETCH 1 preview (lazy)":                        {FetchPreviewLazy},
		"a FETCH 1 PREVIEW (LAZY LAZY)":                   {FetchPreviewLazy},
		"a FETCH 1 PREVIEW (CHANGEDSINCE 5)":              {FetchPreview},
		"a FETCH 1 PREVIEW (LAZY) (CHANGEDSINCE 5)":       {FetchPreviewLazy},
		"a FETCH 1 (PREVIEW)":                             {FetchPreview},
		"a FETCH 1 (UID PREVIEW (LAZY) FLAGS)":            {FetchUID, FetchPreviewLazy, FetchFlags},
		"a FETCH 1 (PREVIEW FLAGS)":                       {FetchPreview, FetchFlags},
		"a FETCH 1 (FLAGS PREVIEW (LAZY))":                {FetchFlags, FetchPreviewLazy},
		"a UID FETCH $ (PREVIEW (LAZY)) (CHANGEDSINCE 5)": {FetchPreviewLazy},
	} {
		s := scan(t, in, false)
		f := s.Fetch()
		if err := s.End(); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if len(f.Atts) != len(want) {
			t.Errorf("%q: %v", in, f.Atts)
			continue
		}
		for i := range want {
			if f.Atts[i].Item != want[i] {
				t.Errorf("%q: item %d is %d", in, i, f.Atts[i].Item)
			}
		}
	}
	for _, in := range []string{
		"a FETCH 1 PREVIEW (", "a FETCH 1 PREVIEW (EAGER)", "a FETCH 1 (PREVIEW ())", "a FETCH 1 (PREVIEW (EAGER))",
		"a FETCH 1 PREVIEW (LAZY", "a FETCH 1 PREVIEW (LAZY X)", "a FETCH 1 PREVIEWS", "a FETCH 1 PREVIEW(LAZY)", "a FETCH 1 PREVIEW (LAZY) (LAZY)",
	} {
		if accepts(t, in, func(s *Scanner) { s.Fetch() }) {
			t.Errorf("%q is accepted", in)
		}
	}
}

func TestMessageURL(t *testing.T) {
	for in, want := range map[string]MessageURL{
		"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME": {"Drafts", 385759045, 20, &Section{Path: []int{1}, Text: SectionMIME, Name: "BODY[1.MIME]"}},
		"/inbox/;uid=1":                                  {"INBOX", 0, 1, &Section{Name: "BODY[]"}},
		"INBOX/;UID=1":                                   {"INBOX", 0, 1, &Section{Name: "BODY[]"}},
		"/a/b%2Fc%C3%A5/;UID=4294967295":                 {"a/b/cå", 0, 4294967295, &Section{Name: "BODY[]"}},
		";UID=7/;SECTION=TEXT":                           {"", 0, 7, &Section{Text: SectionBody, Name: "BODY[TEXT]"}},
		"/;UID=7":                                        {"", 0, 7, &Section{Name: "BODY[]"}},
		"/x/;UID=7/;PARTIAL=0.1024":                      {"x", 0, 7, &Section{Name: "BODY[]", Partial: true, Length: 1024}},
		"/x/;UID=7/;SECTION=1.2/;PARTIAL=5":              {"x", 0, 7, &Section{Path: []int{1, 2}, Name: "BODY[1.2]", Partial: true, Offset: 5, Length: 1<<63 - 1}},
		"/x/;UID=7/;SECTION=HEADER.FIELDS%20(To%20From)": {"x", 0, 7, &Section{Text: SectionHeaderFields, Fields: []string{"To", "From"}, Name: "BODY[HEADER.FIELDS (To From)]"}},
	} {
		got, ok := ParseMessageURL(in)
		if want.Section.Peek = true; !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %+v %v", in, got, got.Section, ok)
		}
	}
	for _, in := range []string{
		"", "/", "INBOX", "/INBOX", "/INBOX/;UID=", "/INBOX/;UID=0", "/INBOX/;UID=x", "/INBOX/;UID=+1", "/INBOX/;UID=4294967296", "/INBOX;UID=1",
		"imap://alice@example.org/INBOX/;UID=1", "//example.org/INBOX/;UID=1", "/INBOX;UIDVALIDITY=0/;UID=1", "/INBOX;UIDVALIDITY=x/;UID=1",
		"/;UIDVALIDITY=1/;UID=1", "/INBOX/;UID=1/", "/INBOX/;UID=1/;SECTION=", "/INBOX/;UID=1/;SECTION=X", "/INBOX/;UID=1/;SECTION=1.", "/INBOX/;UID=1/;SECTION=0",
		"/INBOX/;UID=1/;PARTIAL=", "/INBOX/;UID=1/;PARTIAL=1.0", "/INBOX/;UID=1/;PARTIAL=x", "/INBOX/;UID=1/;PARTIAL=1.2.3", "/INBOX/;UID=1/x",
		"/INBOX/;UID=1;URLAUTH=anonymous:INTERNAL:00", "/INBOX/;UID=1/;SECTION=1;URLAUTH=anonymous", "/IN%ZZ/;UID=1", "/IN%F/;UID=1", "/IN%ff/;UID=1",
		"/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20({1}%0D%0Ax)", "/INBOX/;UID=1/;SECTION=TEXT%0D%0A", "/INBOX/;UID=1/;PARTIAL=0.1/;SECTION=1",
	} {
		if u, ok := ParseMessageURL(in); ok {
			t.Errorf("%q is a URL: %+v", in, u)
		}
	}
	if got := string(AppendURL(nil, "/a b]\r\nå/;UID=1")); got != "/a%20b%5D%0D%0A%C3%A5/;UID=1" {
		t.Error(got)
	}
}

func FuzzMessageURL(f *testing.F) {
	f.Add("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME/;PARTIAL=1.2")
	f.Add(";UID=7/;SECTION=HEADER.FIELDS%20(To%20From)")
	f.Fuzz(func(t *testing.T, in string) {
		if u, ok := ParseMessageURL(in); ok && (u.UID == 0 || u.Section == nil || !utf8.ValidString(u.Mailbox)) {
			t.Fatalf("%+v", u)
		}
		for _, c := range AppendURL(nil, in) {
			if c == ']' || c <= ' ' || c >= 0x7f {
				t.Fatalf("%q", in)
			}
		}
	})
}

func TestAppendArgs(t *testing.T) {
	for _, in := range []string{
		"a APPEND x CATENATE (TEXT {1+}\r\nb)", "a APPEND x CATENATE (URL /y/;UID=1)", "a APPEND x catenate (url \"/y/;UID=1\" text {1+}\r\nb TEXT {0+}\r\n)",
		"a APPEND x (\\Seen) \" 5-Nov-2026 01:02:03 +0100\" CATENATE (UTF8 (~{1+}\r\nb) URL z) {1+}\r\nc CATENATE (URL {1+}\r\nz)",
	} {
		if !accepts(t, in, func(s *Scanner) { s.Append() }) {
			t.Errorf("%q is refused", in)
		}
	}
	for _, in := range []string{
		"a APPEND x CATENATE", "a APPEND x CATENATE ()", "a APPEND x CATENATE (", "a APPEND x CATENATE (TEXT)", "a APPEND x CATENATE (TEXT \"b\")",
		"a APPEND x CATENATE (URL)", "a APPEND x CATENATE (URL y", "a APPEND x CATENATE (DATA {1+}\r\nb)", "a APPEND x CATENATE TEXT {1+}\r\nb",
		"a APPEND x CATENATE (TEXT {1+}\r\nb) y", "a APPEND x CATENATE (UTF8 ~{1+}\r\nb)", "a APPEND x CATENATE (URL " + strings.Repeat("y", maxURL+1) + ")",
		"a APPEND x CATENATE (" + strings.Repeat("URL y ", maxParts+1) + ")", "a APPEND x CATENATE (TEXT {1+}\r\nb",
	} {
		if accepts(t, in, func(s *Scanner) { s.Append() }) {
			t.Errorf("%q is accepted", in)
		}
	}
	for _, in := range []string{
		"a REPLACE 4 x {1+}\r\nb", "a REPLACE * x (\\Seen) \" 5-Nov-2026 01:02:03 +0100\" ~{1+}\r\nb", "a UID REPLACE 4 {1+}\r\nx UTF8 (~{1+}\r\nb)",
		"a UID REPLACE 4 x CATENATE (URL y TEXT {1+}\r\nb)",
	} {
		if !accepts(t, in, func(s *Scanner) { s.Replace() }) {
			t.Errorf("%q is refused", in)
		}
	}
	for _, in := range []string{
		"a REPLACE", "a REPLACE 4", "a REPLACE 4 x", "a REPLACE 4:5 x {1+}\r\nb", "a REPLACE 4,5 x {1+}\r\nb", "a REPLACE 0 x {1+}\r\nb", "a REPLACE $ x {1+}\r\nb",
		"a REPLACE 4 x b", "a REPLACE 4 x {1+}\r\nb {1+}\r\nc", "a REPLACE 4 x (\\Seen {1+}\r\nb", "a REPLACE x x {1+}\r\nb",
	} {
		if accepts(t, in, func(s *Scanner) { s.Replace() }) {
			t.Errorf("%q is accepted", in)
		}
	}
}

// TestAppendSoFar: before each literal it is known whether it is a message.
func TestAppendSoFar(t *testing.T) {
	type asked struct {
		mailbox string
		message int
	}
	for in, want := range map[string][]asked{
		"a APPEND x {1+}\r\nb":                   {{"x", 1}},
		"a APPEND {1+}\r\nx {1+}\r\nb":           {{"", 0}, {"x", 1}},
		"a APPEND x UTF8 (~{1+}\r\nb) {1+}\r\nc": {{"x", 1}, {"x", 2}},
		"a APPEND x CATENATE (TEXT {1+}\r\nb URL {1+}\r\ny TEXT {1+}\r\nc) {1+}\r\nd": {{"x", 1}, {"x", 0}, {"x", 1}, {"x", 2}},
		"a REPLACE 7 x CATENATE (URL {1+}\r\ny UTF8 (~{1+}\r\nc))":                    {{"x", 0}, {"x", 1}},
		"a REPLACE 7 {1+}\r\nx {1+}\r\nc":                                             {{"", 0}, {"x", 1}},
	} {
		var got []asked
		gate := &testGate{lim: Limits{Command: 1 << 20, Literal: 1 << 20, Drain: 1 << 20}}
		gate.refuse = func(f *Frame, l *Literal) error {
			s := NewScanner(f, false)
			var a asked
			var err error
			if f.Name == "APPEND" {
				a.mailbox, a.message, err = s.AppendSoFar()
			} else {
				_, a.mailbox, a.message, err = s.ReplaceSoFar()
			}
			got = append(got, a)
			return err
		}
		rd := NewReader(&pipe{in: bytes.NewReader([]byte(in + "\r\n"))}, func() error { return nil })
		if err := rd.ReadFrame(new(Frame), gate); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
}

func TestNotifyArgs(t *testing.T) {
	for in, want := range map[string]Notify{
		"a NOTIFY NONE": {},
		"a notify set (selected (messagenew messageexpunge))": {Groups: []NotifyGroup{{Filter: NotifySelected, Events: NotifyMessages}}},
		"a NOTIFY SET STATUS (SELECTED-DELAYED (MessageNew (UID FLAGS) MessageExpunge FlagChange)) (SUBTREE Lists (MessageNew MessageExpunge)) (MAILBOXES (INBOX {1+}\r\nx) NONE)": {
			Status: true, Groups: []NotifyGroup{
				{Filter: NotifySelectedDelayed, Events: NotifyMessages | NotifyFlags, Atts: []FetchAtt{{Item: FetchUID}, {Item: FetchFlags}}},
				{Filter: NotifySubtree, Mailboxes: []string{"Lists"}, Events: NotifyMessages},
				{Filter: NotifyMailboxes, Mailboxes: []string{"INBOX", "x"}},
			}},
		"a NOTIFY SET (INBOXES (MailboxName)) (PERSONAL (SubscriptionChange)) (SUBSCRIBED (MailboxMetadataChange ServerMetadataChange))": {Groups: []NotifyGroup{
			{Filter: NotifyInboxes, Events: NotifyName}, {Filter: NotifyPersonal, Events: NotifySubscription},
			{Filter: NotifySubscribed, Events: NotifyMetadata | NotifyServerMetadata}}},
		"a NOTIFY SET (PERSONAL (X-NEW))":                                      {Unknown: true, Groups: []NotifyGroup{{Filter: NotifyPersonal}}},
		"a NOTIFY SET (PERSONAL (MessageNew MessageExpunge AnnotationChange))": {Unknown: true, Groups: []NotifyGroup{{Filter: NotifyPersonal, Events: NotifyMessages}}},
		"a NOTIFY SET (SELECTED NONE)":                                         {Groups: []NotifyGroup{{Filter: NotifySelected}}},
	} {
		s := scan(t, in, false)
		got := s.Notify()
		if err := s.End(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %v", in, got, err)
		}
	}
	for _, in := range []string{
		"a NOTIFY", "a NOTIFY ALL", "a NOTIFY NONE x", "a NOTIFY SET", "a NOTIFY SET STATUS", "a NOTIFY SET ()", "a NOTIFY SET (SELECTED)", "a NOTIFY SET SELECTED NONE",
		"a NOTIFY SET (SELECTED ())", "a NOTIFY SET (SELECTED (MessageNew))", "a NOTIFY SET (SELECTED (MessageExpunge))", "a NOTIFY SET (SELECTED (FlagChange))",
		"a NOTIFY SET (PERSONAL (MessageNew FlagChange))", "a NOTIFY SET (PERSONAL (AnnotationChange))", "a NOTIFY SET (SELECTED (MailboxName))",
		"a NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge SubscriptionChange))", "a NOTIFY SET (PERSONAL (MessageNew (UID) MessageExpunge))",
		"a NOTIFY SET (SELECTED NONE) (SELECTED-DELAYED NONE)", "a NOTIFY SET (SELECTED (MessageNew () MessageExpunge))", "a NOTIFY SET (SELECTED (MessageNew (X) MessageExpunge))",
		"a NOTIFY SET (SUBTREE NONE)", "a NOTIFY SET (SUBTREE () NONE)", "a NOTIFY SET (MAILBOXES NONE)", "a NOTIFY SET (NOWHERE NONE)", "a NOTIFY SET (PERSONAL MailboxName)",
		"a NOTIFY SET (PERSONAL NONE", "a NOTIFY SET (PERSONAL NONE)(INBOXES NONE)", "a NOTIFY SET " + strings.Repeat("(PERSONAL NONE) ", maxNotifyGroups+1),
		"a NOTIFY SET (MAILBOXES (" + strings.Repeat("x ", maxNotifyNames+1) + ") NONE)", "a NOTIFY SET (PERSONAL (" + strings.Repeat("x ", maxNotifyEvents+1) + "))",
	} {
		if accepts(t, in, func(s *Scanner) { s.Notify() }) {
			t.Errorf("%q is accepted", in)
		}
	}
}

func TestMetadataArgs(t *testing.T) {
	size := uint32(1024)
	for in, want := range map[string]GetMetadata{
		"a GETMETADATA \"\" /shared/comment":                     {Entries: []string{"/shared/comment"}},
		"a GETMETADATA inbox (/shared/comment \"/private/c d\")": {Mailbox: "INBOX", Entries: []string{"/shared/comment", "/private/c d"}},
		"a GETMETADATA (MAXSIZE 1024 DEPTH 1) x /shared/comment": {Mailbox: "x", MaxSize: &size, Depth: 1, Entries: []string{"/shared/comment"}},
		"a GETMETADATA x (maxsize 1024) (/shared/comment)":       {Mailbox: "x", MaxSize: &size, Entries: []string{"/shared/comment"}},
		"a GETMETADATA x (DEPTH infinity) {2+}\r\n/x":            {Mailbox: "x", Depth: -1, Entries: []string{"/x"}},
		"a GETMETADATA (DEPTH 0) x (/x)":                         {Mailbox: "x", Entries: []string{"/x"}},
	} {
		s := scan(t, in, false)
		got := s.GetMetadata()
		if err := s.End(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %v", in, got, err)
		}
	}
	for _, in := range []string{
		"a GETMETADATA", "a GETMETADATA x", "a GETMETADATA x ()", "a GETMETADATA () x /y", "a GETMETADATA (DEPTH 2) x /y", "a GETMETADATA (MAXSIZE) x /y",
		"a GETMETADATA (MAXSIZE -1) x /y", "a GETMETADATA (SIZE 1) x /y", "a GETMETADATA (DEPTH 1 DEPTH 0) x /y", "a GETMETADATA x (DEPTH 1)",
		"a GETMETADATA (DEPTH 1) x (DEPTH 1) /y", "a GETMETADATA x /y /z", "a GETMETADATA x (" + strings.Repeat("/y ", maxEntries+1) + ")",
	} {
		if accepts(t, in, func(s *Scanner) { s.GetMetadata() }) {
			t.Errorf("%q is accepted", in)
		}
	}
	s := scan(t, "a SETMETADATA x (/a \"\" /b NIL /c ~{2+}\r\nx\x00 {2+}\r\n/d {1+}\r\ny)", false)
	box, values := s.SetMetadata()
	if err := s.End(); err != nil || box != "x" || !reflect.DeepEqual(values, []MetadataValue{{"/a", []byte{}}, {"/b", nil}, {"/c", []byte("x\x00")}, {"/d", []byte("y")}}) {
		t.Errorf("%q %q %v", box, values, err)
	}
	for _, in := range []string{
		"a SETMETADATA", "a SETMETADATA x", "a SETMETADATA x ()", "a SETMETADATA x (/y)", "a SETMETADATA x (/y z)", "a SETMETADATA x /y NIL",
		"a SETMETADATA x (/y {1+}\r\n\x00)", "a SETMETADATA x (/y NIL", "a SETMETADATA x (" + strings.Repeat("/y NIL ", maxEntries+1) + ")",
	} {
		if accepts(t, in, func(s *Scanner) { s.SetMetadata() }) {
			t.Errorf("%q is accepted", in)
		}
	}
	for in, ok := range map[string]bool{
		"a LIST \"\" % RETURN (METADATA (/x))": true, "a LIST \"\" % RETURN (METADATA /x CHILDREN)": true,
		"a LIST \"\" % RETURN (METADATA)": false, "a LIST \"\" % RETURN (METADATA ())": false,
	} {
		if accepts(t, in, func(s *Scanner) { s.ListArgs() }) != ok {
			t.Errorf("%q: accepted is %v", in, !ok)
		}
	}
}
