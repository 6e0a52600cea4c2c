package state

import (
	"context"
	"encoding/binary"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// DirectoryReader is a consistent, short-lived view of the directory. Close it
// soon. Safe for one goroutine at a time. What it returns is the caller's.
type DirectoryReader struct{ snapshot }

// Read opens a reader of what is applied now.
func (d *Directory) Read() *DirectoryReader {
	return &DirectoryReader{snapshot{keys: d.keys, efos: d.snapshot()}}
}

// Nodes returns every member in the order of their ids.
func (r *DirectoryReader) Nodes() ([]NodeRow, error) {
	var out []NodeRow
	err := r.scan(r.table(nil, tabNode), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("node key")
		}
		n := NodeRow{ID: cluster.NodeID(k)}
		err := n.decode(clone(v))
		out = append(out, n)
		return err
	})
	return out, err
}

// Node returns one member.
func (r *DirectoryReader) Node(id cluster.NodeID) (NodeRow, bool, error) {
	n := NodeRow{ID: id}
	found, err := r.get(r.bytes(nil, tabNode, id[:]), func(v []byte) error { return n.decode(clone(v)) })
	return n, found, err
}

// Token returns a join token.
func (r *DirectoryReader) Token(id [16]byte) (TokenRow, bool, error) {
	t := TokenRow{ID: id}
	found, err := r.get(r.bytes(nil, tabToken, id[:]), func(v []byte) error { return t.decode(clone(v)) })
	return t, found, err
}

// Domains returns the domains mail is taken for.
func (r *DirectoryReader) Domains() ([]NameRow, error) {
	var out []NameRow
	err := r.scan(r.table(nil, tabDomain), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("domain key")
		}
		out = append(out, NameRow{Hash: mailstore.Hash(k), Sealed: clone(v)})
		return nil
	})
	return out, err
}

// Domain reports whether mail is taken for the domain with this hash.
func (r *DirectoryReader) Domain(h mailstore.Hash) (NameRow, bool, error) {
	row := NameRow{Hash: h}
	found, err := r.get(r.bytes(nil, tabDomain, h[:]), func(v []byte) error { row.Sealed = clone(v); return nil })
	return row, found, err
}

// Account returns one account, closed ones included.
func (r *DirectoryReader) Account(a mailstore.AccountID) (DirectoryAccount, bool, error) {
	row := DirectoryAccount{ID: a}
	found, err := r.get(r.account(nil, tabDirAccount, a), func(v []byte) error { return row.decode(clone(v)) })
	return row, found, err
}

// Accounts calls fn for each account, closed ones included, in the order of
// their ids.
func (r *DirectoryReader) Accounts(fn func(*DirectoryAccount) error) error {
	return r.scan(r.table(nil, tabDirAccount), func(k, v []byte) error {
		if len(k) != 8 {
			return corrupt("account key")
		}
		row := DirectoryAccount{ID: mailstore.AccountID(binary.BigEndian.Uint64(k))}
		if err := row.decode(clone(v)); err != nil {
			return err
		}
		return fn(&row)
	})
}

// AddressByHash returns whose an address is.
func (r *DirectoryReader) AddressByHash(h mailstore.Hash) (AddressRow, bool, error) {
	row := AddressRow{Hash: h}
	found, err := r.get(r.bytes(nil, tabAddress, h[:]), func(v []byte) error { return row.decode(clone(v)) })
	return row, found, err
}

// Addresses returns an account's addresses in the order of their hashes.
func (r *DirectoryReader) Addresses(a mailstore.AccountID) ([]AddressRow, error) {
	var out []AddressRow
	err := r.scan(r.account(nil, tabAccAddress, a), func(k, _ []byte) error {
		if len(k) != 16 {
			return corrupt("address key")
		}
		row, found, err := r.AddressByHash(mailstore.Hash(k))
		if err == nil && !found {
			err = corrupt("address of an account")
		}
		out = append(out, row)
		return err
	})
	return out, err
}

// Credentials returns an account's credentials in the order of their ids.
func (r *DirectoryReader) Credentials(a mailstore.AccountID) ([]CredentialRow, error) {
	var out []CredentialRow
	err := r.scan(r.account(nil, tabCredential, a), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("credential key")
		}
		row := CredentialRow{ID: [16]byte(k)}
		err := row.decode(clone(v))
		out = append(out, row)
		return err
	})
	return out, err
}

// Groups returns the mail groups in order.
func (r *DirectoryReader) Groups() ([]cluster.GroupID, error) {
	var out []cluster.GroupID
	err := r.scan(r.table(nil, tabGroup), func(k, _ []byte) error {
		if len(k) != 4 {
			return corrupt("group key")
		}
		out = append(out, cluster.GroupID(u32at(k)))
		return nil
	})
	return out, err
}

// Setting returns a named setting.
func (r *DirectoryReader) Setting(name string) (SettingRow, bool, error) {
	row := SettingRow{Name: name}
	found, err := r.get(r.bytes(nil, tabSetting, []byte(name)), func(v []byte) error { return row.decode(clone(v)) })
	return row, found, err
}

// Settings calls fn for each setting whose name begins with prefix, in the
// order of their names.
func (r *DirectoryReader) Settings(prefix string, fn func(*SettingRow) error) error {
	return r.scan(r.table(nil, tabSetting), func(k, v []byte) error {
		if len(k) < len(prefix) || string(k[:len(prefix)]) != prefix {
			return nil
		}
		row := SettingRow{Name: string(k)}
		if err := row.decode(clone(v)); err != nil {
			return err
		}
		return fn(&row)
	})
}

// Check reads the whole directory and returns what does not fit:
//
//  1. every row is in a known table and can be decoded;
//  2. the digest of all rows is the running digest;
//  3. node names and nodes match one to one;
//  4. addresses and accounts' address lists match one to one, every one
//     belongs to an account that is not shredded, and counts are right;
//  5. credentials belong to accounts, and counts are right;
//  6. shares and owners' lists of them match one to one, and both accounts are
//     there;
//  14. remembered operations and their ages match one to one.
func (d *Directory) Check(ctx context.Context) (problems []Problem, err error) {
	r := d.Read()
	c := &checker{snapshot: &r.snapshot, ctx: ctx}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	for _, step := range []func() error{
		func() error { return c.rows(&directoryTables) },
		func() error { return c.nodes(r) },
		func() error { return c.directoryAccounts(r) },
		func() error { return c.shares(r) },
		c.operations,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c.problems, nil
}

func (c *checker) nodes(r *DirectoryReader) error {
	nodes, err := r.Nodes()
	if err != nil {
		return err
	}
	for _, n := range nodes {
		found, err := c.get(c.bytes(nil, tabNodeName, []byte(n.Name)), func(v []byte) error {
			c.want(3, string(v) == string(n.ID[:]), "node %s: its name leads to another", n.ID)
			return nil
		})
		if err != nil {
			return err
		}
		c.want(3, found, "node %s is not found by its name", n.ID)
	}
	names := 0
	err = c.scan(c.table(nil, tabNodeName), func(_, _ []byte) error { names++; return nil })
	c.want(3, names == len(nodes), "%d node names for %d nodes", names, len(nodes))
	return err
}

func (c *checker) directoryAccounts(r *DirectoryReader) error {
	addresses, credentials := 0, 0
	if err := r.Accounts(func(a *DirectoryAccount) error {
		as, err := r.Addresses(a.ID)
		if err != nil {
			return err
		}
		cs, err := r.Credentials(a.ID)
		if err != nil {
			return err
		}
		for _, ad := range as {
			c.want(4, ad.Account == a.ID, "account %s: an address of another account", a.ID)
		}
		addresses += len(as)
		credentials += len(cs)
		c.want(4, int(a.Addresses) == len(as), "account %s: %d addresses, has %d", a.ID, a.Addresses, len(as))
		c.want(5, int(a.Credentials) == len(cs), "account %s: %d credentials, has %d", a.ID, a.Credentials, len(cs))
		c.want(4, len(a.WrappedKeys) > 0 || a.Status >= pb.AccountStatus_CLOSING && len(as) == 0, "account %s has no keys", a.ID)
		return c.ctx.Err()
	}); err != nil {
		return err
	}
	for _, tab := range []struct {
		table      byte
		rule, want int
	}{{tabAddress, 4, addresses}, {tabAccAddress, 4, addresses}, {tabCredential, 5, credentials}} {
		n := 0
		if err := c.scan(c.table(nil, tab.table), func(_, _ []byte) error { n++; return nil }); err != nil {
			return err
		}
		c.want(tab.rule, n == tab.want, "table %#x has %d rows, accounts have %d", tab.table, n, tab.want)
	}
	return nil
}
