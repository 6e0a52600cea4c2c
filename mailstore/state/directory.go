package state

import (
	"bytes"
	"slices"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// MaxCredentials and MaxAddresses bound what one account has in the directory.
const (
	MaxCredentials = 100
	MaxAddresses   = 1000
)

// Directory is the machine of group 0: nodes, accounts, addresses, credentials
// and policy. It implements cluster.Machine.
type Directory struct {
	machine

	// OnChange is told that something changed, after readers can see it, on
	// the goroutine that applies: it must not block. Set it before the first
	// Apply.
	OnChange func(index uint64)

	index   uint64
	changed bool
}

var _ cluster.Machine = (*Directory)(nil)

// Directory opens the machine of group 0.
func (db *DB) Directory() (*Directory, error) {
	d := &Directory{}
	if err := d.init(db, cluster.Directory, d, &directoryTables); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Directory) flush(*tx) error { return nil }

func (d *Directory) committing(index uint64) { d.index = index }

func (d *Directory) committed() {
	if d.changed && d.OnChange != nil {
		d.OnChange(d.index)
	}
	d.changed = false
}

func (d *Directory) reset(installed bool) {
	d.changed = false
	if installed && d.OnChange != nil {
		d.OnChange(d.applied())
	}
}

func (d *Directory) execute(t *tx, e *cluster.Entry, c *pb.Command) (*pb.Result, error) {
	res, err := d.dispatch(t, e, c)
	if err == nil && res.Code == pb.Code_OK {
		d.changed = true
	}
	return res, err
}

func (d *Directory) dispatch(t *tx, e *cluster.Entry, c *pb.Command) (*pb.Result, error) {
	switch o := c.Op.(type) {
	case *pb.Command_PutNode:
		return d.putNode(t, o.PutNode)
	case *pb.Command_RemoveNode:
		return d.removeNode(t, o.RemoveNode)
	case *pb.Command_PutToken:
		return d.putToken(t, o.PutToken)
	case *pb.Command_UseToken:
		return d.useToken(t, o.UseToken)
	case *pb.Command_PutDomain:
		return d.set(t, d.bytes(nil, tabDomain, o.PutDomain.Domain.Hash), o.PutDomain.Domain.Sealed)
	case *pb.Command_RemoveDomain:
		return d.drop(t, d.bytes(nil, tabDomain, o.RemoveDomain.Hash))
	case *pb.Command_PutGroup:
		return d.set(t, d.groupKey(o.PutGroup.Group), nil)
	case *pb.Command_PutSetting:
		return d.putSetting(t, o.PutSetting)
	case *pb.Command_AddAccount:
		return d.addAccount(t, o.AddAccount)
	case *pb.Command_SetAccountStatus:
		return d.setStatus(t, o.SetAccountStatus)
	case *pb.Command_SetQuota:
		return d.setQuota(t, o.SetQuota)
	case *pb.Command_SetCredential:
		return d.setCredential(t, o.SetCredential)
	case *pb.Command_RemoveCredential:
		return d.removeCredential(t, o.RemoveCredential)
	case *pb.Command_AddAddress:
		return d.addAddress(t, o.AddAddress)
	case *pb.Command_RemoveAddress:
		return d.removeAddress(t, o.RemoveAddress)
	case *pb.Command_ShredAccount:
		return d.shredAccount(t, o.ShredAccount)
	case *pb.Command_PutShare:
		return d.putShare(t, e, o.PutShare)
	case *pb.Command_RemoveShare:
		return d.removeShare(t, o.RemoveShare)
	case *pb.Command_Jump:
		// recover proposes it to every group; the directory has no counters
		// that clients remember.
		return code(pb.Code_OK), nil
	case *pb.Command_Purge:
		more, err := d.forget(t, int(o.Purge.Limit))
		return &pb.Result{More: more}, err
	default:
		return code(pb.Code_INVALID), nil
	}
}

// fetch reads a row and its hash for change.
func (t *tx) fetch(key []byte, fn func(v []byte) error) (at sum, found bool, err error) {
	found, err = t.get(key, func(v []byte) error {
		at = t.row(key, v)
		if fn == nil {
			return nil
		}
		return fn(v)
	})
	return at, found, err
}

// set writes a row whether or not there is one.
func (d *Directory) set(t *tx, key, value []byte) (*pb.Result, error) {
	old, _, err := t.fetch(key, nil)
	if err != nil {
		return nil, err
	}
	_, err = t.put(key, old, value)
	return code(pb.Code_OK), err
}

// drop removes a row that must be there.
func (d *Directory) drop(t *tx, key []byte) (*pb.Result, error) {
	old, found, err := t.fetch(key, nil)
	if err != nil {
		return nil, err
	}
	if !found {
		return code(pb.Code_NO_SUCH), nil
	}
	return code(pb.Code_OK), t.del(key, old)
}

func (d *Directory) groupKey(g uint32) []byte {
	return append(d.table(nil, tabGroup), byte(g>>24), byte(g>>16), byte(g>>8), byte(g))
}

func (d *Directory) putNode(t *tx, c *pb.PutNode) (*pb.Result, error) {
	key := d.bytes(nil, tabNode, c.Id)
	var old NodeRow
	at, found, err := t.fetch(key, func(v []byte) error { return old.decode(bytes.Clone(v)) })
	if err != nil {
		return nil, err
	}
	nameKey := d.bytes(nil, tabNodeName, []byte(c.Name))
	var holder []byte
	_, taken, err := t.fetch(nameKey, func(v []byte) error { holder = bytes.Clone(v); return nil })
	if err != nil {
		return nil, err
	}
	if taken && !bytes.Equal(holder, c.Id) || c.ExpectNew && found {
		return code(pb.Code_EXISTS), nil
	}
	if found && old.Name != c.Name {
		k := d.bytes(nil, tabNodeName, []byte(old.Name))
		if err := t.del(k, t.row(k, c.Id)); err != nil {
			return nil, err
		}
	}
	if !taken {
		if _, err := t.put(nameKey, absent, c.Id); err != nil {
			return nil, err
		}
	}
	// Members admit each other by this row before any group can elect: who has
	// applied it must know it after a power loss too, without help of others.
	t.sync = true
	n := NodeRow{Name: c.Name, Address: c.Address, PublicKey: c.PublicKey, Level: c.Level, Leaving: c.Leaving}
	_, err = t.put(key, at, n.encode(nil))
	return code(pb.Code_OK), err
}

func (d *Directory) removeNode(t *tx, c *pb.RemoveNode) (*pb.Result, error) {
	key := d.bytes(nil, tabNode, c.Id)
	var n NodeRow
	at, found, err := t.fetch(key, func(v []byte) error { return n.decode(bytes.Clone(v)) })
	if err != nil {
		return nil, err
	}
	if !found {
		return code(pb.Code_NO_SUCH), nil
	}
	nameKey := d.bytes(nil, tabNodeName, []byte(n.Name))
	if err := t.del(nameKey, t.row(nameKey, c.Id)); err != nil {
		return nil, err
	}
	if err := d.dropTokensOf(t, n.PublicKey); err != nil {
		return nil, err
	}
	return code(pb.Code_OK), t.del(key, at)
}

// dropTokensOf removes the tokens bound to a node's key: with one that has not
// expired an evicted node could join again and be given the keys (H6).
func (d *Directory) dropTokensOf(t *tx, publicKey []byte) error {
	return t.scan(d.table(nil, tabToken), func(k, v []byte) (bool, error) {
		var row TokenRow
		if err := row.decode(v); err != nil {
			return false, err
		}
		if len(row.PublicKey) == 0 || !bytes.Equal(row.PublicKey, publicKey) {
			return true, nil
		}
		return true, t.del(slices.Clone(k), t.row(k, v))
	})
}

func (d *Directory) putToken(t *tx, c *pb.PutToken) (*pb.Result, error) {
	key := d.bytes(nil, tabToken, c.Id)
	_, found, err := t.fetch(key, nil)
	if err != nil {
		return nil, err
	}
	if found {
		return code(pb.Code_EXISTS), nil
	}
	if err := d.dropStaleTokens(t); err != nil {
		return nil, err
	}
	_, err = t.put(key, absent, (&TokenRow{Verifier: c.Verifier, Expires: c.Expires}).encode(nil))
	return code(pb.Code_OK), err
}

// dropStaleTokens keeps the number of tokens bounded by those still good.
func (d *Directory) dropStaleTokens(t *tx) error {
	return t.scan(d.table(nil, tabToken), func(k, v []byte) (bool, error) {
		var row TokenRow
		if err := row.decode(v); err != nil {
			return false, err
		}
		if row.Expires >= d.clock.time {
			return true, nil
		}
		return true, t.del(slices.Clone(k), t.row(k, v))
	})
}

// useToken binds a token to the first public key that uses it. The same key
// may repeat that until the token expires; another is refused (H19).
func (d *Directory) useToken(t *tx, c *pb.UseToken) (*pb.Result, error) {
	key := d.bytes(nil, tabToken, c.Id)
	var row TokenRow
	at, found, err := t.fetch(key, func(v []byte) error { return row.decode(bytes.Clone(v)) })
	switch {
	case err != nil:
		return nil, err
	case !found:
		return code(pb.Code_NO_SUCH), nil
	case row.Expires < d.clock.time:
		return code(pb.Code_EXPIRED), nil
	case len(row.PublicKey) > 0 && !bytes.Equal(row.PublicKey, c.PublicKey):
		return code(pb.Code_NOT_PERMITTED), nil
	}
	row.PublicKey = c.PublicKey
	_, err = t.put(key, at, row.encode(nil))
	return code(pb.Code_OK), err
}

func (d *Directory) putSetting(t *tx, c *pb.PutSetting) (*pb.Result, error) {
	key := d.bytes(nil, tabSetting, []byte(c.Name))
	var row SettingRow
	at, _, err := t.fetch(key, func(v []byte) error { return row.decode(bytes.Clone(v)) })
	if err != nil {
		return nil, err
	}
	if c.Expect != nil && *c.Expect != row.Version {
		return &pb.Result{Code: pb.Code_CONFLICT, Version: row.Version}, nil
	}
	row.Version++
	row.Value = c.Value
	_, err = t.put(key, at, row.encode(nil))
	return &pb.Result{Version: row.Version}, err
}

// account reads an account for change; at is absent when there is none.
func (d *Directory) fetchAccount(t *tx, id uint64) (row DirectoryAccount, at sum, found bool, err error) {
	row.ID = mailstore.AccountID(id)
	at, found, err = t.fetch(d.u64(nil, tabDirAccount, id), func(v []byte) error { return row.decode(bytes.Clone(v)) })
	return row, at, found, err
}

// putAccount writes an account back; caches compare the version.
func (d *Directory) putAccount(t *tx, row *DirectoryAccount, at sum) error {
	row.Version++
	_, err := t.put(d.account(nil, tabDirAccount, row.ID), at, row.encode(nil))
	return err
}

// addAccount makes an account in status OPENING. Repeating the same one is no
// error, so that the plan over both groups can be taken up again (H14).
func (d *Directory) addAccount(t *tx, c *pb.AddAccount) (*pb.Result, error) {
	row, _, found, err := d.fetchAccount(t, c.Id)
	if err != nil {
		return nil, err
	}
	owner, taken, err := d.owner(t, c.Address.Hash)
	if err != nil {
		return nil, err
	}
	if found {
		if taken && owner == row.ID && row.Group == cluster.GroupID(c.Group) && row.Status != pb.AccountStatus_CLOSED {
			return code(pb.Code_OK), nil
		}
		return code(pb.Code_EXISTS), nil
	}
	if taken {
		return code(pb.Code_EXISTS), nil
	}
	row.Group = cluster.GroupID(c.Group)
	row.Status = pb.AccountStatus_OPENING
	row.WrappedKeys = c.WrappedKeys
	row.QuotaBytes, row.QuotaMessages = c.QuotaBytes, c.QuotaMessages
	row.Created = d.clock.time
	row.Main = mailstore.Hash(c.Address.Hash)
	row.Credentials, row.Addresses = 1, 1
	if err := d.bindAddress(t, row.ID, c.Address); err != nil {
		return nil, err
	}
	if _, err := t.put(d.accountHash(nil, tabCredential, row.ID, c.Credential.Id), absent, credentialOf(c.Credential).encode(nil)); err != nil {
		return nil, err
	}
	return code(pb.Code_OK), d.putAccount(t, &row, absent)
}

// owner returns the account an address belongs to.
func (d *Directory) owner(t *tx, hash []byte) (a mailstore.AccountID, taken bool, err error) {
	var row AddressRow
	_, taken, err = t.fetch(d.bytes(nil, tabAddress, hash), row.decode)
	return row.Account, taken, err
}

func (d *Directory) bindAddress(t *tx, a mailstore.AccountID, n *pb.Name) error {
	if _, err := t.put(d.bytes(nil, tabAddress, n.Hash), absent, (&AddressRow{Account: a, Sealed: n.Sealed}).encode(nil)); err != nil {
		return err
	}
	_, err := t.put(d.accountHash(nil, tabAccAddress, a, n.Hash), absent, nil)
	return err
}

func (d *Directory) unbindAddress(t *tx, a mailstore.AccountID, hash []byte) error {
	key := d.bytes(nil, tabAddress, hash)
	at, found, err := t.fetch(key, nil)
	if err != nil {
		return err
	}
	if !found {
		return corrupt("address of an account")
	}
	if err := t.del(key, at); err != nil {
		return err
	}
	key = d.accountHash(nil, tabAccAddress, a, hash)
	return t.del(key, t.row(key, nil))
}

// openAccount is fetchAccount for commands on accounts that are not closed.
func (d *Directory) openAccount(t *tx, id uint64) (DirectoryAccount, sum, pb.Code, error) {
	row, at, found, err := d.fetchAccount(t, id)
	switch {
	case err != nil:
		return row, at, 0, err
	case !found:
		return row, at, pb.Code_NO_ACCOUNT, nil
	case row.Status >= pb.AccountStatus_CLOSING:
		return row, at, pb.Code_GONE, nil
	}
	return row, at, pb.Code_OK, nil
}

// setStatus moves an account through its life. A status it has already is no
// error, whatever from says: plans are repeated.
func (d *Directory) setStatus(t *tx, c *pb.SetAccountStatus) (*pb.Result, error) {
	row, at, found, err := d.fetchAccount(t, c.Id)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return code(pb.Code_NO_ACCOUNT), nil
	case row.Status == c.Status:
		return code(pb.Code_OK), nil
	case len(c.From) > 0 && !slices.Contains(c.From, row.Status):
		return code(pb.Code_CONFLICT), nil
	case row.Status >= pb.AccountStatus_CLOSING && c.Status < row.Status:
		return code(pb.Code_GONE), nil // closing never turns back
	}
	row.Status = c.Status
	return code(pb.Code_OK), d.putAccount(t, &row, at)
}

func (d *Directory) setQuota(t *tx, c *pb.SetQuota) (*pb.Result, error) {
	row, at, cd, err := d.openAccount(t, c.Id)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	row.QuotaBytes, row.QuotaMessages = c.QuotaBytes, c.QuotaMessages
	return code(pb.Code_OK), d.putAccount(t, &row, at)
}

func (d *Directory) setCredential(t *tx, c *pb.SetCredential) (*pb.Result, error) {
	row, at, cd, err := d.openAccount(t, c.Account)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	key := d.accountHash(nil, tabCredential, row.ID, c.Credential.Id)
	old, found, err := t.fetch(key, nil)
	if err != nil {
		return nil, err
	}
	if !found && c.Existing {
		return code(pb.Code_NO_SUCH), nil
	}
	if !found && !c.Only && row.Credentials >= MaxCredentials {
		return code(pb.Code_LIMIT), nil
	}
	if c.Only {
		if err := d.dropRows(t, d.account(nil, tabCredential, row.ID)); err != nil {
			return nil, err
		}
		old, found, row.Credentials = absent, false, 0
	}
	if !found {
		row.Credentials++
	}
	if _, err := t.put(key, old, credentialOf(c.Credential).encode(nil)); err != nil {
		return nil, err
	}
	return code(pb.Code_OK), d.putAccount(t, &row, at)
}

func (d *Directory) removeCredential(t *tx, c *pb.RemoveCredential) (*pb.Result, error) {
	row, at, cd, err := d.openAccount(t, c.Account)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	res, err := d.drop(t, d.accountHash(nil, tabCredential, row.ID, c.Id))
	if err != nil || res.Code != pb.Code_OK {
		return res, err
	}
	row.Credentials--
	return res, d.putAccount(t, &row, at)
}

func (d *Directory) addAddress(t *tx, c *pb.AddAddress) (*pb.Result, error) {
	row, at, cd, err := d.openAccount(t, c.Account)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	owner, taken, err := d.owner(t, c.Address.Hash)
	switch {
	case err != nil:
		return nil, err
	case taken && owner == row.ID:
		return code(pb.Code_OK), nil
	case taken:
		return code(pb.Code_EXISTS), nil
	case row.Addresses >= MaxAddresses:
		return code(pb.Code_LIMIT), nil
	}
	if err := d.bindAddress(t, row.ID, c.Address); err != nil {
		return nil, err
	}
	row.Addresses++
	return code(pb.Code_OK), d.putAccount(t, &row, at)
}

func (d *Directory) removeAddress(t *tx, c *pb.RemoveAddress) (*pb.Result, error) {
	row, at, cd, err := d.openAccount(t, c.Account)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	owner, taken, err := d.owner(t, c.Hash)
	switch {
	case err != nil:
		return nil, err
	case !taken || owner != row.ID:
		return code(pb.Code_NO_SUCH), nil
	case string(row.Main[:]) == string(c.Hash):
		return code(pb.Code_NOT_PERMITTED), nil // an account keeps its main address
	}
	if err := d.unbindAddress(t, row.ID, c.Hash); err != nil {
		return nil, err
	}
	row.Addresses--
	return code(pb.Code_OK), d.putAccount(t, &row, at)
}

// shredAccount destroys what opens an account that is closing: its keys,
// credentials and addresses, and what is known of its shares. The row stays, for ids are never reused.
func (d *Directory) shredAccount(t *tx, c *pb.ShredAccount) (*pb.Result, error) {
	row, at, found, err := d.fetchAccount(t, c.Id)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return code(pb.Code_NO_ACCOUNT), nil
	case row.Status < pb.AccountStatus_CLOSING:
		return code(pb.Code_NOT_PERMITTED), nil
	}
	p := d.account(nil, tabAccAddress, row.ID)
	var hashes [][]byte
	if err := t.scan(p, func(k, _ []byte) (bool, error) {
		hashes = append(hashes, bytes.Clone(k[len(p):]))
		return true, nil
	}); err != nil {
		return nil, err
	}
	for _, h := range hashes {
		if err := d.unbindAddress(t, row.ID, h); err != nil {
			return nil, err
		}
	}
	if err := d.dropRows(t, d.account(nil, tabCredential, row.ID)); err != nil {
		return nil, err
	}
	if err := d.dropShares(t, row.ID); err != nil {
		return nil, err
	}
	row.WrappedKeys, row.Credentials, row.Addresses, row.Main = nil, 0, 0, mailstore.Hash{}
	return code(pb.Code_OK), d.putAccount(t, &row, at)
}

func (d *Directory) dropRows(t *tx, prefix []byte) error {
	return t.scan(prefix, func(k, v []byte) (bool, error) {
		return true, t.del(slices.Clone(k), t.row(k, v))
	})
}
