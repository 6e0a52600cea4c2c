package imap

import (
	"slices"
	"strconv"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// quotaRoot is the name of the one quota root an account with limits has; an
// account without limits has none (RFC 9208 section 3.2).
const quotaRoot = ""

// storageUnit is the unit of STORAGE in octets (RFC 9208 section 5.1).
const storageUnit = 1024

// quota returns what an account uses and whether anything of it is limited.
func quota(a *lookup.Account) (lookup.Quota, bool, error) {
	q, err := a.Quota()
	return q, q.LimitBytes != 0 || q.LimitMessages != 0, err
}

// rootOf is the quota root of an account's mailboxes: of another's it is named
// after the owner, whose quota counts.
func (s *session) rootOf(a *lookup.Account) string {
	if !s.shared(a) {
		return quotaRoot
	}
	return otherUsers + "/" + a.Address()
}

// cmdGetQuota is of RFC 9208 section 4.1.1.
func cmdGetQuota(c *call) error {
	c.args.SP()
	root := string(c.args.Astring())
	if err := c.args.End(); err != nil {
		return err
	}
	if _, err := c.syncAll(); err != nil {
		return err
	}
	owners, err := c.s.owners(c.ctx)
	if err != nil {
		return err
	}
	for _, a := range append(owners, c.s.account) {
		if c.s.rootOf(a) != root {
			continue
		}
		if readable, err := mayRead(a); err != nil || !readable {
			if err != nil {
				return err
			}
			break
		}
		q, limited, err := quota(a)
		if err != nil {
			return err
		}
		if limited {
			c.s.tellQuota(root, &q)
			return nil
		}
	}
	return no("NONEXISTENT", "No such quota root")
}

// cmdGetQuotaRoot is of RFC 9208 section 4.1.2. The mailbox need not exist.
func cmdGetQuotaRoot(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	if _, err := c.sync(); err != nil {
		return err
	}
	a := c.s.account
	if isOther(name) {
		f, err := c.find(name, mailstore.RightRead)
		if err != nil {
			return err
		}
		a = f.owner
	}
	q, limited, err := quota(a)
	if err != nil {
		return err
	}
	root := c.s.rootOf(a)
	w := c.s.w
	w.Untagged("QUOTAROOT ").Mailbox(name)
	if limited {
		w.SP().String(root)
	}
	w.CRLF()
	if limited {
		c.s.tellQuota(root, &q)
	}
	return nil
}

// mayRead reports whether the user may read any mailbox of an account.
func mayRead(a *lookup.Account) (bool, error) {
	if _, shared := a.Actor(); !shared {
		return true, nil
	}
	all, err := a.Granted()
	return slices.ContainsFunc(all, func(g lookup.Granted) bool { return g.Rights.Has(mailstore.RightRead) }), err
}

// maxResources bounds the resources of one SETQUOTA.
const maxResources = 50

// cmdSetQuota is of RFC 9208 section 4.1.3: limits are the operator's.
func cmdSetQuota(c *call) error {
	a := c.args
	a.SP()
	a.Astring()
	a.SP()
	n := 0
	a.List(func() {
		a.Atom()
		a.SP()
		a.Number64()
		if n++; n > maxResources {
			a.Fail("too many resources")
		}
	})
	if err := a.End(); err != nil {
		return err
	}
	return no("NOPERM", "Quotas are set by the operator")
}

// tellQuota writes a QUOTA response (RFC 9208 section 4.2.1) with what is
// limited.
func (s *session) tellQuota(root string, q *lookup.Quota) {
	out := append(s.w.Buf(), "* QUOTA "...)
	out = imapwire.AppendString(out, root, s.utf8)
	sep := " ("
	put := func(name string, used, limit uint64) {
		out = append(append(append(out, sep...), name...), ' ')
		out = strconv.AppendUint(out, used, 10)
		out = append(out, ' ')
		out = strconv.AppendUint(out, limit, 10)
		sep = " "
	}
	if q.LimitBytes != 0 {
		// Rounded so that what is over the limit looks like it.
		limit := q.LimitBytes / storageUnit
		put("STORAGE", (q.UsedBytes+storageUnit-1)/storageUnit, limit)
	}
	if q.LimitMessages != 0 {
		put("MESSAGE", q.UsedMessages, q.LimitMessages)
	}
	s.w.SetBuf(append(out, ")\r\n"...))
}
