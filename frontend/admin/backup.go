package admin

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"connectrpc.com/connect"

	"altmail.se/altmail/crypto/pki"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/mailstore/backup/grant"
)

// GrantBackup lets the holder of a key pull backups, sealed to recipients.
func (s *Server) GrantBackup(ctx context.Context, r *connect.Request[adminpb.GrantBackupRequest]) (*connect.Response[adminpb.GrantBackupResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	g := grant.Grant{Name: r.Msg.Name, Key: r.Msg.Key, Recipients: r.Msg.Recipients, Created: time.Now().UnixMilli()}
	if err := s.changeGrants(ctx, func(l []grant.Grant) ([]grant.Grant, error) { return grant.Add(l, g) }); err != nil {
		return nil, err
	}
	nodes, err := s.c.Members.Roster.Nodes()
	if err != nil {
		return nil, fail(err)
	}
	id := s.c.Members.Local.Identity()
	ca := pki.Fingerprint(id.CA)
	out := &adminpb.GrantBackupResponse{Cluster: id.Cluster, Ca: hex.EncodeToString(ca[:])}
	for _, n := range nodes {
		if !n.Leaving {
			out.Nodes = append(out.Nodes, n.Address)
		}
	}
	s.c.Log.Info("backup granted", "grant", g.Name, "recipients", len(g.Recipients))
	return connect.NewResponse(out), nil
}

// RevokeBackup ends a grant; a pull under way ends too.
func (s *Server) RevokeBackup(ctx context.Context, r *connect.Request[adminpb.RevokeBackupRequest]) (*connect.Response[adminpb.RevokeBackupResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.changeGrants(ctx, func(l []grant.Grant) ([]grant.Grant, error) { return grant.Remove(l, r.Msg.Name) }); err != nil {
		return nil, err
	}
	s.c.Log.Info("backup grant revoked", "grant", r.Msg.Name)
	return connect.NewResponse(&adminpb.RevokeBackupResponse{}), nil
}

func (s *Server) changeGrants(ctx context.Context, change func([]grant.Grant) ([]grant.Grant, error)) error {
	ring := s.c.Members.Ring
	err := s.c.Commit.ChangeSetting(ctx, grant.Setting, func(old []byte) ([]byte, error) {
		list, err := grant.Open(ring, old)
		if err == nil {
			list, err = change(list)
		}
		if err != nil {
			return nil, err
		}
		return grant.Seal(ring, list)
	})
	return grantError(err)
}

func grantError(err error) error {
	switch {
	case errors.Is(err, grant.ErrName), errors.Is(err, grant.ErrRecipients), errors.Is(err, grant.ErrLimit):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, grant.ErrExists):
		return connect.NewError(connect.CodeAlreadyExists, err)
	case errors.Is(err, grant.ErrUnknown):
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	return fail(err)
}

// ListBackupGrants lists who may pull, in the order of granting.
func (s *Server) ListBackupGrants(ctx context.Context, _ *connect.Request[adminpb.ListBackupGrantsRequest]) (*connect.Response[adminpb.ListBackupGrantsResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.c.Lookup.SyncDirectory(ctx); err != nil {
		return nil, fail(err)
	}
	value, err := s.c.Lookup.Setting(grant.Setting)
	if err != nil {
		return nil, fail(err)
	}
	list, err := grant.Open(s.c.Members.Ring, value)
	if err != nil {
		return nil, fail(err)
	}
	out := &adminpb.ListBackupGrantsResponse{}
	for _, g := range list {
		out.Grants = append(out.Grants, &adminpb.ListBackupGrantsResponse_Grant{Name: g.Name, Recipients: g.Recipients, Created: g.Created / 1000})
	}
	return connect.NewResponse(out), nil
}
