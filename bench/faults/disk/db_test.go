//go:build linux

package disk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/bbolt"
)

// A database works in a process of its own: the one that serves the file
// system must not map files of it.
const dbRole = "ALTMAIL_DISK_TEST_DB"

func TestMain(m *testing.M) {
	if role := os.Getenv(dbRole); role != "" {
		if err := database(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// store is a database of numbers.
type store interface {
	// last returns the highest number, having seen that all below it are there.
	last() (uint64, error)
	// commit makes one more durable, with some bytes to it.
	commit(n uint64) error
	close() error
}

// database plays "kind dir work" or "kind dir look": it prints the last number
// there is and, at work, each one that it has committed since.
func database(role string) error {
	f := strings.Fields(role)
	kind, dir, what := f[0], f[1], f[2]
	var s store
	var err error
	switch kind {
	case "bbolt", "bbolt-nosync":
		s, err = openBolt(dir, kind == "bbolt-nosync")
	default:
		s, err = openPebble(dir, kind == "pebble-nosync")
	}
	if err != nil {
		return err
	}
	n, err := s.last()
	if err != nil {
		return err
	}
	fmt.Println(n)
	if what == "look" {
		return s.close()
	}
	for {
		n++
		if err := s.commit(n); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func payload(n uint64) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 50+int(n%3000)) }

func check(n uint64, k, v []byte) error {
	if len(k) != 8 || binary.BigEndian.Uint64(k) != n || !bytes.Equal(v, payload(n)) {
		return fmt.Errorf("number %d is missing or damaged", n)
	}
	return nil
}

type boltStore struct{ db *bbolt.DB }

var bucket = []byte("numbers")

func openBolt(dir string, noSync bool) (store, error) {
	// Mapped from the start, as our log is.
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, &bbolt.Options{NoFreelistSync: true, InitialMmapSize: 64 << 20, NoSync: noSync})
	if err != nil {
		return nil, err
	}
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucketIfNotExists(bucket); return err }); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	return &boltStore{db}, err
}

func (s *boltStore) last() (n uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			n++
			return check(n, k, v)
		})
	})
	return n, err
}

func (s *boltStore) commit(n uint64) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucket).Put(binary.BigEndian.AppendUint64(nil, n), payload(n))
	})
}

func (s *boltStore) close() error { return s.db.Close() }

type pebbleStore struct {
	db *pebble.DB
	wo *pebble.WriteOptions
}

func openPebble(dir string, noSync bool) (store, error) {
	// Small tables, so that flushes and compactions are under way.
	db, err := pebble.Open(dir, &pebble.Options{MemTableSize: 64 << 10, Logger: quiet{}})
	wo := pebble.Sync
	if noSync {
		wo = pebble.NoSync
	}
	return &pebbleStore{db, wo}, err
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (s *pebbleStore) last() (n uint64, err error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return 0, err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		n++
		err = check(n, it.Key(), it.Value())
	}
	return n, errors.Join(err, it.Close())
}

func (s *pebbleStore) commit(n uint64) error {
	return s.db.Set(binary.BigEndian.AppendUint64(nil, n), payload(n), s.wo)
}

func (s *pebbleStore) close() error { return s.db.Close() }

// worker is a database at work.
type worker struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	errs bytes.Buffer
}

func begin(kind, dir, what string) (*worker, error) {
	w := &worker{cmd: exec.Command(os.Args[0])}
	w.cmd.Env = append(os.Environ(), dbRole+"="+kind+" "+dir+" "+what)
	w.cmd.Stderr = &w.errs
	p, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReader(p)
	return w, w.cmd.Start()
}

func (w *worker) next() (uint64, error) {
	s, err := w.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(s), 10, 64)
}

// lose lets a database commit a while, takes the power from it and kills it,
// and returns how many commits it had reported by then.
func lose(t *testing.T, f *FS, kind, dir string, commits int, seed uint64) (reported uint64, err error) {
	w, err := begin(kind, dir, "work")
	if err != nil {
		return 0, err
	}
	for range commits {
		n, err := w.next()
		if err != nil {
			return 0, fmt.Errorf("%w: %s", errors.Join(err, w.cmd.Wait()), w.errs.String())
		}
		reported = n
	}
	f.Cut()
	must(t, w.cmd.Process.Kill())
	// What it had printed before that counts: it was answered.
	for {
		n, err := w.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return 0, err
			}
			break
		}
		reported = n
	}
	if err := w.cmd.Wait(); err == nil {
		return 0, errors.New("it ended by itself")
	}
	r, err := f.PowerLoss(seed)
	if err == nil && r.Busy {
		err = errors.New("its files were still open")
	}
	return reported, err
}

// look opens a database and returns its last number.
func look(kind, dir string) (uint64, error) {
	w, err := begin(kind, dir, "look")
	if err != nil {
		return 0, err
	}
	n, err := w.next()
	if werr := w.cmd.Wait(); werr != nil {
		return 0, fmt.Errorf("%w: %s", werr, w.errs.String())
	}
	return n, err
}

// TestDatabases: databases that sync as they should find every commit they
// answered, after any power loss; so the file system keeps what it must.
func TestDatabases(t *testing.T) {
	for _, kind := range []string{"bbolt", "pebble"} {
		for _, rules := range []Rules{POSIX, Loose, Ext4} {
			t.Run(fmt.Sprintf("%s/%d", kind, rules), func(t *testing.T) {
				f := mounted(t, Options{Rules: rules, Log: slog.New(slog.DiscardHandler)})
				seed := uint64(time.Now().UnixNano())
				t.Logf("seed %d", seed)
				dir := filepath.Join(f.Mountpoint(), "db")
				must(t, os.Mkdir(dir, 0o700))
				syncDir(t, f.Mountpoint())
				for i := range uint64(dbLosses) {
					draw := seed + i
					if i%3 == 0 {
						draw = 0
					}
					reported, err := lose(t, f, kind, dir, 10+int(draw%150), draw)
					must(t, err)
					got, err := look(kind, dir)
					if err != nil {
						t.Fatalf("loss %d, seed %d: %v", i, draw, err)
					}
					// One more may have been committed and not yet reported.
					if got < reported || got > reported+1 {
						t.Fatalf("loss %d, seed %d: reported %d, found %d", i, draw, reported, got)
					}
				}
			})
		}
	}
}

// TestNoSyncDatabases: the same without syncs loses something at once, or the
// file system would not be worth much.
func TestNoSyncDatabases(t *testing.T) {
	for _, kind := range []string{"bbolt-nosync", "pebble-nosync"} {
		t.Run(kind, func(t *testing.T) {
			f := mounted(t, Options{Log: slog.New(slog.DiscardHandler)})
			dir := filepath.Join(f.Mountpoint(), "db")
			must(t, os.Mkdir(dir, 0o700))
			f.Sync()
			reported, err := lose(t, f, kind, dir, 50, 0)
			must(t, err)
			if got, err := look(kind, dir); err == nil && got >= reported {
				t.Errorf("reported %d, found %d: nothing was lost", reported, got)
			} else {
				t.Logf("reported %d, found %d, %v", reported, got, err)
			}
		})
	}
}
