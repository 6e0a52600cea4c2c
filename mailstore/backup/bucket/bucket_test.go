package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"altmail.se/altmail/mailstore/backup/repo"
)

// server runs an S3 server with a bucket and returns its address.
func server(t *testing.T) string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("mail"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(s.Close)
	return "s3+http://" + strings.TrimPrefix(s.URL, "http://") + "/mail/backups?region=us-east-1"
}

func open(t *testing.T, address string) *Bucket {
	t.Helper()
	b, err := New(address, Keys{"access", "secret"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStorage(t *testing.T) {
	ctx, b := t.Context(), open(t, server(t))
	if _, err := b.Read(ctx, "packs/none", 0, -1); !errors.Is(err, repo.ErrMissing) {
		t.Fatalf("missing: %v", err)
	}
	if fs, err := b.List(ctx, "packs"); err != nil || len(fs) != 0 {
		t.Fatalf("empty: %v, %v", fs, err)
	}
	data := bytes.Repeat([]byte("0123456789"), 700_000)
	for _, name := range []string{"repo", "packs/one", "packs/two", "index/three"} {
		if err := b.Write(ctx, name, data[:4], data[4:]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		folder string
		want   []string
	}{{"", []string{"repo"}}, {"packs", []string{"one", "two"}}, {"index", []string{"three"}}} {
		fs, err := b.List(ctx, c.folder)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range fs {
			names = append(names, f.Name)
			if f.Size != int64(len(data)) {
				t.Errorf("%s has %d bytes", f.Name, f.Size)
			}
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("in %q: %v", c.folder, names)
		}
	}
	for _, c := range []struct{ off, n int64 }{{0, -1}, {0, 10}, {5, 100_000}, {int64(len(data)) - 7, 7}, {3, 0}} {
		want := data[c.off:]
		if c.n >= 0 {
			want = want[:c.n]
		}
		if got, err := b.Read(ctx, "packs/one", c.off, c.n); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%+v: %d bytes, %v", c, len(got), err)
		}
	}
	if _, err := b.Read(ctx, "packs/one", int64(len(data))-3, 10); !errors.Is(err, repo.ErrDamaged) {
		t.Errorf("over the end: %v", err)
	}
	if err := b.Remove(ctx, "packs/one"); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(ctx, "packs/one"); err != nil {
		t.Errorf("twice: %v", err)
	}
	if _, err := b.Read(ctx, "packs/one", 0, 10); !errors.Is(err, repo.ErrMissing) {
		t.Errorf("removed: %v", err)
	}
}

func TestLock(t *testing.T) {
	ctx, address := t.Context(), server(t)
	a, b := open(t, address), open(t, address)
	release, err := a.Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lock(ctx); !errors.Is(err, repo.ErrLocked) {
		t.Fatalf("a second writer: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if release, err = b.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	// One that died: nobody keeps its lock alive.
	if err := b.Write(ctx, lockFolder+"/dead", []byte("x")); err != nil {
		t.Fatal(err)
	}
	a.stale = -time.Hour
	if release, err = a.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if fs, err := a.List(ctx, lockFolder); err != nil || len(fs) != 0 {
		t.Errorf("left: %v, %v", fs, err)
	}
}

// TestRepo: a repository in a bucket is one as in a directory.
func TestRepo(t *testing.T) {
	ctx, address := t.Context(), server(t)
	w, err := repo.NewWriter(ctx, open(t, address), "00112233.1")
	if err != nil {
		t.Fatal(err)
	}
	var ids []repo.ID
	for i := range 300 {
		b := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 40_000)
		id := repo.ID(sha256.Sum256(b))
		ids = append(ids, id)
		if err := w.Put(ctx, repo.KindBody, id, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Flush(ctx), w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(ctx, open(t, address))
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if b, err := r.Get(ctx, repo.KindBody, id); err != nil || len(b) != 80_000 || b[0] != byte(i) {
			t.Fatalf("body %d: %v", i, err)
		}
	}
	if v, err := r.Verify(context.Background(), true, func(int64, int64) {}); err != nil || len(v.Problems) > 0 || v.Packs != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
}

func TestAddress(t *testing.T) {
	for _, bad := range []string{"s3://", "s3://host", "s3://host/", "http://host/b", "s3://user:secret@host/b"} {
		if _, err := New(bad, Keys{"a", "b"}); !errors.Is(err, ErrURL) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "{}", `{"access_key":"a"}`} {
		if _, err := ParseKeys([]byte(bad)); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
