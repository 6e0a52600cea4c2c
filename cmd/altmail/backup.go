package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/transport"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/mailstore/backup/bucket"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/backup/pull"
	"altmail.se/altmail/mailstore/backup/repo"
	"altmail.se/altmail/mailstore/backup/wire"
)

// backupCmd is the noun backup.
type backupCmd struct {
	Grant  backupGrantCmd  `cmd:"" help:"Let a host pull backups, sealed to age recipients; writes its credential to a file."`
	Revoke backupRevokeCmd `cmd:"" help:"Take a grant back."`
	Grants backupGrantsCmd `cmd:"" help:"List who may pull backups."`
	Pull   backupPullCmd   `cmd:"" help:"Bring a backup from a cluster into a repository (run on an outside host, by cron)."`
	List   backupListCmd   `cmd:"" help:"List the snapshots of a repository."`
	Verify backupVerifyCmd `cmd:"" help:"Look whether a repository is whole."`
	Prune  backupPruneCmd  `cmd:"" help:"Remove snapshots, and everything that only they needed."`

	Restore backupRestoreCmd `cmd:"" help:"Restore a whole cluster into an empty node, or messages of an account into a running one."`
}

type backupGrantCmd struct {
	configFlag
	Name           string   `arg:"" help:"What the grant is called, as for the host that pulls."`
	Recipient      []string `help:"age recipient (age1...) that can read the backups; repeat for more." placeholder:"AGE"`
	RecipientsFile string   `help:"File with age recipients, one a line." placeholder:"FILE" type:"path"`
	Out            string   `help:"File for the credential; made anew, readable by its owner alone." required:"" placeholder:"FILE" type:"path"`
}

func (c *backupGrantCmd) Run(e *env) (err error) {
	to := c.Recipient
	if c.RecipientsFile != "" {
		b, err := os.ReadFile(c.RecipientsFile)
		if err != nil {
			return coded(exitUsage, err)
		}
		for l := range strings.Lines(string(b)) {
			if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
				to = append(to, l)
			}
		}
	}
	if _, err := grant.Recipients(to); err != nil {
		return coded(exitUsage, err)
	}
	a, err := c.dial()
	if err != nil {
		return err
	}
	// The file comes first: a grant whose key nobody has is of no use, and one
	// that is there already must not be replaced.
	f, err := os.OpenFile(c.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return coded(exitUsage, err)
	}
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, f.Close(), os.Remove(c.Out))
		}
	}()
	key, spki, err := grant.NewKey()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.GrantBackup, &adminpb.GrantBackupRequest{Name: c.Name, Key: spki, Recipients: to})
	if err != nil {
		return err
	}
	b, err := (&grant.Credential{Version: 1, Name: c.Name, Cluster: r.Cluster, CA: r.Ca, Nodes: r.Nodes, Key: key}).Encode()
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	kept = true
	if err := f.Close(); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s may pull backups; its credential is in %s\nCA %s\n", c.Name, c.Out, r.Ca)
	fmt.Fprintf(e.stderr, "Bring that file to the host that pulls, and remove it here. There: altmail backup pull --credential %s --repo DIR\n"+
		"An age identity of these recipients opens everything, passwords' verifiers and keys included: keep it where no node is.\n", filepath.Base(c.Out))
	return nil
}

type backupRevokeCmd struct {
	configFlag
	Name string `arg:"" help:"Name of the grant."`
}

func (c *backupRevokeCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	if _, err := unary(e.ctx, a.RevokeBackup, &adminpb.RevokeBackupRequest{Name: c.Name}); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s can pull no more\n", c.Name)
	return nil
}

type backupGrantsCmd struct {
	configFlag
	jsonFlag
}

func (c *backupGrantsCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.ListBackupGrants, &adminpb.ListBackupGrantsRequest{})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, r)
	}
	var rows [][]string
	for _, g := range r.Grants {
		rows = append(rows, []string{g.Name, time.Unix(g.Created, 0).UTC().Format(time.RFC3339), strings.Join(g.Recipients, ",")})
	}
	return table(e.stdout, []string{"NAME", "GRANTED", "RECIPIENTS"}, rows)
}

// repoFlag says where a repository is.
type repoFlag struct {
	Repo   string `help:"Repository: a directory, or s3://HOST/BUCKET/FOLDER." required:"" placeholder:"DIR"`
	S3Keys string `help:"File with the keys of the bucket: JSON with access_key and secret_key." placeholder:"FILE" type:"path" name:"s3-keys"`
}

func (f repoFlag) storage(context.Context) (repo.Storage, error) {
	if bucket.Is(f.Repo) {
		if f.S3Keys == "" {
			return nil, codedf(exitUsage, "a bucket needs --s3-keys")
		}
		b, err := os.ReadFile(f.S3Keys)
		if err != nil {
			return nil, coded(exitUsage, err)
		}
		keys, err := bucket.ParseKeys(b)
		if err != nil {
			return nil, coded(exitData, fmt.Errorf("%s: %w", f.S3Keys, err))
		}
		st, err := bucket.New(f.Repo, keys)
		if err != nil {
			return nil, coded(exitUsage, err)
		}
		return st, nil
	}
	path, err := filepath.Abs(f.Repo)
	if err != nil {
		return nil, coded(exitUsage, err)
	}
	return repo.NewDir(vfs.Default, path), nil
}

// open opens a repository for reading.
func (f repoFlag) open(ctx context.Context) (*repo.Repo, error) {
	st, err := f.storage(ctx)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(ctx, st)
	return r, repoError(err)
}

// repoError gives an error of a repository its exit code.
func repoError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, repo.ErrLocked):
		return coded(exitTryAgain, err)
	case errors.Is(err, repo.ErrExists), errors.Is(err, repo.ErrOther), errors.Is(err, grant.ErrRefused):
		return coded(exitNotAllowed, err)
	case errors.Is(err, repo.ErrNoRepo), errors.Is(err, repo.ErrVersion), errors.Is(err, repo.ErrDamaged),
		errors.Is(err, repo.ErrMissing), errors.Is(err, repo.ErrSignature):
		return coded(exitData, err)
	case errors.Is(err, context.Canceled):
		return codedf(exitTryAgain, "interrupted; what was brought is kept, and the same command goes on")
	case errors.Is(err, pull.ErrIncomplete):
		return coded(exitTryAgain, err)
	case errors.Is(err, pull.ErrUnreachable), errors.Is(err, cluster.ErrUnavailable), errors.Is(err, wire.ErrStream):
		return coded(exitUnavailable, err)
	}
	return err
}

type backupPullCmd struct {
	repoFlag
	jsonFlag
	Credential string   `help:"File that backup grant wrote." required:"" placeholder:"FILE" type:"path"`
	From       []string `help:"Address of a node's cluster port to pull from; without, the one that leads the fewest groups." placeholder:"HOST:PORT"`
	Quiet      bool     `help:"Tell nothing but the outcome." short:"q"`
}

func (c *backupPullCmd) Run(e *env) error {
	b, err := os.ReadFile(c.Credential)
	if err != nil {
		return coded(exitUsage, err)
	}
	cred, err := grant.ParseCredential(b)
	if err != nil {
		return coded(exitData, fmt.Errorf("%s: %w", c.Credential, err))
	}
	ca, err := cred.Fingerprint()
	if err != nil {
		return coded(exitData, err)
	}
	cert, err := cred.Certificate(time.Now())
	if err != nil {
		return coded(exitData, err)
	}
	st, err := c.storage(e.ctx)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if !c.Quiet {
		log = slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	bar := newBar(e.stderr, c.Quiet)
	o := pull.Options{
		Storage: st, Nodes: cred.Nodes, CA: ca, Log: log,
		Dial: func(ctx context.Context, addr string) (pull.Conn, error) {
			conn, err := transport.DialGuest(ctx, addr, wire.Proto, ca, cert)
			if err != nil {
				return nil, err
			}
			return conn, nil
		},
		Tell: func(p pull.Progress) { bar.tell(p.Stage, p.Done, p.All) },
	}
	if len(c.From) > 0 {
		o.Nodes, o.Chosen = c.From, true
	}
	res, err := pull.Pull(e.ctx, o)
	bar.end()
	if err != nil {
		return repoError(err)
	}
	s := res.Snapshot
	if c.JSON {
		return writeJSON(e.stdout, map[string]any{
			"snapshot": s.ID, "time": s.Time().Format(time.RFC3339), "node": s.Core.Node, "moved": res.Moved,
			"metadata": res.Sealed, "lists": res.Lists, "new": res.New, "bodies": res.Bodies, "expunged_meanwhile": res.Gone,
		})
	}
	messages := int64(0)
	for _, g := range s.Core.Groups {
		messages += g.Bodies
	}
	fmt.Fprintf(e.stdout, "snapshot %s of %s: %d bodies, %d of them new; %s moved (%s metadata)\n",
		s.Short(), s.Time().Format(time.RFC3339), messages, res.Bodies, size(res.Moved), size(res.Sealed+res.Lists))
	return nil
}

type backupListCmd struct {
	repoFlag
	jsonFlag
}

func (c *backupListCmd) Run(e *env) error {
	r, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	all, bad, err := r.Snapshots(e.ctx)
	if err != nil {
		return repoError(err)
	}
	type line struct {
		ID      repo.ID `json:"id"`
		Time    string  `json:"time"`
		Cluster string  `json:"cluster"`
		Node    string  `json:"node"`
		Bodies  int64   `json:"bodies"`
		Bytes   int64   `json:"bytes"`
		New     int64   `json:"new"`
		Moved   int64   `json:"moved"`
	}
	var lines []line
	var rows [][]string
	for _, s := range all {
		l := line{ID: s.ID, Time: s.Time().Format(time.RFC3339), Cluster: s.Core.Cluster, Node: s.Core.Node, New: s.New, Moved: s.Moved}
		for _, g := range s.Core.Groups {
			l.Bodies += g.Bodies
			l.Bytes += g.BodyBytes
		}
		lines = append(lines, l)
		rows = append(rows, []string{s.Short(), l.Time, l.Node[:min(12, len(l.Node))], fmt.Sprint(l.Bodies), size(l.Bytes), size(l.New)})
	}
	if c.JSON {
		err = writeJSON(e.stdout, map[string]any{"snapshots": lines, "unreadable": len(bad)})
	} else {
		err = table(e.stdout, []string{"SNAPSHOT", "TIME", "FROM", "BODIES", "BYTES", "NEW"}, rows)
	}
	for name, err := range bad {
		fmt.Fprintf(e.stderr, "! %s: %v\n", name, err)
	}
	if err == nil && len(bad) > 0 {
		return codedf(exitPartly, "%d snapshots can't be read", len(bad))
	}
	return err
}

type backupVerifyCmd struct {
	repoFlag
	jsonFlag
	ReadData bool `help:"Read every byte, not only the ends of files."`
	Repair   bool `help:"Take what is damaged out of the repository, so that the next pull brings it again. Needs --read-data."`
	Quiet    bool `help:"Tell nothing but the outcome." short:"q"`
}

func (c *backupVerifyCmd) Run(e *env) (err error) {
	if c.Repair && !c.ReadData {
		return codedf(exitUsage, "--repair needs --read-data: what is not read is not known to be damaged")
	}
	st, err := c.storage(e.ctx)
	if err != nil {
		return err
	}
	var r *repo.Repo
	var w *repo.Writer
	if c.Repair {
		if w, err = repo.NewWriter(e.ctx, st, ""); err != nil {
			return repoError(err)
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		r = w.Repo
	} else if r, err = repo.Open(e.ctx, st); err != nil {
		return repoError(err)
	}
	bar := newBar(e.stderr, c.Quiet)
	v, err := r.Verify(e.ctx, c.ReadData, func(done, all int64) { bar.tell("verify", done, all) })
	bar.end()
	if err != nil {
		return repoError(err)
	}
	if c.JSON {
		err = writeJSON(e.stdout, v)
	} else {
		for _, p := range v.Problems {
			fmt.Fprintf(e.stdout, "! %s: %s\n", p.File, p.What)
		}
		for name, n := range v.Hurt {
			fmt.Fprintf(e.stdout, "! %s can't be restored whole: %d objects are lost\n", name, n)
		}
		fmt.Fprintf(e.stdout, "%d snapshots, %d packs, %s read: %d files damaged or missing\n", v.Snapshots, v.Packs, size(v.Bytes), len(v.Problems))
	}
	if err != nil {
		return err
	}
	if c.Repair && len(v.Problems) > 0 {
		if err := w.Forget(e.ctx, v); err != nil {
			return repoError(err)
		}
		fmt.Fprintln(e.stderr, "what is intact was kept; pull again to bring what was lost and is still in the cluster")
	}
	if len(v.Problems) > 0 || len(v.Hurt) > 0 {
		return codedf(exitPartly, "the repository is damaged")
	}
	return nil
}

type backupPruneCmd struct {
	repoFlag
	jsonFlag
	KeepDaily  int      `help:"Keep the last snapshot of each of so many days."`
	KeepWeekly int      `help:"Keep the last snapshot of each of so many weeks."`
	KeepWithin duration `help:"Keep everything newer, as 36h or 14d."`
	DryRun     bool     `help:"Say what would go, and remove nothing." short:"n"`
	Quiet      bool     `help:"Tell nothing but the outcome." short:"q"`
}

// duration is a time.Duration that may be written in days.
type duration time.Duration

// UnmarshalText reads 14d or what time.ParseDuration reads.
func (d *duration) UnmarshalText(b []byte) error {
	text, days := strings.CutSuffix(string(b), "d")
	if days {
		text += "h"
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a time, as 36h or 14d", b)
	}
	if days {
		v *= 24
	}
	*d = duration(v)
	return nil
}

func (c *backupPruneCmd) Run(e *env) (err error) {
	if c.KeepDaily <= 0 && c.KeepWeekly <= 0 && c.KeepWithin <= 0 {
		return codedf(exitUsage, "say what to keep: --keep-daily, --keep-weekly, --keep-within")
	}
	st, err := c.storage(e.ctx)
	if err != nil {
		return err
	}
	w, err := repo.NewWriter(e.ctx, st, "")
	if err != nil {
		return repoError(err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	all, _, err := w.Snapshots(e.ctx)
	if err != nil {
		return repoError(err)
	}
	keep := repo.Keep{Daily: c.KeepDaily, Weekly: c.KeepWeekly, Within: time.Duration(c.KeepWithin)}
	stay, leave := keep.Choose(all, time.Now())
	for _, s := range leave {
		fmt.Fprintf(e.stderr, "removing snapshot %s of %s\n", s.Short(), s.Time().Format(time.RFC3339))
	}
	if c.DryRun {
		fmt.Fprintf(e.stdout, "%d snapshots would stay, %d would go\n", len(stay), len(leave))
		return nil
	}
	bar := newBar(e.stderr, c.Quiet)
	p, err := w.Prune(e.ctx, leave, func(done, of int) { bar.count("prune", done, of, "packs") })
	bar.end()
	if err != nil {
		return repoError(err)
	}
	if c.JSON {
		return writeJSON(e.stdout, p)
	}
	fmt.Fprintf(e.stdout, "%d snapshots stay, %d are gone; %d packs removed or written anew, %s freed\n", len(stay), p.Snapshots, p.Packs, size(p.Bytes))
	return nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
