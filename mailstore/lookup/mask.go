package lookup

import (
	"fmt"
	"strconv"
	"strings"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
)

// Limits of the IMAP capabilities that are kept from an account's clients.
const (
	MaxMasked     = 64 // capabilities
	MaxCapability = 64 // octets of one
)

// CleanMask returns capabilities in capitals, each once. One with a "+" before
// it is not hidden but turned on: it is one that is off by default. What cannot
// be a capability is mailstore.ErrBadName, too many are mailstore.ErrLimit.
func CleanMask(caps []string) ([]string, error) {
	out := make([]string, 0, len(caps))
	seen := make(map[string]bool, len(caps))
	for _, c := range caps {
		c = strings.ToUpper(c)
		if len(c) > MaxCapability || CheckKeyword(c) != nil {
			return nil, fmt.Errorf("%w: no capability has this name", mailstore.ErrBadName)
		}
		if name, on := strings.CutPrefix(c, "+"); on && !optional(name) {
			return nil, fmt.Errorf("%w: no capability that can be turned on has this name: UIDONLY, MESSAGELIMIT=N", mailstore.ErrBadName)
		}
		if !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	if len(out) > MaxMasked {
		return nil, fmt.Errorf("%w: %d capabilities", mailstore.ErrLimit, len(out))
	}
	return out, nil
}

// optional reports whether a capability is off by default.
func optional(name string) bool {
	if name == "UIDONLY" {
		return true
	}
	n, ok := strings.CutPrefix(name, "MESSAGELIMIT=")
	if !ok {
		return false
	}
	v, err := strconv.ParseUint(n, 10, 31)
	return err == nil && v > 0 && n[0] != '0'
}

// SplitMask parts a mask into what is hidden and what is turned on.
func SplitMask(caps []string) (hidden, on []string) {
	for _, c := range caps {
		if name, plus := strings.CutPrefix(c, "+"); plus {
			on = append(on, name)
		} else {
			hidden = append(hidden, c)
		}
	}
	return hidden, on
}

// maskSetting is the name of the setting that holds an account's mask.
func maskSetting(a mailstore.AccountID) string { return fmt.Sprintf("imap/mask/%016x", uint64(a)) }

// maskVersion begins the plaintext of a sealed mask. Frozen.
const maskVersion = 1

// SealMask returns the directory's setting that holds a clean mask: its name
// and its sealed value, which nothing opens once the account is closed.
func (a *Account) SealMask(caps []string) (setting string, sealed []byte) {
	setting = maskSetting(a.id)
	b := append([]byte{maskVersion}, strings.Join(caps, " ")...)
	return setting, a.keys.Seal(nil, keyring.KindAccount, []byte(setting), b)
}

// Mask returns the IMAP capabilities that are kept from the account's clients,
// and those that are turned on for them (SplitMask), as this node knows it.
func (d *Door) Mask(a *Account) ([]string, error) {
	r := d.cfg.Directory.Read()
	defer d.close(r)
	setting := maskSetting(a.id)
	row, ok, err := r.Setting(setting)
	if err != nil || !ok {
		return nil, err
	}
	b, err := a.keys.Account.Open(nil, keyring.KindAccount, []byte(setting), row.Value)
	if err != nil {
		return nil, damaged("a mask of capabilities", err)
	}
	if len(b) == 0 || b[0] != maskVersion {
		return nil, fmt.Errorf("%w: a mask of an unknown format", mailstore.ErrDamaged)
	}
	return strings.Fields(string(b[1:])), nil
}
