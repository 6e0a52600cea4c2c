package source

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/backup/wire"
)

// fetch gives bodies. One that the state refers to no more is gone, also where
// its bytes still lie here: what is expunged is served to nobody.
func (s *Server) fetch(w http.ResponseWriter, r *http.Request, g *grant.Grant) error {
	n, err := strconv.ParseUint(r.URL.Query().Get("group"), 10, 32)
	if err != nil {
		return badRequest{"no group"}
	}
	want, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || len(want)%32 != 0 {
		return badRequest{"body ids"}
	}
	for ; len(want) > 0; want = want[32:] {
		// A grant may be revoked while it pulls.
		if _, err := s.Grant(g.Key); err != nil {
			return stream(w, err)
		}
		if err := s.one(w, r, cluster.GroupID(n), cluster.BodyID(want[:32])); err != nil {
			return stream(w, err)
		}
	}
	return stream(w, nil)
}

func (s *Server) one(w http.ResponseWriter, r *http.Request, group cluster.GroupID, id cluster.BodyID) error {
	live, err := s.c.Referenced(group, id)
	if err != nil {
		return err
	}
	if !live {
		s.count(func(t *Stats) { t.Gone++ })
		return wire.Write(w, wire.KindGone, id[:])
	}
	b, err := s.read(group, id)
	switch {
	case errors.Is(err, cluster.ErrNotHere):
		return wire.Write(w, wire.KindNotHere, id[:])
	case errors.Is(err, mailstore.ErrDamaged), err == nil && sha256.Sum256(b) != id:
		// Verify sets it aside and has it healed; another node gives it.
		if err := s.c.Bodies.Verify(r.Context(), group, id); err != nil {
			s.c.Log.Warn("a damaged body was found while it was backed up", "group", group, "err", err)
		}
		return wire.Write(w, wire.KindNotHere, id[:])
	case err != nil:
		return err
	}
	s.count(func(t *Stats) { t.Bodies++; t.BodyBytes += uint64(len(b)) })
	return wire.Write(w, wire.KindBody, id[:], b)
}

func (s *Server) read(group cluster.GroupID, id cluster.BodyID) ([]byte, error) {
	h, err := s.c.Bodies.Open(group, id)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	b := make([]byte, h.Size())
	n, err := h.ReadAt(b, 0)
	if n == len(b) {
		err = nil
	}
	return b, err
}
