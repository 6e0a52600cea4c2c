package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/admin/adminpb/adminpbconnect"
)

// Risks of importing passwords.
const (
	riskPlain   = "plain-passwords" // a file that holds passwords themselves
	riskReplace = "replace-passwords"
)

type accountImportPasswdCmd struct {
	configFlag
	File       string      `arg:"" help:"A passwd-file, which nobody else may read: user:{SCHEME}hash:… a line." type:"path"`
	Domain     string      `help:"Domain of users whose names have none." placeholder:"DOMAIN"`
	Scheme     string      `help:"Scheme of passwords that do not name theirs." default:"CRYPT"`
	Quota      config.Size `help:"Bytes each new account may hold; 0 is no limit." default:"0"`
	AcceptRisk []string    `help:"In spite of a named risk: plain-passwords (the file holds some that are not hashed; they are hashed on the way in), replace-passwords (of accounts that exist)." placeholder:"RISK"`
}

// passwdLine is a user of a passwd-file.
type passwdLine struct {
	number  int
	address string
	check   passwd.Checker // nil: clear
	clear   []byte
}

// Run reads the whole file before it changes anything.
func (c *accountImportPasswdCmd) Run(e *env) error {
	users, bad, err := c.read(e)
	if err != nil {
		return err
	}
	a, err := c.dial()
	if err != nil {
		return err
	}
	made, replaced, kept := 0, 0, 0
	for i := range users {
		u := &users[i]
		did, err := c.user(e, a, u)
		if err != nil {
			return fmt.Errorf("%s: %w", u.address, err)
		}
		switch did {
		case "made":
			made++
		case "replaced":
			replaced++
		default:
			kept++
		}
	}
	if _, err := fmt.Fprintf(e.stdout, "%d accounts made, %d passwords replaced, %d accounts left as they are\n", made, replaced, kept); err != nil {
		return err
	}
	switch {
	case bad > 0:
		return codedf(exitPartly, "%d lines could not be taken; see above", bad)
	case kept > 0:
		return codedf(exitPartly, "%d accounts are there already and keep their passwords (--accept-risk=%s to replace them)", kept, riskReplace)
	}
	return nil
}

// read takes the file apart. Lines that cannot be taken are told and counted.
func (c *accountImportPasswdCmd) read(e *env) (users []passwdLine, bad int, err error) {
	f, err := openSecret(c.File)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		u, err := c.line(n, sc.Text())
		if errors.Is(err, passwd.ErrCleartext) {
			return nil, 0, codedf(exitNotAllowed, "%s:%d: %w (--accept-risk=%s to take it, hashed)", c.File, n, err, riskPlain)
		}
		if err != nil {
			fmt.Fprintf(e.stderr, "%s:%d: %v\n", c.File, n, err)
			bad++
			continue
		}
		if u != nil {
			users = append(users, *u)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, 0, coded(exitData, fmt.Errorf("%s: %w", c.File, err))
	}
	return users, bad, nil
}

// line reads one line, nil for one without a user.
func (c *accountImportPasswdCmd) line(n int, text string) (*passwdLine, error) {
	text = strings.TrimRight(text, "\r")
	if text == "" || strings.HasPrefix(text, "#") {
		return nil, nil
	}
	user, rest, ok := strings.Cut(text, ":")
	if !ok || user == "" {
		return nil, errors.New("no user and password")
	}
	// A hash has no colon, but a password in the clear that does is cut: as
	// Dovecot does.
	field, _, _ := strings.Cut(rest, ":")
	u := &passwdLine{number: n, address: user}
	if !strings.Contains(user, "@") {
		if c.Domain == "" {
			return nil, fmt.Errorf("user %q has no domain: use --domain", user)
		}
		u.address += "@" + c.Domain
	}
	var err error
	u.check, err = passwd.ParseDovecot(field, c.Scheme)
	if errors.Is(err, passwd.ErrCleartext) && slices.Contains(c.AcceptRisk, riskPlain) {
		if u.clear, ok = passwd.Cleartext(field, c.Scheme); ok {
			err = nil
		}
	}
	return u, err
}

// user makes one account, or replaces its password.
func (c *accountImportPasswdCmd) user(e *env, a adminpbconnect.AdminClient, u *passwdLine) (did string, err error) {
	verifier := ""
	if u.check != nil {
		verifier = u.check.Encode()
	}
	_, err = unary(e.ctx, a.AddAccount, &adminpb.AddAccountRequest{Address: u.address, Password: u.clear, Verifier: verifier, QuotaBytes: uint64(c.Quota)})
	if err == nil {
		return "made", nil
	}
	if connect.CodeOf(err) != connect.CodeAlreadyExists {
		return "", err
	}
	if !slices.Contains(c.AcceptRisk, riskReplace) {
		return "kept", nil
	}
	_, err = unary(e.ctx, a.SetPassword, &adminpb.SetPasswordRequest{Address: u.address, Password: u.clear, Verifier: verifier})
	return "replaced", err
}

// readHash reads a hashed password.
func readHash(e *env, file string) (string, error) {
	field, err := readSecret(e, file, "")
	if err != nil {
		return "", err
	}
	check, err := passwd.ParseDovecot(string(field), "")
	if err != nil {
		return "", coded(exitData, err)
	}
	return check.Encode(), nil
}
