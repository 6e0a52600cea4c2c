package state

import (
	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// NodeRow is a member of the cluster.
type NodeRow struct {
	ID        cluster.NodeID
	Name      string
	Address   string // host:port of the cluster port
	PublicKey []byte // SubjectPublicKeyInfo of its certificate
	Level     uint32 // newest feature level it supports
	Leaving   bool
}

func (n *NodeRow) encode(b []byte) []byte {
	b = putBytes(append(b, rowVersion), []byte(n.Name))
	b = putBytes(b, []byte(n.Address))
	b = putBytes(b, n.PublicKey)
	b = putUint(b, uint64(n.Level))
	return putBool(b, n.Leaving)
}

func (n *NodeRow) decode(v []byte) error {
	d := decode(v)
	n.Name = string(d.bytes())
	n.Address = string(d.bytes())
	n.PublicKey = d.bytes()
	n.Level = d.uint32()
	n.Leaving = d.bool()
	return d.done("node")
}

// TokenRow is a join token's verifier.
type TokenRow struct {
	ID        [16]byte
	Verifier  []byte // sealed
	Expires   uint64 // ms
	PublicKey []byte // the key it is bound to; empty: not used yet
}

func (r *TokenRow) encode(b []byte) []byte {
	b = putBytes(append(b, rowVersion), r.Verifier)
	return putBytes(putUint(b, r.Expires), r.PublicKey)
}

func (r *TokenRow) decode(v []byte) error {
	d := decode(v)
	r.Verifier = d.bytes()
	r.Expires = d.uint()
	r.PublicKey = d.bytes()
	return d.done("token")
}

// SettingRow is a named, sealed cluster setting.
type SettingRow struct {
	Name    string
	Version uint64 // raised by every change, from 1
	Value   []byte
}

func (r *SettingRow) encode(b []byte) []byte {
	return append(putUint(append(b, rowVersion), r.Version), r.Value...)
}

func (r *SettingRow) decode(v []byte) error {
	d := decode(v)
	r.Version = d.uint()
	r.Value = d.b
	if d.bad {
		return corrupt("setting")
	}
	return nil
}

// DirectoryAccount is an account as the directory knows it.
type DirectoryAccount struct {
	ID            mailstore.AccountID
	Group         cluster.GroupID
	Status        pb.AccountStatus
	WrappedKeys   []byte // empty once shredded
	QuotaBytes    uint64
	QuotaMessages uint64
	Created       uint64         // ms
	Main          mailstore.Hash // of its main address
	Version       uint64         // raised by every change of the account, its credentials or addresses
	Credentials   uint32
	Addresses     uint32
}

func (r *DirectoryAccount) encode(b []byte) []byte {
	b = putUint(append(b, rowVersion), uint64(r.Group))
	b = putUint(b, uint64(r.Status))
	b = putBytes(b, r.WrappedKeys)
	b = putUint(b, r.QuotaBytes)
	b = putUint(b, r.QuotaMessages)
	b = putUint(b, r.Created)
	b = append(b, r.Main[:]...)
	b = putUint(b, r.Version)
	b = putUint(b, uint64(r.Credentials))
	return putUint(b, uint64(r.Addresses))
}

func (r *DirectoryAccount) decode(v []byte) error {
	d := decode(v)
	r.Group = cluster.GroupID(d.uint32())
	s := d.uint()
	if s > uint64(pb.AccountStatus_CLOSED) {
		d.fail()
	}
	r.Status = pb.AccountStatus(s)
	r.WrappedKeys = d.bytes()
	r.QuotaBytes = d.uint()
	r.QuotaMessages = d.uint()
	r.Created = d.uint()
	r.Main = d.hash()
	r.Version = d.uint()
	r.Credentials = d.uint32()
	r.Addresses = d.uint32()
	return d.done("directory account")
}

// AddressRow tells whose an address is.
type AddressRow struct {
	Hash    mailstore.Hash
	Account mailstore.AccountID
	Sealed  []byte
}

func (r *AddressRow) encode(b []byte) []byte {
	return append(putUint(append(b, rowVersion), uint64(r.Account)), r.Sealed...)
}

func (r *AddressRow) decode(v []byte) error {
	d := decode(v)
	r.Account = mailstore.AccountID(d.uint())
	r.Sealed = d.b
	if d.bad {
		return corrupt("address")
	}
	return nil
}

// CredentialRow is one way to log in to an account.
type CredentialRow struct {
	ID       [16]byte
	Scope    string // "": everything
	Label    []byte // sealed
	Verifier []byte // sealed
	Created  uint64 // ms
}

func credentialOf(c *pb.Credential) *CredentialRow {
	return &CredentialRow{ID: [16]byte(c.Id), Scope: c.Scope, Label: c.Label, Verifier: c.Verifier, Created: c.Created}
}

func (r *CredentialRow) encode(b []byte) []byte {
	b = putBytes(append(b, rowVersion), []byte(r.Scope))
	b = putBytes(b, r.Label)
	b = putBytes(b, r.Verifier)
	return putUint(b, r.Created)
}

func (r *CredentialRow) decode(v []byte) error {
	d := decode(v)
	r.Scope = string(d.bytes())
	r.Label = d.bytes()
	r.Verifier = d.bytes()
	r.Created = d.uint()
	return d.done("credential")
}
