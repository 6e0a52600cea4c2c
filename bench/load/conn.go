package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	opTimeout  = 60 * time.Second // of one operation, when nothing else is said
	maxLine    = 64 << 10         // of an answer that must be read whole
	smallReads = 4 << 10
	bulkReads  = 256 << 10
)

// line is a connection with buffered reads; writes go out at once.
type line struct {
	net.Conn
	r    *bufio.Reader
	stop func() bool // of the context's watch
}

// Close ends the connection.
func (l *line) Close() error {
	l.stop()
	return l.Conn.Close()
}

// dial connects, and encrypts when mode is TLSImplicit. The connection is cut
// when the context ends.
func (t *Target) dial(whole context.Context, addr string, mode TLSMode, buffer int) (*line, error) {
	ctx, cancel := context.WithTimeout(whole, opTimeout)
	defer cancel()
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &failure{"connect", fmt.Errorf("%w: %w", ErrUnreachable, err)}
	}
	l := &line{Conn: c, r: bufio.NewReaderSize(c, buffer)}
	l.stop = context.AfterFunc(whole, func() { c.Close() })
	if mode == TLSImplicit {
		if err := l.encrypt(ctx, t.tlsConfig(addr)); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (t *Target) tlsConfig(addr string) *tls.Config {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	return &tls.Config{ServerName: host, InsecureSkipVerify: t.InsecureTLS, MinVersion: tls.VersionTLS12}
}

// encrypt does the handshake. What was read before it is thrown away: nobody
// may slip answers in.
func (l *line) encrypt(ctx context.Context, cfg *tls.Config) error {
	c := tls.Client(l.Conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		l.Close()
		return &failure{"TLS", err}
	}
	l.Conn = c
	l.r.Reset(c)
	return nil
}

// within gives the next operation its time; the context's end cuts it short.
func (l *line) within(d time.Duration) error { return l.SetDeadline(time.Now().Add(d)) }

// failure is an error of the connection in one step of an operation.
type failure struct {
	step string
	err  error
}

func (f *failure) Error() string { return f.step + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// refusal is a server's own "no".
type refusal struct {
	step string
	code string // 451 4.3.2, NO [UNAVAILABLE]: no text, which may name people
	dead bool   // the server closes the connection after it
}

func (r *refusal) Error() string { return r.step + ": " + r.code }

// kind is what an error is counted under: bounded, and free of addresses.
func kind(err error) string {
	var no *refusal
	if errors.As(err, &no) {
		return no.Error()
	}
	step := ""
	var f *failure
	if errors.As(err, &f) {
		step = f.step + ": "
	}
	var ne net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return step + "cancelled"
	case errors.Is(err, errMissed):
		return errMissed.Error()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return step + "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return step + "connection closed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return step + "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return step + "connection reset"
	case errors.Is(err, errProtocol):
		return step + errProtocol.Error()
	}
	return step + "other error"
}

var (
	errProtocol = errors.New("an answer that is none in this protocol")
	errMissed   = errors.New("not announced in time")
	errSource   = errors.New("the corpus could not be read")
)

// readLine returns the next line without its end; it is valid until the next
// read. Longer ones than fit are an error.
func (l *line) readLine(step string) ([]byte, error) {
	b, err := l.r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = fmt.Errorf("%w: a line of more than %d octets", errProtocol, l.r.Size())
		}
		return nil, &failure{step, err}
	}
	b = b[:len(b)-1]
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b, nil
}
