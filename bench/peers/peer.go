package peers

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"altmail.se/altmail/bench/load"
)

// Peer is a server that can be started to be measured. It is used by one
// goroutine at a time.
type Peer interface {
	// Name is what reports call it.
	Name() string
	// Note tells how it is configured where that matters to the figures.
	Note() string
	// DeliveryOnly is true of a peer that differs from another one only in how
	// mail comes in.
	DeliveryOnly() bool
	// Version asks the installed programs; ErrNotInstalled when they are not.
	Version(ctx context.Context) (string, error)
	// Start runs the server in dir, which it makes or which an earlier Start
	// of the same peer made, and returns once every account can log in.
	Start(ctx context.Context, dir string) (*load.Target, error)
	// Settle returns once what was answered so far is where it stays: queues
	// are empty and the data directories no longer change.
	Settle(ctx context.Context) error
	// Stop ends every process of the server. Afterwards none is left, also
	// when it returns an error.
	Stop(ctx context.Context) error
}

// ErrNotInstalled means that a peer's programs are not on this machine.
var ErrNotInstalled = errors.New("peers: not installed")

// Config is common to all peers.
type Config struct {
	// Altmail is the altmail binary.
	Altmail string
	// Roots are directories searched for the peers' programs before /: a
	// package unpacked beside one that it conflicts with (dpkg -x).
	Roots []string
	// Accounts is their number; 0: DefaultAccounts.
	Accounts int
}

// DefaultAccounts is the number of mailboxes work is spread over.
const DefaultAccounts = 32

// domain is that of every account.
const domain = "altmail.example"

// Names lists the peers in the order a comparison runs them by default; All
// has some more.
var Names = []string{
	"dovecot-sdbox-zstd", "altmail-3", "dovecot-sdbox-zstd-crypt", "altmail-1",
	"dovecot-sdbox", "dovecot-maildir", "cyrus", "postfix-dovecot",
}

// All returns every peer there is by name.
func All(cfg Config) map[string]Peer {
	if cfg.Accounts <= 0 {
		cfg.Accounts = DefaultAccounts
	}
	out := map[string]Peer{}
	for _, p := range []Peer{
		newDovecot(cfg, "dovecot-sdbox", format{sdbox: true}),
		newDovecot(cfg, "dovecot-sdbox-zstd", format{sdbox: true, zstd: true}),
		newDovecot(cfg, "dovecot-sdbox-zstd-crypt", format{sdbox: true, zstd: true, crypt: true}),
		newDovecot(cfg, "dovecot-maildir", format{}),
		newDovecot(cfg, "dovecot-maildir-zstd", format{zstd: true}),
		newCyrus(cfg),
		newPostfix(cfg),
		newAltmail(cfg, 1),
		newAltmail(cfg, 3),
	} {
		out[p.Name()] = p
	}
	return out
}

// WithTLS returns the target as seen by clients that use the port with
// implicit TLS. Every peer's IMAP addresses come in pairs: the plain ones in
// IMAP.Addrs, the others kept by the peer.
func WithTLS(t *load.Target, addrs []string) *load.Target {
	c := *t
	c.IMAP = load.IMAP{Addrs: addrs, TLS: load.TLSImplicit}
	c.InsecureTLS = true
	return &c
}

// tlsAddrs is implemented by every peer here.
type tlsAddrs interface{ imaps() []string }

// IMAPS returns a started peer's addresses of IMAP with implicit TLS.
func IMAPS(p Peer) []string {
	if t, ok := p.(tlsAddrs); ok {
		return t.imaps()
	}
	return nil
}

// find returns the path of a program or file given by its absolute path in a
// Debian system, looked for in the roots first.
func (c Config) find(paths ...string) (string, error) {
	for _, root := range append(slices.Clone(c.Roots), "/") {
		for _, p := range paths {
			full := filepath.Join(root, p)
			if st, err := os.Stat(full); err == nil && !st.IsDir() {
				return full, nil
			}
		}
	}
	return "", fmt.Errorf("%w: %s", ErrNotInstalled, paths[0])
}

// maxDir bounds a scratch directory's path: Unix sockets in it must fit into
// 108 octets.
const maxDir = 70

// makeDir makes a scratch directory that the peers' own users may enter.
func makeDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("peers: %s is no absolute path", dir)
	}
	if len(dir) > maxDir {
		return fmt.Errorf("peers: %s: a path longer than %d leaves no room for the sockets' names", dir, maxDir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	for d := dir; d != "/"; d = filepath.Dir(d) {
		st, err := os.Stat(d)
		if err != nil {
			return err
		}
		if st.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("peers: %s may not be entered by the servers' own users", d)
		}
	}
	return nil
}

// accounts returns the n accounts of a directory; their passwords are drawn
// the first time and kept there.
func accounts(dir string, n int) ([]load.Account, error) {
	path := filepath.Join(dir, "passwords")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var s strings.Builder
		for range n {
			s.WriteString(password() + "\n")
		}
		b = []byte(s.String())
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return nil, err
	}
	pw := strings.Fields(string(b))
	if len(pw) != n {
		return nil, fmt.Errorf("peers: %s has %d accounts, not %d", dir, len(pw), n)
	}
	out := make([]load.Account, n)
	for i := range out {
		out[i] = load.Account{Address: fmt.Sprintf("user%02d@%s", i, domain), Password: pw[i]}
	}
	return out, nil
}

// password draws one of 80 bits.
func password() string {
	var raw [10]byte
	// Read never fails: crypto/rand ends the process instead.
	_, _ = rand.Read(raw[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))
}

// output runs a program and returns its trimmed output.
func output(ctx context.Context, name string, args ...string) (string, error) {
	b, err := exec.CommandContext(ctx, name, args...).Output()
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(string(ee.Stderr)))
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}
