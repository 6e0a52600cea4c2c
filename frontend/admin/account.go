package admin

import (
	"context"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// callTimeout bounds a call that changes accounts.
const callTimeout = 10 * time.Second

// find resolves an address to its account, linearizably, whatever the
// account's status.
func (s *Server) find(ctx context.Context, address string) (lookup.AccountInfo, error) {
	if _, _, ok := strings.Cut(address, "@"); !ok {
		return lookup.AccountInfo{}, mailstore.ErrNoAddress
	}
	if err := s.c.Lookup.SyncDirectory(ctx); err != nil {
		return lookup.AccountInfo{}, err
	}
	return s.c.Lookup.AccountByAddress(address)
}

// show adds what the account's mail group knows.
func (s *Server) show(ctx context.Context, i lookup.AccountInfo) (*adminpb.Account, error) {
	a := &adminpb.Account{
		Id: i.ID.String(), Addresses: i.Addresses, Status: i.Status.String(), Group: uint32(i.Group),
		QuotaBytes: i.QuotaBytes, QuotaMessages: i.QuotaMessages,
	}
	if i.Status != lookup.Active && i.Status != lookup.Suspended {
		return a, nil
	}
	acct, err := s.c.Lookup.Open(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	q, err := acct.Quota()
	if err != nil {
		return nil, err
	}
	a.UsedBytes, a.UsedMessages = q.UsedBytes, q.UsedMessages
	boxes, _, err := acct.Mailboxes()
	if err != nil {
		return nil, err
	}
	a.Mailboxes = uint32(len(boxes))
	a.MaskedCapabilities, err = s.c.Lookup.Mask(acct)
	return a, err
}

// AddAccount makes an account; its domain becomes one of ours.
func (s *Server) AddAccount(ctx context.Context, r *connect.Request[adminpb.AddAccountRequest]) (*connect.Response[adminpb.Account], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, domain, ok := strings.Cut(r.Msg.Address, "@")
	if !ok {
		return nil, connect.NewError(connect.CodeInvalidArgument, mailstore.ErrBadName)
	}
	ours, err := s.c.Lookup.HasDomain(ctx, domain)
	if err == nil && !ours {
		err = s.c.Commit.AddDomain(ctx, domain)
	}
	if err != nil {
		return nil, fail(err)
	}
	_, err = s.c.Commit.AddAccount(ctx, commit.AddAccount{
		Address: r.Msg.Address, Password: r.Msg.Password, Verifier: r.Msg.Verifier,
		QuotaBytes: r.Msg.QuotaBytes, QuotaMessages: r.Msg.QuotaMessages,
	})
	if err != nil {
		return nil, fail(err)
	}
	return s.answer(ctx, r.Msg.Address)
}

func (s *Server) answer(ctx context.Context, address string) (*connect.Response[adminpb.Account], error) {
	i, err := s.find(ctx, address)
	if err != nil {
		return nil, fail(err)
	}
	a, err := s.show(ctx, i)
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(a), nil
}

// ListAccounts lists accounts in the order of their ids, a page at a time.
func (s *Server) ListAccounts(ctx context.Context, r *connect.Request[adminpb.ListAccountsRequest]) (*connect.Response[adminpb.ListAccountsResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var after mailstore.AccountID
	if r.Msg.After != "" {
		n, err := strconv.ParseUint(r.Msg.After, 16, 64)
		if err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
		after = mailstore.AccountID(n)
	}
	limit := int(r.Msg.Limit)
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	if err := s.c.Lookup.SyncDirectory(ctx); err != nil {
		return nil, fail(err)
	}
	infos, err := s.c.Lookup.Accounts(after, limit)
	if err != nil {
		return nil, fail(err)
	}
	out := &adminpb.ListAccountsResponse{}
	for _, i := range infos {
		a, err := s.show(ctx, i)
		if err != nil {
			return nil, fail(err)
		}
		out.Accounts = append(out.Accounts, a)
	}
	if len(infos) == limit {
		out.Next = infos[limit-1].ID.String()
	}
	return connect.NewResponse(out), nil
}

// ShowAccount shows one account.
func (s *Server) ShowAccount(ctx context.Context, r *connect.Request[adminpb.ShowAccountRequest]) (*connect.Response[adminpb.Account], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.answer(ctx, r.Msg.Address)
}

// change runs f on the account of an address.
func (s *Server) change(ctx context.Context, address string, f func(context.Context, mailstore.AccountID) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	i, err := s.find(ctx, address)
	if err != nil {
		return fail(err)
	}
	return fail(f(ctx, i.ID))
}

// SetPassword replaces the account's password.
func (s *Server) SetPassword(ctx context.Context, r *connect.Request[adminpb.SetPasswordRequest]) (*connect.Response[adminpb.SetPasswordResponse], error) {
	err := s.change(ctx, r.Msg.Address, func(ctx context.Context, a mailstore.AccountID) error {
		if r.Msg.Verifier != "" {
			return s.c.Commit.SetVerifier(ctx, a, r.Msg.Verifier)
		}
		return s.c.Commit.SetPassword(ctx, a, r.Msg.Password)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminpb.SetPasswordResponse{}), nil
}

// SetQuota sets both limits; 0 is none.
func (s *Server) SetQuota(ctx context.Context, r *connect.Request[adminpb.SetQuotaRequest]) (*connect.Response[adminpb.Account], error) {
	err := s.change(ctx, r.Msg.Address, func(ctx context.Context, a mailstore.AccountID) error {
		return s.c.Commit.SetQuota(ctx, a, r.Msg.QuotaBytes, r.Msg.QuotaMessages)
	})
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, r.Msg.Address)
}

// SetMask sets which IMAP capabilities the account's clients are not told of.
func (s *Server) SetMask(ctx context.Context, r *connect.Request[adminpb.SetMaskRequest]) (*connect.Response[adminpb.Account], error) {
	err := s.change(ctx, r.Msg.Address, func(ctx context.Context, a mailstore.AccountID) error {
		return s.c.Commit.SetMask(ctx, a, r.Msg.Capabilities)
	})
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, r.Msg.Address)
}

// SuspendAccount stops logins and changes; mail still arrives.
func (s *Server) SuspendAccount(ctx context.Context, r *connect.Request[adminpb.SuspendAccountRequest]) (*connect.Response[adminpb.Account], error) {
	if err := s.change(ctx, r.Msg.Address, s.c.Commit.SuspendAccount); err != nil {
		return nil, err
	}
	return s.answer(ctx, r.Msg.Address)
}

// ResumeAccount undoes SuspendAccount.
func (s *Server) ResumeAccount(ctx context.Context, r *connect.Request[adminpb.ResumeAccountRequest]) (*connect.Response[adminpb.Account], error) {
	if err := s.change(ctx, r.Msg.Address, s.c.Commit.ResumeAccount); err != nil {
		return nil, err
	}
	return s.answer(ctx, r.Msg.Address)
}

// CloseAccount destroys the account's keys.
func (s *Server) CloseAccount(ctx context.Context, r *connect.Request[adminpb.CloseAccountRequest]) (*connect.Response[adminpb.CloseAccountResponse], error) {
	if err := s.change(ctx, r.Msg.Address, s.c.Commit.CloseAccount); err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminpb.CloseAccountResponse{}), nil
}

// AddAddress gives an account a further address.
func (s *Server) AddAddress(ctx context.Context, r *connect.Request[adminpb.AddAddressRequest]) (*connect.Response[adminpb.AddAddressResponse], error) {
	err := s.change(ctx, r.Msg.Account, func(ctx context.Context, a mailstore.AccountID) error {
		return s.c.Commit.AddAddress(ctx, a, r.Msg.Address)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminpb.AddAddressResponse{}), nil
}

// ListAddresses lists an account's addresses, the main one first.
func (s *Server) ListAddresses(ctx context.Context, r *connect.Request[adminpb.ListAddressesRequest]) (*connect.Response[adminpb.ListAddressesResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	i, err := s.find(ctx, r.Msg.Account)
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(&adminpb.ListAddressesResponse{Addresses: i.Addresses}), nil
}

// RemoveAddress takes an address away from its account.
func (s *Server) RemoveAddress(ctx context.Context, r *connect.Request[adminpb.RemoveAddressRequest]) (*connect.Response[adminpb.RemoveAddressResponse], error) {
	err := s.change(ctx, r.Msg.Address, func(ctx context.Context, a mailstore.AccountID) error {
		return s.c.Commit.RemoveAddress(ctx, a, r.Msg.Address)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminpb.RemoveAddressResponse{}), nil
}
