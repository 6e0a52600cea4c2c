package passwd

import (
	"errors"
	"strings"
	"testing"
)

// What `doveadm pw` made of one password.
var dovecotHashes = []string{
	"{SHA512-CRYPT}$6$0WX/SGCylwAnhcTh$OIx83SqLUKW7rjOsYwedIhmiuwhh/MUK8vhrxxsujs74T.o57NSBrHEmiBSJvNb.uPNgUuyFQmNPK0w2V.7rY1",
	"{SHA512-CRYPT}$6$rounds=7000$TCaBPWRjvQxy4AKz$DfLyyUDOOyUrI.28wmQ4kNCbS6v5CVqeVYBmw3LHT3fSWAEsii4woWlRvVCiWzaLkIJArmsK3KfJaQwIMHa/e.",
	"{SHA256-CRYPT}$5$5VS2veVVzZZSo0Tg$z4uDjQX3wWQkgw2dAfxsHR6oOUrvG4Xraz5CfplW/I9",
	"{BLF-CRYPT}$2y$05$ASrHVyVjuJX8EOuEa13cKO2OwD9Fw0fZC0XqUp11SdYPqqSqAVgui",
	"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$iCKF7Vyublg92ClXgwtCBw$TqMLbNZhItvAyrOb9DYtJRG/TBNOoNluQouXq4jIMfA",
	"{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$vx+wF5+oVspajIncaTOqtA$HmlBMM+HwEEtkiGaEfdMANTCBvOYbhrAUrjCWoDPPl0",
	"{PBKDF2}$1$niP4vAvLb6xLLBy5$5000$c54e9a7169ee31f87eb119df935e063ab5b0a913",
	"{SSHA512}40EhHXyixQblQmgq1tnQNGvmKPgt4Ky7xadZ1RwIAKM6cX8M8jdY2SBgQH+7aB3qdF+Jb2ankonpCHJ0p76MhWkg9dQ=",
	"{SSHA256}2C53J39GBsLRLTfHphRS6fcaG7E09dd21yZPAUo6DrQGJMS1",
	"{SCRAM-SHA-256}4096,UxtUqo4ftmLQG/oOCLSyTA==,JX+MKht72YH0AHiV53mibfhsRT47+nyzN/hvfgOYNT8=,v4a8OZNk5c5GJD+91Z8xxLW61+KKZrijpfnQAosK13M=",
	"{SSHA512.HEX}94b2c5bc57e0229066b84e46647d382b147938b0b63063817f82edc782fa5ff6a966b42940dab8649b08819f8fc405d4ca880a95c479762befbae8307b6726704e56f1b6",
	"{CRYPT}$2y$05$74RBb/BAWfI6ccBScqLjwerjbiBktwE2VoLmTbmxhfHKdKiQ.paDW",
	"$5$5VS2veVVzZZSo0Tg$z4uDjQX3wWQkgw2dAfxsHR6oOUrvG4Xraz5CfplW/I9",
}

func TestDovecotSchemes(t *testing.T) {
	for _, h := range dovecotHashes {
		c, err := ParseDovecot(h, "")
		if err != nil {
			t.Errorf("%s: %v", h, err)
			continue
		}
		if !c.Check([]byte("pencil å")) {
			t.Errorf("%s: the password is not taken", h)
		}
		if !c.Check([]byte("pencil a\u030a")) {
			t.Errorf("%s: not as prepared", h)
		}
		for _, wrong := range []string{"", "pencil", "pencil å ", "Pencil å", strings.Repeat("x", MaxPassword+1)} {
			if c.Check([]byte(wrong)) {
				t.Errorf("%s: %q is taken", h, wrong)
			}
		}
		back, err := ParseChecker(c.Encode())
		if err != nil || back.Encode() != c.Encode() || !back.Check([]byte("pencil å")) {
			t.Errorf("%s came back as %v, %v", h, back, err)
		}
	}
}

func TestDovecotRefused(t *testing.T) {
	for _, h := range []string{
		"", "*", "!", "{PLAIN", "{SHA512-CRYPT}", "{SHA512-CRYPT}!", "{MD5}x", "{CRYPT}abJnggxhB/yWI", "{SHA1}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
		"{SHA512-CRYPT}$6$rounds=999$abc$" + strings.Repeat("a", 86), "{SHA512-CRYPT}$6$rounds=99999999$abc$" + strings.Repeat("a", 86),
		"{SHA512-CRYPT}$6$abc$short", "{SHA512-CRYPT}$5$abc$" + strings.Repeat("a", 86), "{SHA256-CRYPT}$5$12345678901234567$" + strings.Repeat("a", 43),
		"{BLF-CRYPT}$2y$31$74RBb/BAWfI6ccBScqLjwerjbiBktwE2VoLmTbmxhfHKdKiQ.paDW", "{BLF-CRYPT}$2y$05$74",
		"{ARGON2I}$argon2i$v=19$m=3276800,t=4,p=1$vx+wF5+oVspajIncaTOqtA$HmlBMM+HwEEtkiGaEfdMANTCBvOYbhrAUrjCWoDPPl0",
		"{PBKDF2}$1$salt$0$c54e9a7169ee31f87eb119df935e063ab5b0a913", "{PBKDF2}$1$salt$5000$c5", "{PBKDF2}$2$salt$5000$c54e9a7169ee31f87eb119df935e063ab5b0a913",
		"{SSHA512}AAAA", "{SSHA256.UTF8}2C53J39GBsLRLTfHphRS6fcaG7E09dd21yZPAUo6DrQGJMS1", "{SCRAM-SHA-256}4096,a,b", "{SCRAM-SHA-256}1,UxtUqo4ftmLQG/oOCLSyTA==,a,b",
		"{SSHA256}2C53J39GBsLRLTfHphRS6fcaG7E09dd21yZPAUo6DrQGJMS1\n", "{SSHA256}" + strings.Repeat("A", 1000),
	} {
		if c, err := ParseDovecot(h, ""); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v %v", h, c, err)
		}
	}
	for _, h := range []string{"{PLAIN}pencil å", "{clear}pencil å", "{CLEARTEXT}pencil å"} {
		if _, err := ParseDovecot(h, ""); !errors.Is(err, ErrCleartext) {
			t.Errorf("%q: %v", h, err)
		}
		if pw, ok := Cleartext(h, ""); !ok || string(pw) != "pencil å" {
			t.Errorf("%q: %q %v", h, pw, ok)
		}
		if _, err := ParseChecker(h); !errors.Is(err, ErrCleartext) {
			t.Errorf("%q as a record: %v", h, err)
		}
	}
	if pw, ok := Cleartext("x", "PLAIN"); !ok || string(pw) != "x" {
		t.Errorf("by the default scheme: %q %v", pw, ok)
	}
	if _, ok := Cleartext("{SSHA256}x", ""); ok {
		t.Error("a hash is told to be a password")
	}
}

// Whatever a passwd-file holds is refused or comes back as it was; its check
// never panics and never costs much.
func FuzzParseDovecot(f *testing.F) {
	for _, h := range dovecotHashes {
		f.Add(h, "")
	}
	f.Add("{PLAIN}x", "")
	f.Add("secret", "PLAIN")
	f.Fuzz(func(t *testing.T, field, scheme string) {
		c, err := ParseDovecot(field, scheme)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrCleartext) {
				t.Fatal(err)
			}
			return
		}
		back, err := ParseChecker(c.Encode())
		if err != nil || back.Encode() != c.Encode() {
			t.Fatalf("%q came back as %v, %v", c.Encode(), back, err)
		}
	})
}
