package commit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
)

// ErrNoDomain means that the domain of an address was not added.
var ErrNoDomain = errors.New("commit: no such domain")

// firstMailboxes are made with every account; INBOX comes first.
var firstMailboxes = []struct {
	name string
	use  mailstore.SpecialUse
}{
	{lookup.Inbox, 0},
	{"Drafts", mailstore.UseDrafts},
	{"Sent", mailstore.UseSent},
	{"Junk", mailstore.UseJunk},
	{"Trash", mailstore.UseTrash},
	{"Archive", mailstore.UseArchive},
}

// directory proposes to group 0.
func (d *Door) directory(ctx context.Context, c *commandpb.Command) (*commandpb.Result, error) {
	return d.propose(ctx, cluster.Directory, NewOp(), c, nil)
}

// AddDomain makes the cluster take mail for a domain. Adding one twice is no
// error.
func (d *Door) AddDomain(ctx context.Context, name string) error {
	clean, h, err := d.domainHash(name)
	if err != nil {
		return err
	}
	sealed, err := d.cfg.Ring.SealRoot(keyring.KindDomain, h[:], []byte(clean))
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	c := &commandpb.PutDomain{Domain: &commandpb.Name{Hash: h[:], Sealed: sealed}}
	_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_PutDomain{PutDomain: c}})
	return err
}

// RemoveDomain ends taking mail for a domain. Addresses in it stay and take
// no mail until it is added again.
func (d *Door) RemoveDomain(ctx context.Context, name string) error {
	_, h, err := d.domainHash(name)
	if err != nil {
		return ErrNoDomain
	}
	c := &commandpb.RemoveDomain{Hash: h[:]}
	_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_RemoveDomain{RemoveDomain: c}})
	if errors.Is(err, ErrNoSuch) {
		return ErrNoDomain
	}
	return err
}

func (d *Door) domainHash(name string) (clean string, h mailstore.Hash, err error) {
	if clean, err = lookup.CleanDomain(name); err != nil {
		return "", h, err
	}
	h, err = d.cfg.Ring.DirectoryHash(keyring.KindDomain, []byte(clean))
	if err != nil {
		return "", h, fmt.Errorf("commit: %w", err)
	}
	return clean, h, nil
}

// address returns the parts of an address for the directory, once its domain
// is known to be ours.
func (d *Door) address(ctx context.Context, address string) (shown string, h mailstore.Hash, err error) {
	local, domain, ok := lookup.SplitAddress(address)
	if !ok {
		return "", h, fmt.Errorf("%w: not an address", mailstore.ErrNoAddress)
	}
	shown, key, err := lookup.CleanAddress(local, domain)
	if err != nil {
		return "", h, err
	}
	if h, err = d.cfg.Lookup.AddressHash(key); err != nil {
		return "", h, err
	}
	known, err := d.cfg.Lookup.HasDomain(ctx, domain)
	if err == nil && !known {
		err = ErrNoDomain
	}
	return shown, h, err
}

// AddAccount makes an account with its first mailboxes in the mail group that
// has the fewest accounts. It is a plan over two groups, recorded in the
// directory by its first step: when it is interrupted after that, the driver
// finishes it. Its errors are mailstore.ErrExists (the address is taken),
// ErrNoDomain, mailstore.ErrNoAddress (not an address), and cluster's.
func (d *Door) AddAccount(ctx context.Context, add AddAccount) (mailstore.AccountID, error) {
	shown, h, err := d.address(ctx, add.Address)
	if err != nil {
		return 0, err
	}
	group, err := d.emptiest()
	if err != nil {
		return 0, err
	}
	id := newAccountID()
	keys, err := keyring.NewAccount(uint64(id))
	if err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	wrapped, err := d.cfg.Ring.WrapAccount(keys)
	if err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	k := lookup.Keys{Account: keys}
	cred, err := d.credential(k, add.Password, add.Verifier)
	if err != nil {
		return 0, err
	}
	addr := k.SealAddress(h, shown)
	c := &commandpb.AddAccount{
		Id: uint64(id), Group: uint32(group), WrappedKeys: wrapped,
		Address:    &commandpb.Name{Hash: addr.Hash[:], Sealed: addr.Sealed},
		Credential: cred, QuotaBytes: add.QuotaBytes, QuotaMessages: add.QuotaMessages,
	}
	if _, err := d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_AddAccount{AddAccount: c}}); err != nil {
		return 0, err
	}
	d.counted(group)
	if err := d.finish(ctx, id); err != nil {
		d.Wake()
		return id, fmt.Errorf("commit: the account is recorded and will be opened: %w", err)
	}
	return id, nil
}

func newAccountID() mailstore.AccountID {
	var b [8]byte
	for {
		random(b[:])
		if id := mailstore.AccountID(binary.BigEndian.Uint64(b[:])); id != 0 {
			return id
		}
	}
}

// credential makes the record by which a user logs in.
func (d *Door) credential(k lookup.Keys, password []byte, encoded string) (*commandpb.Credential, error) {
	if encoded == "" {
		v, err := passwd.NewVerifier(password)
		if err != nil {
			return nil, fmt.Errorf("commit: %w", err)
		}
		encoded = v.Encode()
	} else if _, err := passwd.ParseChecker(encoded); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	var id [16]byte
	random(id[:])
	return &commandpb.Credential{
		Id: id[:], Verifier: k.SealVerifier(id, encoded), Created: uint64(max(d.cfg.Now().UnixMilli(), 0)),
	}, nil
}

// emptiest returns the mail group with the fewest accounts. The counts are
// read once a minute; it only matters that groups fill alike.
func (d *Door) emptiest() (cluster.GroupID, error) {
	groups := d.cfg.Groups.Mail()
	if len(groups) == 0 {
		return 0, fmt.Errorf("%w: no mail group", cluster.ErrUnavailable)
	}
	d.countMu.Lock()
	defer d.countMu.Unlock()
	if now := d.cfg.Now(); d.counts == nil || now.Sub(d.countedAt) > countFor {
		counts := map[cluster.GroupID]int{}
		r := d.cfg.Directory.Read()
		err := r.Accounts(func(row *state.DirectoryAccount) error {
			counts[row.Group]++
			return nil
		})
		if err = errors.Join(err, r.Close()); err != nil {
			return 0, err
		}
		d.counts, d.countedAt = counts, now
	}
	best := groups[0]
	for _, g := range groups {
		if d.counts[g] < d.counts[best] {
			best = g
		}
	}
	return best, nil
}

func (d *Door) counted(g cluster.GroupID) {
	d.countMu.Lock()
	defer d.countMu.Unlock()
	d.counts[g]++
}

// SetPassword replaces every credential of an account by one password.
func (d *Door) SetPassword(ctx context.Context, a mailstore.AccountID, password []byte) error {
	return d.setCredential(ctx, a, password, "")
}

// SetVerifier replaces every credential of an account by a stored password
// record in the text of crypto/passwd.
func (d *Door) SetVerifier(ctx context.Context, a mailstore.AccountID, verifier string) error {
	return d.setCredential(ctx, a, nil, verifier)
}

// UpgradeCredential exchanges the record of a password that was just proved
// right, which was made elsewhere, for one of our own. A credential that is not
// there any more, because the password was changed meanwhile, is ErrNoSuch.
func (d *Door) UpgradeCredential(ctx context.Context, a mailstore.AccountID, id [16]byte, password []byte) error {
	acc, err := d.cfg.Lookup.Open(ctx, a)
	if err != nil {
		return err
	}
	v, err := passwd.NewVerifier(password)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	r := d.cfg.Directory.Read()
	rows, err := r.Credentials(a)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(c state.CredentialRow) bool { return c.ID == id })
	if i < 0 {
		return ErrNoSuch
	}
	c := &commandpb.SetCredential{Account: uint64(a), Existing: true, Credential: &commandpb.Credential{
		Id: id[:], Scope: rows[i].Scope, Label: rows[i].Label, Created: rows[i].Created, Verifier: acc.Keys().SealVerifier(id, v.Encode()),
	}}
	_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_SetCredential{SetCredential: c}})
	return err
}

func (d *Door) setCredential(ctx context.Context, a mailstore.AccountID, password []byte, verifier string) error {
	acc, err := d.cfg.Lookup.Open(ctx, a)
	if err != nil {
		return err
	}
	cred, err := d.credential(acc.Keys(), password, verifier)
	if err != nil {
		return err
	}
	c := &commandpb.SetCredential{Account: uint64(a), Credential: cred, Only: true}
	_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_SetCredential{SetCredential: c}})
	return err
}

// AddAddress gives an account a further address. mailstore.ErrExists: it is
// taken.
func (d *Door) AddAddress(ctx context.Context, a mailstore.AccountID, address string) error {
	shown, h, err := d.address(ctx, address)
	if err != nil {
		return err
	}
	acc, err := d.cfg.Lookup.Open(ctx, a)
	if err != nil {
		return err
	}
	s := acc.Keys().SealAddress(h, shown)
	c := &commandpb.AddAddress{Account: uint64(a), Address: &commandpb.Name{Hash: s.Hash[:], Sealed: s.Sealed}}
	_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_AddAddress{AddAddress: c}})
	return err
}

// RemoveAddress takes an address from an account. mailstore.ErrNoAddress: it
// has none such; mailstore.ErrNotPermitted: it is its main address.
func (d *Door) RemoveAddress(ctx context.Context, a mailstore.AccountID, address string) error {
	local, domain, ok := lookup.SplitAddress(address)
	if !ok {
		return mailstore.ErrNoAddress
	}
	_, key, err := lookup.CleanAddress(local, domain)
	if err != nil {
		return err
	}
	h, err := d.cfg.Lookup.AddressHash(key)
	if err != nil {
		return err
	}
	c := &commandpb.RemoveAddress{Account: uint64(a), Hash: h[:]}
	_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_RemoveAddress{RemoveAddress: c}})
	if errors.Is(err, ErrNoSuch) {
		return mailstore.ErrNoAddress
	}
	return err
}

// SetQuota changes what an account may use; 0 is no limit. The directory has
// it first; its mail group follows, by the driver if this is interrupted.
func (d *Door) SetQuota(ctx context.Context, a mailstore.AccountID, bytes, messages uint64) error {
	c := &commandpb.SetQuota{Id: uint64(a), QuotaBytes: bytes, QuotaMessages: messages}
	if _, err := d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_SetQuota{SetQuota: c}}); err != nil {
		return err
	}
	return d.finish(ctx, a)
}

// SuspendAccount ends logins and changes; mail is still taken.
func (d *Door) SuspendAccount(ctx context.Context, a mailstore.AccountID) error {
	err := d.status(ctx, a, commandpb.AccountStatus_SUSPENDED, commandpb.AccountStatus_ACTIVE, commandpb.AccountStatus_SUSPENDED)
	if err != nil {
		return err
	}
	return d.finish(ctx, a)
}

// ResumeAccount takes a suspension back.
func (d *Door) ResumeAccount(ctx context.Context, a mailstore.AccountID) error {
	err := d.status(ctx, a, commandpb.AccountStatus_ACTIVE, commandpb.AccountStatus_ACTIVE, commandpb.AccountStatus_SUSPENDED)
	if err != nil {
		return err
	}
	return d.finish(ctx, a)
}

// CloseAccount ends an account for good: its mail group forgets it, then its
// keys are destroyed, so that what is left of it anywhere cannot be read. When
// it is interrupted after its first step, the driver finishes it.
func (d *Door) CloseAccount(ctx context.Context, a mailstore.AccountID) error {
	err := d.status(ctx, a, commandpb.AccountStatus_CLOSING, commandpb.AccountStatus_OPENING,
		commandpb.AccountStatus_ACTIVE, commandpb.AccountStatus_SUSPENDED, commandpb.AccountStatus_CLOSING)
	if err != nil {
		return err
	}
	if err := d.finish(ctx, a); err != nil {
		d.Wake()
		return fmt.Errorf("commit: the account will be closed: %w", err)
	}
	return nil
}

// status moves an account from one of some states to another; one that is
// closed is gone.
func (d *Door) status(ctx context.Context, a mailstore.AccountID, to commandpb.AccountStatus, from ...commandpb.AccountStatus) error {
	c := &commandpb.SetAccountStatus{Id: uint64(a), Status: to, From: from}
	_, err := d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_SetAccountStatus{SetAccountStatus: c}})
	if !errors.Is(err, mailstore.ErrConflict) {
		return err
	}
	row, ok, rerr := d.dirAccount(a)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	if ok && row.Status == commandpb.AccountStatus_CLOSED {
		return mailstore.ErrNoAccount
	}
	return err
}
