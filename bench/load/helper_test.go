package load

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-smtp"

	"altmail.se/altmail/bench/corpus"
)

// fakes is a mail server in memory: go-smtp hands what it takes to go-imap's
// memory server.
type fakes struct {
	mu       sync.Mutex
	users    map[string]*imapmemserver.User
	got      map[string][][]byte // by recipient
	from     []string
	refuse   func(to string) error // RCPT
	answer   func() error          // to a message
	hellos   int
	delivers bool // into the IMAP server
}

func newFakes(accounts ...Account) (*fakes, *imapmemserver.Server) {
	f := &fakes{users: map[string]*imapmemserver.User{}, got: map[string][][]byte{}}
	mem := imapmemserver.New()
	for _, a := range accounts {
		u := imapmemserver.NewUser(a.user(), a.Password)
		if err := u.Create("INBOX", nil); err != nil {
			panic(err)
		}
		mem.AddUser(u)
		f.users[a.Address] = u
	}
	return f, mem
}

func (f *fakes) NewSession(*smtp.Conn) (smtp.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hellos++
	return &fakeSession{f: f}, nil
}

type fakeSession struct {
	f  *fakes
	to []string
}

func (s *fakeSession) Mail(from string, _ *smtp.MailOptions) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.from = append(s.f.from, from)
	return nil
}

func (s *fakeSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.f.refuse != nil {
		if err := s.f.refuse(to); err != nil {
			return err
		}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *fakeSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.f.answer != nil {
		if err := s.f.answer(); err != nil {
			return err
		}
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for _, to := range s.to {
		s.f.got[to] = append(s.f.got[to], b)
		if u := s.f.users[to]; u != nil && s.f.delivers {
			if _, err := u.Append("INBOX", literalOf{bytes.NewReader(b)}, &imap.AppendOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *fakeSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	err := s.Data(r)
	for _, to := range s.to {
		status.SetStatus(to, err)
	}
	return nil
}

func (s *fakeSession) Reset()        { s.to = nil }
func (s *fakeSession) Logout() error { return nil }

type literalOf struct{ *bytes.Reader }

func (l literalOf) Size() int64 { return l.Reader.Size() }

func (f *fakes) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, list := range f.got {
		n += len(list)
	}
	return n
}

// listen serves SMTP or LMTP on loopback until the test ends.
func (f *fakes) listen(t *testing.T, lmtp bool, cfg *tls.Config, implicit bool) string {
	t.Helper()
	s := smtp.NewServer(f)
	s.LMTP, s.Domain, s.TLSConfig = lmtp, "localhost", cfg
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if implicit {
		l = tls.NewListener(l, cfg)
	}
	serve(t, func() error { return s.Serve(l) }, s.Close)
	return addr
}

func listenIMAP(t *testing.T, mem *imapmemserver.Server, cfg *tls.Config, implicit bool) string {
	t.Helper()
	s := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &polling{mem.NewSession().(imapserver.SessionIMAP4rev2)}, nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		InsecureAuth: cfg == nil, TLSConfig: cfg,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if implicit {
		l = tls.NewListener(l, cfg)
	}
	serve(t, func() error { return s.Serve(l) }, s.Close)
	return addr
}

// polling looks for news itself while it idles: what comes between the answer
// to IDLE and the library's own wait would be told only with the next news.
type polling struct{ imapserver.SessionIMAP4rev2 }

func (s *polling) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
			if err := s.Poll(w, true); err != nil {
				return err
			}
		}
	}
}

func serve(t *testing.T, run, stop func() error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = run() // ends with the listener
	}()
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Log(err)
		}
		<-done
	})
}

// certificate makes a certificate that nobody vouches for.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// script is a Source of given messages.
type script []string

func (s script) Message(i int) []byte { return []byte(s[i%len(s)]) }
func (s script) Len() int             { return len(s) }

func accounts(n int) []Account {
	out := make([]Account, n)
	for i := range out {
		out[i] = Account{Address: string(rune('a'+i)) + "@example.org", Password: `pass "word" \`}
	}
	return out
}

var text = corpus.New(corpus.Text, 7)
