package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/backup/wire"
)

// Conn is a connection to a node that has shown who it is, by wire.Proto.
type Conn interface {
	net.Conn
	// Moved counts the bytes on the network, both ways.
	Moved() int64
}

// Dial connects to a node's cluster port.
type Dial func(ctx context.Context, addr string) (Conn, error)

// node is one node as a puller calls it.
type node struct {
	addr string
	hc   *http.Client
	conn *http.Transport
}

// stall is how long a node may say nothing in an answer.
const stall = 90 * time.Second

func newNode(addr string, dial Dial, moved func(Conn)) *node {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			moved(c)
			return &patient{c}, nil
		},
		MaxConnsPerHost: 2, DisableCompression: true, ResponseHeaderTimeout: stall,
		IdleConnTimeout: 30 * time.Second,
	}
	return &node{addr: addr, conn: t, hc: &http.Client{Transport: t}}
}

// patient gives up a connection on which nothing comes for too long.
type patient struct{ Conn }

func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (n *node) close() { n.conn.CloseIdleConnections() }

// call makes a request; the answer's body is the caller's to close.
func (n *node) call(ctx context.Context, method, path string, q url.Values, body []byte) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "altmail", Path: "/v1/" + path, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := n.hc.Do(req)
	if err != nil {
		if strings.Contains(err.Error(), "remote error: tls: bad certificate") || errors.Is(err, cluster.ErrNotMember) {
			return nil, fmt.Errorf("%s: %w", n.addr, grant.ErrRefused)
		}
		return nil, fmt.Errorf("%s: %w", n.addr, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	b, rerr := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	err = &wire.RemoteError{Text: strings.TrimSpace(string(b))}
	switch resp.StatusCode {
	case http.StatusForbidden:
		err = grant.ErrRefused
	case http.StatusServiceUnavailable:
		err = fmt.Errorf("%w: %w", cluster.ErrUnavailable, err)
	}
	return nil, errors.Join(fmt.Errorf("%s: %w", n.addr, err), rerr, resp.Body.Close())
}

func (n *node) ask(ctx context.Context, method, path string, q url.Values, out any) (err error) {
	body, err := n.call(ctx, method, path, q, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if err := json.NewDecoder(io.LimitReader(body, 16<<20)).Decode(out); err != nil {
		return fmt.Errorf("%s: %w: %w", n.addr, wire.ErrStream, err)
	}
	return nil
}

// frames calls fn for each frame of an answer.
func (n *node) frames(ctx context.Context, method, path string, q url.Values, body []byte, fn func(wire.Kind, []byte) error) (err error) {
	b, err := n.call(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r := wire.NewReader(b)
	for {
		k, p, err := r.Next()
		if errors.Is(err, io.EOF) && k == wire.KindEnd {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.addr, err)
		}
		if err := fn(k, p); err != nil {
			return err
		}
	}
}
