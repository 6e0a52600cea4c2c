// Package bucket keeps a backup repository in a bucket that speaks S3.
package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"altmail.se/altmail/mailstore/backup/repo"
)

// Locks: a writer puts an object of its own under lockFolder, then looks who
// else has one. Two that come together both give way. One that is not put again
// for lockStale is of a writer that died; times are the server's.
const (
	lockFolder = "locks"
	lockEvery  = 2 * time.Minute
	lockStale  = 10 * time.Minute
)

// The errors of this package.
var (
	ErrURL  = errors.New("bucket: an address is s3://HOST/BUCKET or s3://HOST/BUCKET/FOLDER, with ?region=NAME where one is needed")
	ErrKeys = errors.New("bucket: not a file of keys: JSON with access_key and secret_key")
)

// Keys are what a bucket is opened with.
type Keys struct {
	Access string `json:"access_key"`
	Secret string `json:"secret_key"`
}

// ParseKeys reads a file of keys. Its error never quotes the file.
func ParseKeys(b []byte) (k Keys, err error) {
	if json.Unmarshal(b, &k) != nil || k.Access == "" || k.Secret == "" {
		return k, ErrKeys
	}
	return k, nil
}

// Is reports whether a repository's name is the address of a bucket.
func Is(name string) bool {
	return strings.HasPrefix(name, "s3://") || strings.HasPrefix(name, "s3+http://")
}

// Bucket is a repository's storage in a bucket. An object there is written whole
// or not at all, and durable when the server has answered.
type Bucket struct {
	c      *minio.Client
	name   string
	bucket string
	prefix string
	stale  time.Duration
}

var _ repo.Storage = (*Bucket)(nil)

// New returns the storage at an address. s3+http is without TLS: what is stored
// is sealed, but the names of snapshots and who reads them show.
func New(address string, keys Keys) (*Bucket, error) {
	u, err := url.Parse(address)
	if err != nil || !Is(address) || u.Host == "" || u.User != nil {
		return nil, ErrURL
	}
	bucket, folder, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if bucket == "" {
		return nil, ErrURL
	}
	b := &Bucket{name: u.Scheme + "://" + u.Host + u.Path, bucket: bucket, stale: lockStale}
	if folder != "" {
		b.prefix = folder + "/"
	}
	b.c, err = minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(keys.Access, keys.Secret, ""), Secure: u.Scheme == "s3", Region: u.Query().Get("region"),
	})
	if err != nil {
		return nil, fmt.Errorf("bucket: %w", err)
	}
	return b, nil
}

func (b *Bucket) String() string { return b.name }

// objects lists what is directly in a folder.
func (b *Bucket) objects(ctx context.Context, folder string) ([]minio.ObjectInfo, error) {
	prefix := b.prefix
	if folder != "" {
		prefix += folder + "/"
	}
	var out []minio.ObjectInfo
	for o := range b.c.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return nil, fmt.Errorf("bucket: list: %w", o.Err)
		}
		o.Key = strings.TrimPrefix(o.Key, prefix)
		if o.Key != "" && !strings.Contains(o.Key, "/") {
			out = append(out, o)
		}
	}
	return out, ctx.Err()
}

// List implements repo.Storage.
func (b *Bucket) List(ctx context.Context, folder string) (out []repo.File, err error) {
	os, err := b.objects(ctx, folder)
	for _, o := range os {
		out = append(out, repo.File{Name: o.Key, Size: o.Size})
	}
	return out, err
}

// Read implements repo.Storage.
func (b *Bucket) Read(ctx context.Context, name string, off, n int64) (_ []byte, err error) {
	if n == 0 {
		return nil, nil // a range of nothing can't be asked for
	}
	var o minio.GetObjectOptions
	switch {
	case n > 0:
		err = o.SetRange(off, off+n-1)
	case off > 0:
		err = o.SetRange(off, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("bucket: read %s: %w", name, err)
	}
	r, err := b.c.GetObject(ctx, b.bucket, b.prefix+name, o)
	if err != nil {
		return nil, readError(name, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	out, err := io.ReadAll(r)
	if err != nil {
		return nil, readError(name, err)
	}
	if n > 0 && int64(len(out)) != n {
		return nil, fmt.Errorf("%w: %s ends too early", repo.ErrDamaged, name)
	}
	return out, nil
}

func readError(name string, err error) error {
	switch minio.ToErrorResponse(err).Code {
	case "NoSuchKey":
		return fmt.Errorf("%w: %s", repo.ErrMissing, name)
	case "InvalidRange":
		return fmt.Errorf("%w: %s ends too early", repo.ErrDamaged, name)
	}
	return fmt.Errorf("bucket: read %s: %w", name, err)
}

// Write implements repo.Storage.
func (b *Bucket) Write(ctx context.Context, name string, parts ...[]byte) error {
	var rs []io.Reader
	size := int64(0)
	for _, p := range parts {
		rs = append(rs, bytes.NewReader(p))
		size += int64(len(p))
	}
	// In one piece, so that no part of it can be left behind.
	_, err := b.c.PutObject(ctx, b.bucket, b.prefix+name, io.MultiReader(rs...), size, minio.PutObjectOptions{
		DisableMultipart: true, ContentType: "application/octet-stream",
	})
	if err != nil {
		return fmt.Errorf("bucket: write %s: %w", name, err)
	}
	return nil
}

// Remove implements repo.Storage.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	err := b.c.RemoveObject(ctx, b.bucket, b.prefix+name, minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != "NoSuchKey" {
		return fmt.Errorf("bucket: remove %s: %w", name, err)
	}
	return nil
}

// Lock implements repo.Storage.
func (b *Bucket) Lock(ctx context.Context) (release func() error, err error) {
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	own := hex.EncodeToString(id[:])
	name := lockFolder + "/" + own
	if err := b.Write(ctx, name, []byte("x")); err != nil {
		return nil, err
	}
	if err := b.alone(ctx, own); err != nil {
		return nil, errors.Join(err, b.Remove(context.WithoutCancel(ctx), name))
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(lockEvery)
		defer t.Stop()
		for {
			select {
			case <-life.Done():
				return
			case <-t.C:
			}
			// One that fails is made good by the next: there is time for four.
			if err := b.Write(life, name, []byte("x")); err != nil && life.Err() != nil {
				return
			}
		}
	})
	return func() error {
		end()
		wg.Wait()
		return b.Remove(context.WithoutCancel(ctx), name)
	}, nil
}

// alone returns ErrLocked unless nobody else has a lock that is kept alive, and
// removes those of dead writers.
func (b *Bucket) alone(ctx context.Context, own string) error {
	all, err := b.objects(ctx, lockFolder)
	if err != nil {
		return err
	}
	var mine time.Time
	for _, o := range all {
		if o.Key == own {
			mine = o.LastModified
		}
	}
	if mine.IsZero() {
		return errors.New("bucket: the server does not list what was just written")
	}
	for _, o := range all {
		switch {
		case o.Key == own:
		case mine.Sub(o.LastModified) <= b.stale:
			return fmt.Errorf("%w (%s)", repo.ErrLocked, b.name)
		default:
			if err := b.Remove(ctx, lockFolder+"/"+o.Key); err != nil {
				return err
			}
		}
	}
	return nil
}
