package keyring

import "testing"

func TestAdapters(t *testing.T) {
	r, _, _ := newRing(t)
	must(r.NewLogKey())(t)
	_, fileKey := r.FileKey()
	_, logKey := r.LogKey()
	if e, k := r.Files().FileKey(); e != 1 || k != fileKey {
		t.Errorf("file key epoch %d", e)
	}
	if e, k := r.Logs().LogKey(); e != 2 || k != logKey {
		t.Errorf("log key epoch %d", e)
	}
	if must(r.Files().FileKeyAt(1))(t) != fileKey || must(r.Logs().LogKeyAt(2))(t) != logKey {
		t.Error("another key for the current epoch")
	}
	_, err := r.Files().FileKeyAt(9)
	wantErr(t, err, ErrNoEpoch)
	_, err = r.Logs().LogKeyAt(9)
	wantErr(t, err, ErrNoEpoch)
}
