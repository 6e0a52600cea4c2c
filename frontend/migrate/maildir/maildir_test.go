package maildir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/mailstore"
)

func TestParseUIDList(t *testing.T) {
	for _, c := range []struct {
		text string
		want *UIDList
	}{
		{"3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,\n" +
			"25017 W2481 S2400 :1276533073.M242911P3632.kurkku:2,F\n",
			&UIDList{1275660208, 25022, map[string]uint32{"1276528487.M364837P9451.kurkku,S=1355,W=1394": 25006, "1276533073.M242911P3632.kurkku": 25017}}},
		{"1 1173189136 221\n1 1173189136.x\n220 1173189137.y:2,S\n", &UIDList{1173189136, 221, map[string]uint32{"1173189136.x": 1, "1173189137.y": 220}}},
		{"3 V1 N1\n", &UIDList{1, 1, map[string]uint32{}}},
		// A file listed twice, and a next UID that lags behind.
		{"3 V1 N2\n1 :a\n5 :a\n", &UIDList{1, 6, map[string]uint32{"a": 5}}},
	} {
		got, err := ParseUIDList(strings.NewReader(c.text))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v %v", c.text, got, err)
		}
	}
	for _, text := range []string{
		"", "2 V1 N1\n", "3 N1\n", "3 V0 N1\n", "3 V1 N99999999999\n", "3 V1 N1\nx :a\n", "3 V1 N1\n0 :a\n", "3 V1 N1\n1 a\n", "3 V1 N1\n1 :\n",
		"3 V1 N1\n1 :../../etc/passwd\n", "3 V1 N1\n1 :" + strings.Repeat("a", maxLine) + "\n", "1 1\n",
	} {
		if got, err := ParseUIDList(strings.NewReader(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%.60q: %+v %v", text, got, err)
		}
	}
}

func TestParseKeywords(t *testing.T) {
	got, err := ParseKeywords(strings.NewReader("0 $Forwarded\n1 NonJunk\n25 last\n26 beyond\n"))
	if err != nil || got[0] != "$Forwarded" || got[1] != "NonJunk" || got[25] != "last" || got[2] != "" {
		t.Errorf("%q %v", got, err)
	}
	for _, text := range []string{"x $Forwarded\n", "0\n", "0 \n", "-1 a\n"} {
		if _, err := ParseKeywords(strings.NewReader(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseSubscriptions(t *testing.T) {
	for text, want := range map[string][]string{
		"V\t2\n\nINBOX\nArchive\t2024\nR&AOQ-ksm&APY-rg&AOU-s\na\x01tb\n": {"INBOX", "Archive/2024", "Räksmörgås", "a\tb"},
		"INBOX\nArchive.2024\n": {"INBOX", "Archive/2024"},
		"":                      nil,
	} {
		got, err := ParseSubscriptions(strings.NewReader(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	if _, err := ParseSubscriptions(strings.NewReader("V\t3\n\nINBOX\n")); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}

func TestParseName(t *testing.T) {
	for in, want := range map[string]Name{
		"1276528487.M364837P9451.kurkku,S=1355,W=1394:2,FRSac": {"1276528487.M364837P9451.kurkku,S=1355,W=1394",
			mailstore.FlagFlagged | mailstore.FlagAnswered | mailstore.FlagSeen, []int{0, 2}, 1355, 1394},
		"a":              {Base: "a", Size: -1, VSize: -1},
		"a,S=x,W=-1:2,":  {Base: "a,S=x,W=-1", Size: -1, VSize: -1},
		"a,S,,=:2,PDT":   {Base: "a,S,,=", Flags: mailstore.FlagDraft | mailstore.FlagDeleted, Size: -1, VSize: -1},
		"a:1,FRS":        {Base: "a", Size: -1, VSize: -1},
		"a,S=1:2,Saa,x1": {Base: "a,S=1", Flags: mailstore.FlagSeen, Keywords: []int{0}, Size: 1, VSize: -1},
	} {
		if got := ParseName(in); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

func TestFolders(t *testing.T) {
	for name, dir := range map[string]string{
		"Archive/2024": "Archive.2024", "Räksmörgås": "R&AOQ-ksm&APY-rg&AOU-s", "a.b/c": `a\2eb.c`, `back\slash`: `back\5cslash`, "a & b": "a &- b",
	} {
		if got := FolderDir(name); got != dir {
			t.Errorf("%q is in %q, want %q", name, got, dir)
		}
		if got := FolderName(dir); got != name {
			t.Errorf("%q is %q, want %q", dir, got, name)
		}
	}
	for dir, name := range map[string]string{"Räksmörgås": "Räksmörgås", "a&bad": "a&bad", `x\2fy`: "x_y"} {
		if got := FolderName(dir); got != name {
			t.Errorf("%q is %q, want %q", dir, got, name)
		}
	}
}

func collect(t *testing.T, s migrate.Source, m migrate.Mailbox, after uint32) (out []*migrate.Message) {
	t.Helper()
	err := s.Messages(context.Background(), m, after, func(m *migrate.Message) error { out = append(out, m); return nil },
		func(uid uint32, why string) { t.Errorf("%d left out: %s", uid, why) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is written is read as it was.
func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Maildir")
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2019, 5, 4, 3, 2, 1, 0, time.UTC)
	want := []*migrate.Message{
		{UID: 3, Flags: mailstore.FlagSeen | mailstore.FlagDraft, Keywords: []string{"$Forwarded", "zwei"}, Date: at, Raw: []byte("A: b\r\n\r\nbare\nline\r\n")},
		{UID: 70, Keywords: []string{"zwei"}, Date: at.Add(time.Hour), Raw: []byte("A: c\r\n\r\nx")},
	}
	boxes := []migrate.Mailbox{
		{Name: "INBOX", UIDValidity: 1_234_567_890, UIDNext: 100, Messages: 2},
		{Name: "Empty", UIDValidity: 7, UIDNext: 1},
		{Name: "a.b/ö", UIDValidity: 8, UIDNext: 71, Messages: 2},
	}
	for _, b := range boxes {
		if err := w.Mailbox(b); err != nil {
			t.Fatal(err)
		}
		for _, m := range want[:b.Messages] {
			if _, lost, err := w.Message(m); err != nil || lost != nil {
				t.Fatal(lost, err)
			}
		}
	}
	if err := w.Close([]string{"INBOX", "a.b/ö"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir); err == nil {
		t.Error("a tree was written over")
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Mailboxes(context.Background())
	if err != nil || !reflect.DeepEqual(got, boxes) {
		t.Fatalf("%+v %v", got, err)
	}
	for _, b := range got {
		if msgs := collect(t, s, b, 0); len(msgs) != b.Messages || b.Messages > 0 && !reflect.DeepEqual(msgs, want) {
			t.Errorf("%s: %+v", b.Name, msgs)
		}
	}
	if msgs := collect(t, s, got[0], 3); len(msgs) != 1 || msgs[0].UID != 70 {
		t.Errorf("after 3: %+v", msgs)
	}
	if subs, err := s.Subscriptions(context.Background()); err != nil || !reflect.DeepEqual(subs, []string{"INBOX", "a.b/ö"}) {
		t.Errorf("%q %v", subs, err)
	}
	if s.Mismatches != 0 {
		t.Errorf("%d sizes differ", s.Mismatches)
	}
}

// A Maildir in use: files without a UID, and one that changes its name after it
// was listed.
func TestLiving(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"cur", "new", "tmp", ".Sub/cur", ".nofolder"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("dovecot-uidlist", "3 V55 N10\n4 :b\n9 :gone\n")
	write("cur/b:2,", "A: b\n\nx\n")
	write("new/20.d", "A: d\n\nx\n")
	write("new/10.c,S=99", "A: c\n\nx\n")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := s.Mailboxes(context.Background())
	if err != nil || len(boxes) != 2 || boxes[0] != (migrate.Mailbox{Name: "INBOX", UIDValidity: 55, UIDNext: 12, Messages: 3}) || boxes[1].Name != "Sub" {
		t.Fatalf("%+v %v", boxes, err)
	}
	var got []string
	err = s.Messages(context.Background(), boxes[0], 0, func(m *migrate.Message) error {
		got = append(got, strings.SplitN(string(m.Raw), "\r\n", 2)[0])
		if m.UID == 4 {
			if err := os.Rename(filepath.Join(dir, "new/10.c,S=99"), filepath.Join(dir, "cur/10.c,S=99:2,S")); err != nil {
				return err
			}
		} else if m.UID == 10 && m.Flags != mailstore.FlagSeen {
			t.Errorf("flags %v of a file that was renamed", m.Flags)
		}
		return nil
	}, func(uint32, string) { t.Error("left out") })
	if err != nil || strings.Join(got, " ") != "A: b A: c A: d" || s.Mismatches != 1 {
		t.Errorf("%q %v, %d sizes differ", got, err, s.Mismatches)
	}
}

func FuzzParseUIDList(f *testing.F) {
	f.Add("3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n25006 W1 :1276528487.M364837P9451.kurkku,S=1355:2,\n")
	f.Add("1 1173189136 221\n1 1173189136.x\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseUIDList(strings.NewReader(text))
		if err != nil {
			return
		}
		for name, uid := range l.UIDs {
			if uid == 0 || uid >= l.NextUID || name == "" || strings.ContainsAny(name, ":/\n") {
				t.Fatalf("%q has UID %d, the next is %d", name, uid, l.NextUID)
			}
		}
	})
}

func FuzzParseKeywords(f *testing.F) {
	f.Add("0 $Forwarded\n25 x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ParseKeywords(strings.NewReader(text)); err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		if _, err := ParseSubscriptions(strings.NewReader(text)); err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("1276528487.M364837P9451.kurkku,S=1355,W=1394:2,FRSac")
	f.Add(`a\2eb.&AOQ-.c`)
	f.Fuzz(func(t *testing.T, s string) {
		n := ParseName(s)
		if !strings.HasPrefix(s, n.Base) || n.Flags&^mailstore.AllFlags != 0 || n.Size < -1 || n.VSize < -1 {
			t.Fatalf("%q: %+v", s, n)
		}
		name := FolderName(s)
		if strings.Count(name, "/") != strings.Count(s, ".") {
			t.Fatalf("%q has other levels than %q", name, s)
		}
	})
}
