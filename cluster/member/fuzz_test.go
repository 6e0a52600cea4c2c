package member

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"testing"

	"altmail.se/altmail/cluster"
)

// FuzzServe sends any request of another member: it never panics, an answer is
// JSON, and nobody is taken off the roster who did not say that he leaves.
func FuzzServe(f *testing.F) {
	for _, op := range []string{"report", "listed", "transfer", "digests", "counts", "hold", "goodbye", "none"} {
		for _, arg := range []string{`null`, `0`, `"` + nid(2).String() + `"`, `{"group":1,"to":"` + nid(2).String() + `"}`, `[1,2,4294967295]`} {
			f.Add([]byte(`{"op":"` + op + `","arg":` + arg + `}`))
		}
	}
	f.Fuzz(func(t *testing.T, req []byte) {
		w := newWorld(t, 1)
		m := w.cluster(3)[0].m
		resp, err := m.serve(t.Context(), nid(2), req)
		if err == nil && !json.Valid(resp) {
			t.Errorf("answer %q", resp)
		}
		if len(w.nodes) != 3 || len(w.groups) != 1 {
			t.Error("the roster changed")
		}
		if len(m.held) > 2 {
			t.Error("remembers groups that are not here")
		}
	})
}

// FuzzReadFrame reads any bytes as frames of the join call: it never panics,
// never reads past the frame, and takes no more memory than a frame may have.
func FuzzReadFrame(f *testing.F) {
	frame := func(v any) []byte {
		var b bytes.Buffer
		if err := writeFrame(&b, v); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	req := frame(joinRequest{Token: []byte{1}, CSR: []byte{2}, Proof: []byte{3}, Node: nid(1).String(), Name: "n", Address: "a:1", Level: 1})
	f.Add(req)
	f.Add(req[:len(req)-1])
	f.Add(frame(joinReply{Error: "no"}))
	f.Add(frame(joinReply{Grant: frame(joinGrant{Cluster: "c", Roots: map[uint32][]byte{1: {1}}, Groups: []cluster.GroupID{0}}), Answer: []byte{1}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, '{'})
	f.Add(binary.BigEndian.AppendUint32(nil, maxJoinFrame+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var q joinRequest
		if err := readFrame(r, &q); err == nil {
			n := int(binary.BigEndian.Uint32(b))
			if n > maxJoinFrame || r.Len() != len(b)-4-n {
				t.Errorf("%d bytes announced, %d left of %d", n, r.Len(), len(b))
			}
			// What was understood is understood again.
			var again bytes.Buffer
			if err := writeFrame(&again, q); err == nil {
				var q2 joinRequest
				if err := readFrame(&again, &q2); err != nil {
					t.Errorf("written again: %v", err)
				}
			}
		}
		var p joinReply
		if err := readFrame(io.LimitReader(bytes.NewReader(b), maxJoinFrame), &p); err == nil && p.Grant != nil {
			var g joinGrant
			_ = json.Unmarshal(p.Grant, &g) // any error will do
		}
	})
}

func TestFrameTooLong(t *testing.T) {
	if err := writeFrame(io.Discard, joinReply{Grant: make([]byte, maxJoinFrame)}); err == nil {
		t.Error("written")
	}
	var p joinReply
	if err := readFrame(bytes.NewReader([]byte{0, 4, 0, 1}), &p); err == nil || err == io.ErrUnexpectedEOF {
		t.Errorf("a length above the limit: %v", err)
	}
}

func TestSplitCA(t *testing.T) {
	cert, key, ok := splitCA(caBlob([]byte("cert"), []byte("key")))
	if !ok || string(cert) != "cert" || string(key) != "key" {
		t.Errorf("%q %q %v", cert, key, ok)
	}
	for _, b := range [][]byte{nil, {0, 0, 0}, {0, 0, 0, 1}, {0xff, 0xff, 0xff, 0xff, 1}} {
		if _, _, ok := splitCA(b); ok {
			t.Errorf("%x is split", b)
		}
	}
}
