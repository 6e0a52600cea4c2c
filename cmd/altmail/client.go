package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"

	"connectrpc.com/connect"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/frontend/admin/adminpb/adminpbconnect"
)

// loadConfig reads a node's configuration, failing with the exit code for it.
func loadConfig(path string) (*config.Config, error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, coded(exitConfig, err)
	}
	return c, nil
}

// dial returns the admin API of the node a configuration file is for.
func (f configFlag) dial() (adminpbconnect.AdminClient, error) {
	c, err := loadConfig(f.Config)
	if err != nil {
		return nil, err
	}
	return dialSocket(c.AdminSocket())
}

func dialSocket(path string) (adminpbconnect.AdminClient, error) {
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, codedf(exitUnavailable, "the node is not running (no %s)", path)
		}
		return nil, coded(exitUnavailable, err)
	}
	hc := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}
	return adminpbconnect.NewAdminClient(hc, "http://altmail"), nil
}

// printJSON writes a response as one indented JSON object.
func printJSON(w io.Writer, m proto.Message) error {
	b, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err
	}
	// protojson's spacing is unstable on purpose; re-indenting makes it stable.
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = out.WriteTo(w)
	return err
}

// table writes rows in columns.
func table(w io.Writer, head []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range append([][]string{head}, rows...) {
		if _, err := fmt.Fprintln(tw, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// readPassword takes a password from a file, from "-" (standard input), or
// from the terminal, never from a flag's value or the environment.
func readPassword(e *env, file string) ([]byte, error) {
	if file == "" {
		f, ok := e.stdin.(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) {
			return nil, codedf(exitUsage, "no terminal to ask for the password on: use --password-file (- is standard input)")
		}
		fmt.Fprint(e.stderr, "Password: ")
		one, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		if err != nil {
			return nil, err
		}
		fmt.Fprint(e.stderr, "Again: ")
		two, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(one, two) {
			return nil, codedf(exitData, "the two passwords differ")
		}
		return checkPassword(one)
	}
	r := e.stdin
	if file != "-" {
		f, err := os.Open(file)
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
	return checkPassword(bytes.TrimSuffix(line, []byte("\r")))
}

func checkPassword(p []byte) ([]byte, error) {
	if len(p) < 8 || len(p) > 1024 {
		return nil, codedf(exitData, "a password has 8 to 1024 bytes")
	}
	return p, nil
}

// unary calls one method of the admin API.
func unary[Req, Resp any](ctx context.Context, f func(context.Context, *connect.Request[Req]) (*connect.Response[Resp], error), req *Req) (*Resp, error) {
	resp, err := f(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}
