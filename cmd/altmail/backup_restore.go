package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/cluster/journal"
	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/cluster/node"
	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/crypto/cryptfs"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/backup/restore"
	"altmail.se/altmail/mailstore/body"
	pb "altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/state"
)

type backupRestoreCmd struct {
	configFlag
	repoFlag
	Identity   string   `help:"File with an age identity that the backup is sealed to." required:"" placeholder:"FILE" type:"path"`
	Snapshot   string   `help:"Which one: latest, the beginning of its id, or a time: the newest that is not later." default:"latest"`
	CA         string   `help:"Fingerprint of the CA, as backup grant printed it: refuse a snapshot that another cluster signed." placeholder:"HEX"`
	Account    string   `help:"Restore one account's messages into the running cluster, by any of the addresses it had." placeholder:"ADDRESS"`
	Mailbox    string   `help:"Only this mailbox of it." placeholder:"NAME"`
	UID        uint32   `help:"Only this message of the mailbox." placeholder:"UID"`
	To         string   `help:"Account that gets them, if it is another one." placeholder:"ADDRESS"`
	Into       string   `help:"Folder they are put below; Restored and the snapshot's time unless told." placeholder:"FOLDER"`
	AcceptRisk []string `help:"Go on in spite of a named risk: lose-messages (the repository is damaged), duplicate-messages (the folder has messages)." placeholder:"RISK"`
	Quiet      bool     `help:"Tell nothing but the outcome." short:"q"`
}

func (c *backupRestoreCmd) Run(e *env) error {
	switch {
	case c.Account == "" && (c.Mailbox != "" || c.To != "" || c.Into != ""), c.Mailbox == "" && c.UID != 0:
		return codedf(exitUsage, "--mailbox, --to and --into go with --account, --uid with --mailbox")
	}
	src, err := c.source(e)
	if err != nil {
		return err
	}
	if c.Account != "" {
		return c.messages(e, src)
	}
	return c.whole(e, src)
}

// source opens the snapshot that is asked for.
func (c *backupRestoreCmd) source(e *env) (*restore.Source, error) {
	f, err := os.Open(c.Identity)
	if err != nil {
		return nil, coded(exitUsage, err)
	}
	ids, err := age.ParseIdentities(f)
	if err := errors.Join(err, f.Close()); err != nil {
		// The parser's error could quote the key.
		return nil, codedf(exitData, "%s holds no age identity", c.Identity)
	}
	var ca [32]byte
	if c.CA != "" {
		b, err := hex.DecodeString(c.CA)
		if err != nil || len(b) != len(ca) {
			return nil, codedf(exitUsage, "--ca: 64 hexadecimal digits")
		}
		copy(ca[:], b)
	}
	r, err := c.open(e.ctx)
	if err != nil {
		return nil, err
	}
	for name, err := range r.Bad {
		fmt.Fprintf(e.stderr, "! %s: %v\n", name, err)
	}
	snap, err := r.Find(e.ctx, c.Snapshot)
	if err != nil {
		return nil, repoError(err)
	}
	src, err := restore.Open(e.ctx, r, snap, ids, ca)
	switch {
	case errors.Is(err, restore.ErrIdentity), errors.Is(err, restore.ErrForeign):
		return nil, coded(exitNotAllowed, err)
	case err != nil:
		return nil, repoError(err)
	}
	for _, g := range src.Groups() {
		if g.Level > featureLevel {
			return nil, coded(exitData, restore.ErrLater)
		}
	}
	return src, nil
}

// restorePlan lies in a data directory while it is being filled, so that the
// same command goes on after whatever ended it, and no other one does.
type restorePlan struct {
	Repo     string `json:"repo"`
	Snapshot string `json:"snapshot"`
}

const planFile = "restore"

// whole makes an empty node the first of a restored cluster.
func (c *backupRestoreCmd) whole(e *env, src *restore.Source) (err error) {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return err
	}
	lock, err := lockData(cfg.DataDir)
	if err != nil {
		return coded(exitTryAgain, err)
	}
	defer lock.Close()
	if err := beginRestore(cfg, restorePlan{src.Repo.ID(), src.Snap.ID.String()}); err != nil {
		return err
	}
	// What is a node by now is refused here, before anything is cleared.
	cfg, ring, err := newKeyring(e, c.Config)
	if err != nil {
		return err
	}
	defer ring.Close()
	if err := clearRestore(cfg); err != nil {
		return err
	}
	if err := restore.TakeKeys(ring, &src.Head); err != nil {
		return err
	}
	groups := []cluster.GroupID{}
	for _, g := range src.Groups() {
		groups = append(groups, cluster.GroupID(g.Group))
	}
	next, err := member.Refound(ring, src.Head.Cluster, cfg.Name, cfg.Cluster.AdvertiseAddr(), groups, featureLevel)
	if err != nil {
		return err
	}
	done, err := c.fill(e, cfg, ring, src, next)
	if err != nil {
		return repoError(err)
	}
	if err := next.Keep(ring); err != nil {
		return err
	}
	if err := removeDurable(filepath.Join(cfg.DataDir, planFile)); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "restored cluster %s as of %s: %d accounts, %d messages\n",
		next.Cluster, src.Snap.Time().Format(time.RFC3339), done.Accounts, done.Messages-done.Expunged)
	if done.Expunged > 0 {
		fmt.Fprintf(e.stdout, "%d messages were expunged while that backup was pulled, and are not restored\n", done.Expunged)
	}
	if done.Closed > 0 {
		fmt.Fprintf(e.stdout, "%d accounts were made or closed while that backup was pulled, and are closed\n", done.Closed)
	}
	fmt.Fprintf(e.stderr, "What was answered after that time is not in it. UIDs stay; new ones begin far above.\n"+
		"Keep a copy of %s. Now start it: altmail serve --config %s\n"+
		"Then bring in the other nodes, on empty data directories: altmail cluster token, altmail cluster join.\n"+
		"Backups need a new grant.\n", keyPlace(cfg), c.Config)
	if done.Lost > 0 {
		return codedf(exitPartly, "%d bodies are lost: the repository is damaged", done.Lost)
	}
	return nil
}

// beginRestore notes what is restored. It refuses a directory that holds
// something else.
func beginRestore(cfg *config.Config, p restorePlan) error {
	path := filepath.Join(cfg.DataDir, planFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		for _, name := range []string{"keyring", "state", "groups", "bodies", "journal"} {
			if _, err := os.Stat(filepath.Join(cfg.DataDir, name)); err == nil {
				return codedf(exitNotAllowed, "%s is not empty (%s): a cluster is restored into an empty data directory", cfg.DataDir, name)
			}
		}
		if b, err = json.Marshal(p); err != nil {
			return err
		}
		return writeDurable(path, b)
	case err != nil:
		return err
	}
	var old restorePlan
	if err := json.Unmarshal(b, &old); err != nil || old != p {
		return codedf(exitNotAllowed, "the restore of another snapshot (%.12s) was begun in %s: go on with that one, or empty the directory", old.Snapshot, cfg.DataDir)
	}
	return nil
}

// clearRestore removes what an interrupted run left, but for the bodies, which
// are named by what they are.
func clearRestore(cfg *config.Config) error {
	for _, dir := range []string{stateDir(cfg), filepath.Join(cfg.DataDir, "groups")} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// writeDurable writes a file, whole or not at all.
func writeDurable(path string, b []byte) error {
	temp := path + ".tmp"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func removeDurable(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fill fills the stores of a node that does not run.
func (c *backupRestoreCmd) fill(e *env, cfg *config.Config, ring *keyring.Ring, src *restore.Source, next *member.Refounded) (sum restore.Adopted, err error) {
	var failed error
	die := func(err error) { failed = errors.Join(failed, err) }
	db, err := state.Open(cryptfs.New(vfs.Default, ring.Files()), stateDir(cfg), state.Options{CacheBytes: int64(cfg.Store.Cache), Fatal: die})
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, db.Close(), failed) }()
	s := &states{mail: map[cluster.GroupID]*state.Mail{}}
	nothing := hooks{
		events: func([]mailstore.Event) {}, dead: func(cluster.GroupID, uint64, []cluster.BodyID) {}, directory: func() {},
	}
	bar := newBar(e.stderr, c.Quiet)
	defer bar.end()
	machines := map[cluster.GroupID]cluster.Machine{}
	var all, done int64
	for i, g := range src.Groups() {
		id := cluster.GroupID(g.Group)
		m, err := s.open(db, id, nothing)
		if err != nil {
			return sum, err
		}
		defer func() { err = errors.Join(err, m.Close()) }()
		machines[id] = m
		all += g.BodyBytes
		if err := src.Install(e.ctx, i, m, func(done, of int) { bar.count(fmt.Sprintf("group %d:", id), done, of, "pieces of metadata") }); err != nil {
			return sum, err
		}
	}
	if s.directory() == nil {
		return sum, codedf(exitData, "the snapshot has no directory")
	}
	j, err := journal.Open(vfs.Default, node.JournalDir(cfg.DataDir), journal.Options{Fatal: die})
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	bodies, err := body.Open(vfs.Default, bodyDir(cfg), body.Options{
		Fatal: die, Journal: j, Live: s, Members: func(cluster.GroupID) []cluster.NodeID { return nil },
	})
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, bodies.Close()) }()
	if err := j.Settle(); err != nil {
		return sum, err
	}
	missing := make([]restore.Missing, len(src.Groups()))
	lost := 0
	for i, g := range src.Groups() {
		missing[i], err = src.Bodies(e.ctx, i, func(id cluster.BodyID, b []byte) error {
			return bodies.PutVerified(e.ctx, cluster.GroupID(g.Group), id, b)
		}, func(size int64) { done += size; bar.tell("bodies", done, all) })
		if err != nil {
			return sum, err
		}
		lost += len(missing[i].Lost)
	}
	if lost > 0 && !slices.Contains(c.AcceptRisk, "lose-messages") {
		return sum, codedf(exitNotAllowed, "%d bodies are damaged or missing in %s (see altmail backup verify --read-data); to restore the rest: --accept-risk=lose-messages", lost, src.Repo)
	}
	if sum, err = adopt(s, src, missing, next); err != nil {
		return sum, err
	}
	for id, m := range machines {
		if err := group.Found(group.Options{
			Group: id, Node: next.Self.ID, Incarnation: 1, Dir: node.GroupDir(cfg.DataDir, id),
			Machine: m, Gate: bodies, Keys: ring.Logs(), Journal: j,
		}); err != nil {
			return sum, err
		}
	}
	return sum, failed
}

// adopt makes the states those of a new incarnation.
func adopt(s *states, src *restore.Source, missing []restore.Missing, next *member.Refounded) (sum restore.Adopted, err error) {
	known := map[mailstore.AccountID]bool{}
	r := s.directory().Read()
	err = r.Accounts(func(a *state.DirectoryAccount) error {
		known[a.ID] = a.Status != pb.AccountStatus_CLOSED
		return nil
	})
	if err := errors.Join(err, r.Close()); err != nil {
		return sum, err
	}
	now := time.Now()
	closed := map[mailstore.AccountID]bool{}
	for i, g := range src.Groups() {
		if cluster.GroupID(g.Group) == cluster.Directory {
			continue
		}
		m, ok := s.get(cluster.GroupID(g.Group))
		if !ok {
			return sum, cluster.ErrStopped
		}
		a, err := restore.AdoptMail(m, missing[i], func(id mailstore.AccountID) bool { return known[id] }, closed, now)
		if err != nil {
			return sum, err
		}
		sum.Accounts += a.Accounts
		sum.Messages += a.Messages
		sum.Expunged += a.Expunged
		sum.Lost += a.Lost
		sum.Closed += a.Closed
	}
	return sum, restore.AdoptDirectory(s.directory(), restore.Node{
		ID: next.Self.ID, Name: next.Self.Name, Address: next.Self.Address, PublicKey: next.Self.PublicKey, Level: next.Self.Level,
	}, next.SealedCA, closed, now)
}
