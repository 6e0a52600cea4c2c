package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/term"

	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/admin/adminpb/adminpbconnect"
	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/frontend/migrate/maildir"
	"altmail.se/altmail/frontend/migrate/mbox"
	"altmail.se/altmail/frontend/migrate/remote"
)

// riskClear is the risk of sending a password and mail over a line that others
// may read.
const riskClear = "cleartext"

type accountImportCmd struct {
	configFlag
	Address      string   `arg:"" help:"Any address of the account that mail goes to. It is there already."`
	Maildir      string   `help:"A Maildir as Dovecot lays it out." placeholder:"DIR" type:"path" xor:"source"`
	Mbox         string   `help:"An mbox file, or a directory of files whose names end in .mbox." placeholder:"PATH" type:"path" xor:"source"`
	Mailbox      string   `help:"The mailbox that an mbox file becomes. Default: the name of the file."`
	IMAP         string   `name:"imap" help:"Another IMAP server." placeholder:"HOST:PORT" xor:"source"`
	User         string   `help:"Login name at the IMAP server. Default: the address."`
	PasswordFile string   `help:"File with the password at the IMAP server on its first line, which nobody else may read; - is standard input. Default: ask." placeholder:"FILE"`
	TLS          string   `name:"tls" help:"Encryption of IMAP: implicit, starttls, none." enum:"implicit,starttls,none" default:"implicit"`
	CAFile       string   `name:"ca-file" help:"Take certificates of this authority at the IMAP server." placeholder:"FILE" type:"path"`
	AcceptRisk   []string `help:"Import in spite of a named risk: mix-mail, cleartext." placeholder:"RISK"`
}

func (c *accountImportCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	if _, err := unary(e.ctx, a.ShowAccount, &adminpb.ShowAccountRequest{Address: c.Address}); err != nil {
		return err
	}
	src, err := c.source(e)
	if err != nil {
		return err
	}
	bar := newProgress(e, "imported")
	warned := 0
	report, err := migrate.Run(e.ctx, src, &sink{a: a, address: c.Address, risks: c.AcceptRisk, refused: func(what string) {
		bar.note("%s", what)
	}}, migrate.Options{
		Progress: bar.show, Patience: 2 * time.Minute,
		Warn: func(mailbox, what string) {
			if warned++; warned <= 100 {
				bar.note("%s: %s", mailbox, what)
			}
		},
	})
	bar.bar.end()
	if cerr := src.Close(); cerr != nil && err == nil && !errors.Is(cerr, net.ErrClosed) {
		fmt.Fprintln(e.stderr, "altmail: closing the source:", cerr)
	}
	if md, ok := src.(*maildir.Source); ok && md.Mismatches > 0 {
		fmt.Fprintf(e.stderr, "%d files have another size than their names say\n", md.Mismatches)
	}
	if _, perr := fmt.Fprintf(e.stdout, "%d messages, %d bytes stored in this run; %d mailboxes complete; %d messages left out\n",
		report.Stored, report.Bytes, report.Mailboxes, report.Skipped); perr != nil {
		return perr
	}
	switch {
	case errors.Is(err, context.Canceled):
		return codedf(exitTryAgain, "interrupted: the same command goes on where this one ended")
	case errors.Is(err, remote.ErrUnreachable):
		return codedf(exitTryAgain, "%w: the same command goes on where this one ended", err)
	case err != nil:
		return err
	case report.Skipped > 0 || len(report.Renumbered) > 0:
		return codedf(exitPartly, "%d messages were left out, and %d mailboxes have new UIDs", report.Skipped, len(report.Renumbered))
	}
	return nil
}

func (c *accountImportCmd) source(e *env) (migrate.Source, error) {
	switch {
	case c.Maildir != "":
		s, err := maildir.Open(c.Maildir)
		if err != nil {
			return nil, coded(exitData, err)
		}
		return s, nil
	case c.Mbox != "":
		s, err := mbox.Open(c.Mbox, c.Mailbox)
		if err != nil {
			return nil, coded(exitData, err)
		}
		return s, nil
	case c.IMAP == "":
		return nil, codedf(exitUsage, "import what? --maildir, --mbox or --imap")
	}
	if c.TLS == string(remote.None) && !loopback(c.IMAP) && !slices.Contains(c.AcceptRisk, riskClear) {
		return nil, codedf(exitNotAllowed, "the password would go over the network in the clear (--accept-risk=%s to do it anyway)", riskClear)
	}
	cfg := remote.Config{Address: c.IMAP, User: c.User, TLS: remote.TLS(c.TLS)}
	if cfg.User == "" {
		cfg.User = c.Address
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, coded(exitData, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, codedf(exitData, "%s holds no certificate", c.CAFile)
		}
		cfg.Certificates = &tls.Config{RootCAs: pool}
	}
	var err error
	if cfg.Password, err = readSecret(e, c.PasswordFile, "Password of "+cfg.User+" at "+c.IMAP+": "); err != nil {
		return nil, err
	}
	s, err := remote.Dial(e.ctx, cfg)
	clear(cfg.Password)
	switch {
	case errors.Is(err, remote.ErrLogin):
		return nil, coded(exitNotAllowed, err)
	case err != nil:
		return nil, coded(exitUnavailable, err)
	}
	return s, nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// readSecret reads a password that is another server's: once, of any length, and
// from no file that others may read.
func readSecret(e *env, file, prompt string) ([]byte, error) {
	r := e.stdin
	switch file {
	case "":
		f, ok := e.stdin.(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) {
			return nil, codedf(exitUsage, "no terminal to ask for the password on: use --password-file (- is standard input)")
		}
		fmt.Fprint(e.stderr, prompt)
		pw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		return pw, err
	case "-":
	default:
		f, err := openSecret(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return nil, codedf(exitData, "the password is empty")
	}
	return line, nil
}

// openSecret opens a file with secrets, which must be nobody else's to read.
func openSecret(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, coded(exitData, err)
	}
	st, err := f.Stat()
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		err = codedf(exitNotAllowed, "%s holds passwords and others may read it: chmod 600 it", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sink is an account behind the admin API.
type sink struct {
	a       adminpbconnect.AdminClient
	address string
	risks   []string
	refused func(string)
}

// callTime bounds one call, so that a node that hangs is noticed.
const callTime = 90 * time.Second

// Begin implements migrate.Sink.
func (s *sink) Begin(ctx context.Context, source string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := unary(ctx, s.a.BeginImport, &adminpb.BeginImportRequest{Address: s.address, Source: source, AcceptRisk: s.risks})
	return err
}

// Open implements migrate.Sink.
func (s *sink) Open(ctx context.Context, m migrate.Mailbox, modSeq uint64) (migrate.Place, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	p, err := unary(ctx, s.a.OpenImport, &adminpb.OpenImportRequest{
		Address: s.address, Mailbox: m.Name, UidValidity: m.UIDValidity, ModSeq: modSeq, SpecialUse: uint32(m.SpecialUse),
	})
	if err != nil {
		return migrate.Place{}, err
	}
	return migrate.Place{UIDValidity: p.UidValidity, Last: p.Last, Kept: p.Kept}, nil
}

// Append implements migrate.Sink.
func (s *sink) Append(ctx context.Context, m migrate.Mailbox, kept bool, msgs []*migrate.Message) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	st := s.a.ImportMessages(ctx)
	// A stream that broke says why when it is closed.
	send := func(r *adminpb.ImportMessagesRequest) bool { return st.Send(r) == nil }
	ok := send(&adminpb.ImportMessagesRequest{Part: &adminpb.ImportMessagesRequest_Target_{
		Target: &adminpb.ImportMessagesRequest_Target{Address: s.address, Mailbox: m.Name, KeepUids: kept},
	}})
	for _, x := range msgs {
		d := x.Date
		if d.IsZero() {
			d = time.Now()
		}
		_, zone := d.Zone()
		ok = ok && send(&adminpb.ImportMessagesRequest{Part: &adminpb.ImportMessagesRequest_Message_{Message: &adminpb.ImportMessagesRequest_Message{
			Uid: x.UID, Flags: uint32(x.Flags), Keywords: x.Keywords, Date: d.Unix(), Zone: int32(zone / 60), Size: uint32(len(x.Raw)),
		}}})
		for piece := range slices.Chunk(x.Raw, 256<<10) {
			ok = ok && send(&adminpb.ImportMessagesRequest{Part: &adminpb.ImportMessagesRequest_Octets{Octets: piece}})
		}
	}
	r, err := st.CloseAndReceive()
	if err == nil && r.Msg.DroppedKeywords > 0 {
		s.refused(fmt.Sprintf("%s: %d keywords left out, which IMAP does not allow", m.Name, r.Msg.DroppedKeywords))
	}
	return err
}

// Finish implements migrate.Sink.
func (s *sink) Finish(ctx context.Context, m migrate.Mailbox) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := unary(ctx, s.a.FinishImport, &adminpb.FinishImportRequest{Address: s.address, Mailbox: m.Name, UidNext: m.UIDNext})
	return err
}

// Subscribe implements migrate.Sink.
func (s *sink) Subscribe(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	r, err := unary(ctx, s.a.ImportSubscriptions, &adminpb.ImportSubscriptionsRequest{Address: s.address, Names: names})
	if err == nil && len(r.Refused) > 0 {
		s.refused(fmt.Sprintf("%d subscriptions left out, whose names no mailbox can have", len(r.Refused)))
	}
	return err
}

// Transient implements migrate.Sink: a node that has no quorum, is away for a
// moment, or went away in the middle of a call.
func (s *sink) Transient(err error) bool {
	var ce *connect.Error
	if !errors.As(err, &ce) || errors.Is(err, context.Canceled) {
		return false
	}
	return ce.Code() == connect.CodeUnavailable || ce.Code() == connect.CodeDeadlineExceeded || !connect.IsWireError(err)
}

// progress shows on a bar how far mail has come, and notes what goes wrong on
// lines of their own.
type progress struct {
	e     *env
	bar   *bar
	start time.Time
	verb  string
}

func newProgress(e *env, verb string) *progress {
	return &progress{e: e, bar: newBar(e.stderr, false), start: time.Now(), verb: verb}
}

func (p *progress) show(r migrate.Progress) {
	p.bar.count(p.verb, r.Done, r.Total, fmt.Sprintf("messages, %s, %.0f a second, %s", size(r.Bytes),
		float64(r.Stored)/max(0.001, time.Since(p.start).Seconds()), r.Mailbox))
}

// note prints a line of its own.
func (p *progress) note(format string, args ...any) {
	p.bar.end()
	fmt.Fprintf(p.e.stderr, format+"\n", args...)
}
