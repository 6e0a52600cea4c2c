package lookup

import (
	"errors"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// AccountInfo is an account as the operator sees it.
type AccountInfo struct {
	ID                        mailstore.AccountID
	Group                     cluster.GroupID
	Status                    Status
	Addresses                 []string // the main one first; none when closed
	QuotaBytes, QuotaMessages uint64   // 0: none
}

// AccountByAddress returns the account an address belongs to, whatever its
// status, as this node knows it; call SyncDirectory before it for certainty.
func (d *Door) AccountByAddress(address string) (AccountInfo, error) {
	local, domain, ok := SplitAddress(address)
	if !ok {
		return AccountInfo{}, mailstore.ErrNoAddress
	}
	_, key, err := CleanAddress(local, domain)
	if err != nil {
		return AccountInfo{}, err
	}
	h, err := d.AddressHash(key)
	if err != nil {
		return AccountInfo{}, err
	}
	r := d.cfg.Directory.Read()
	defer d.close(r)
	addr, ok, err := r.AddressByHash(h)
	if err != nil {
		return AccountInfo{}, err
	}
	if !ok {
		return AccountInfo{}, mailstore.ErrNoAddress
	}
	row, ok, err := r.Account(addr.Account)
	if err != nil {
		return AccountInfo{}, err
	}
	if !ok {
		return AccountInfo{}, mailstore.ErrNoAccount
	}
	return d.info(r, &row)
}

// errEnough ends a listing.
var errEnough = errors.New("lookup: enough")

// Accounts returns up to limit accounts whose ids come after one, in the order
// of their ids, closed ones included.
func (d *Door) Accounts(after mailstore.AccountID, limit int) ([]AccountInfo, error) {
	r := d.cfg.Directory.Read()
	defer d.close(r)
	var out []AccountInfo
	err := r.Accounts(func(row *state.DirectoryAccount) error {
		if row.ID <= after {
			return nil
		}
		if len(out) == limit {
			return errEnough
		}
		i, err := d.info(r, row)
		out = append(out, i)
		return err
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

func (d *Door) info(r *state.DirectoryReader, row *state.DirectoryAccount) (AccountInfo, error) {
	i := AccountInfo{
		ID: row.ID, Group: row.Group, Status: Status(row.Status),
		QuotaBytes: row.QuotaBytes, QuotaMessages: row.QuotaMessages,
	}
	if len(row.WrappedKeys) == 0 {
		return i, nil // shredded
	}
	a, err := d.account(r, row)
	if err != nil {
		return i, err
	}
	rows, err := r.Addresses(row.ID)
	if err != nil {
		return i, err
	}
	for _, ar := range rows {
		text, err := a.keys.openAddress(ar.Hash, ar.Sealed)
		if err != nil {
			return i, err
		}
		if ar.Hash == row.Main {
			i.Addresses = append([]string{text}, i.Addresses...)
		} else {
			i.Addresses = append(i.Addresses, text)
		}
	}
	return i, nil
}

func (s Status) String() string {
	switch s {
	case Opening:
		return "opening"
	case Active:
		return "active"
	case Suspended:
		return "suspended"
	case Closing:
		return "closing"
	case Closed:
		return "closed"
	}
	return "unknown"
}
