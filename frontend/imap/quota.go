package imap

import (
	"strconv"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore/lookup"
)

// quotaRoot is the name of the one quota root an account with limits has; an
// account without limits has none (RFC 9208 section 3.2).
const quotaRoot = ""

// storageUnit is the unit of STORAGE in octets (RFC 9208 section 5.1).
const storageUnit = 1024

// quota returns what the account uses, certainly, and whether anything of it is
// limited.
func (c *call) quota() (lookup.Quota, bool, error) {
	if _, err := c.sync(); err != nil {
		return lookup.Quota{}, false, err
	}
	q, err := c.s.account.Quota()
	return q, q.LimitBytes != 0 || q.LimitMessages != 0, err
}

// cmdGetQuota is of RFC 9208 section 4.1.1.
func cmdGetQuota(c *call) error {
	c.args.SP()
	root := string(c.args.Astring())
	if err := c.args.End(); err != nil {
		return err
	}
	q, limited, err := c.quota()
	if err != nil {
		return err
	}
	if !limited || root != quotaRoot {
		return no("NONEXISTENT", "No such quota root")
	}
	c.s.tellQuota(&q)
	return nil
}

// cmdGetQuotaRoot is of RFC 9208 section 4.1.2. The mailbox need not exist.
func cmdGetQuotaRoot(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	q, limited, err := c.quota()
	if err != nil {
		return err
	}
	w := c.s.w
	w.Untagged("QUOTAROOT ").Mailbox(name)
	if limited {
		w.SP().String(quotaRoot)
	}
	w.CRLF()
	if limited {
		c.s.tellQuota(&q)
	}
	return nil
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
func (s *session) tellQuota(q *lookup.Quota) {
	out := append(s.w.Buf(), "* QUOTA "...)
	out = imapwire.AppendString(out, quotaRoot, false)
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
