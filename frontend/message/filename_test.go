package message

import (
	"testing"
	"unicode/utf8"
)

func TestFileName(t *testing.T) {
	for _, c := range []struct{ header, want string }{
		{"Content-Disposition: attachment; filename=report.pdf", "report.pdf"},
		{"Content-Disposition: attachment; FileName=\"a b.pdf\"", "a b.pdf"},
		{"Content-Type: application/pdf; name=typed.pdf", "typed.pdf"},
		{"Content-Type: application/pdf; name=typed.pdf\r\nContent-Disposition: inline; filename=shown.pdf", "shown.pdf"},
		{"Content-Disposition: attachment; filename*=utf-8''m%C3%B6te%20a.pdf", "möte a.pdf"},
		{"Content-Disposition: attachment; filename*=iso-8859-1'sv'm%F6te.pdf", "möte.pdf"},
		{"Content-Disposition: attachment; filename=plain.pdf; filename*=utf-8''m%C3%B6te.pdf", "möte.pdf"},
		{"Content-Disposition: attachment;\r\n filename*0*=utf-8''m%C3%B6te;\r\n filename*1=\" 100%25\";\r\n filename*2*=%20b.pdf", "möte 100%25 b.pdf"},
		{"Content-Disposition: attachment; filename*1=b; filename*0=a; filename*3=d", "ab"},
		{"Content-Disposition: attachment; filename=\"=?utf-8?Q?m=C3=B6te?=.pdf\"", "möte.pdf"},
		{"Content-Disposition: attachment; filename*=utf-8''100%zz%", "100%zz%"},
		{"Content-Disposition: attachment; filename*=x-nobody''a", "a"},
		{"Content-Disposition: attachment; filename*1=b", ""},
		{"Content-Disposition: attachment; filenames=a", ""},
		{"Content-Type: text/plain", ""},
	} {
		x := Parse([]byte(c.header + "\r\n\r\nbody"))
		if got := string(x.Parts[0].FileName()); got != c.want {
			t.Errorf("%q: %q, want %q", c.header, got, c.want)
		}
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("filename*0*", "utf-8''m%C3%B6te", "filename*1", "x")
	f.Add("filename*", "a'b'%zz", "filename", "=?utf-8?B?!?=")
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string) {
		p := Part{DispositionParams: []Param{{[]byte(n1), []byte(v1)}, {[]byte(n2), []byte(v2)}}}
		if got := p.FileName(); !utf8.Valid(got) {
			t.Fatalf("%q", got)
		}
	})
}
