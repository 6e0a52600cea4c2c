package imap

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// grantee returns the account that an identifier stands for: any address of it
// does. Others than accounts are no identifiers here.
func (c *call) grantee(identifier string) (mailstore.AccountID, error) {
	switch {
	case identifier == "anyone":
		return 0, no("NOPERM", "Nothing can be shared with anyone")
	case strings.HasPrefix(identifier, "-"):
		// RFC 4314 section 2: not all servers have them.
		return 0, no("NOPERM", "There are no negative rights here")
	}
	local, domain, ok := lookup.SplitAddress(identifier)
	if !ok {
		return 0, no("CANNOT", "An identifier is the address of a user")
	}
	ctx, cancel := c.quorum()
	defer cancel()
	to, err := c.s.srv.cfg.Lookup.Route(ctx, local, domain)
	if errors.Is(err, mailstore.ErrNoAddress) {
		return 0, no("CANNOT", "No such user")
	}
	return to.Account, err
}

// cmdSetACL is of RFC 4314 section 3.1.
func cmdSetACL(c *call) error {
	a := c.args.SetACL()
	if err := c.args.End(); err != nil {
		return err
	}
	rights, ok := lookup.ParseRights(a.Rights)
	if !ok {
		return &imapwire.SyntaxError{Text: "No such right"}
	}
	mode := map[imapwire.StoreMode]commit.Mode{imapwire.StoreSet: commit.Set, imapwire.StoreAdd: commit.Add, imapwire.StoreRemove: commit.Remove}[a.Mode]
	return c.setACL(a.Mailbox, a.Identifier, mode, rights)
}

// cmdDeleteACL is of RFC 4314 section 3.2.
func cmdDeleteACL(c *call) error {
	name, identifier := c.args.ACLName()
	if err := c.args.End(); err != nil {
		return err
	}
	return c.setACL(name, identifier, commit.Set, 0)
}

func (c *call) setACL(name, identifier string, mode commit.Mode, rights mailstore.Rights) error {
	f, err := c.find(name, mailstore.RightAdminister)
	if err != nil {
		return err
	}
	who, err := c.grantee(identifier)
	if err != nil {
		return err
	}
	if who == f.owner.ID() {
		// The owner has all rights, and keeps them (LISTRIGHTS says so).
		if mode == commit.Add || mode == commit.Remove && rights == 0 || rights == mailstore.AllRights && mode == commit.Set {
			return nil
		}
		return no("NOPERM", "The owner keeps all rights")
	}
	err = c.s.srv.cfg.Commit.SetACL(c.ctx, f.owner, f.box.ID, who, mode, rights)
	if errors.Is(err, mailstore.ErrNoAccount) {
		return no("CANNOT", "No such user")
	}
	return err
}

// cmdGetACL is of RFC 4314 section 3.3.
func cmdGetACL(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	if _, err := c.sync(); err != nil {
		return err
	}
	f, err := c.find(name, mailstore.RightAdminister)
	if err != nil {
		return err
	}
	acl, err := f.owner.ACL(f.box.ID)
	if err != nil {
		return err
	}
	rights := map[string]mailstore.Rights{}
	for i := range acl {
		a, err := c.s.srv.cfg.Lookup.Open(c.ctx, acl[i].Account)
		if errors.Is(err, mailstore.ErrNoAccount) {
			continue // closed: it goes from the list
		}
		if err != nil {
			return err
		}
		rights[a.Address()] = acl[i].Rights
	}
	w := c.s.w
	w.Untagged("ACL ").Mailbox(name).SP().Astring(f.owner.Address()).SP().Raw(lookup.FormatRights(mailstore.AllRights))
	for _, address := range slices.Sorted(maps.Keys(rights)) {
		w.SP().Astring(address).SP().Raw(lookup.FormatRights(rights[address]))
	}
	w.CRLF()
	return nil
}

// cmdListRights is of RFC 4314 section 3.4. Rights are not tied to each other.
func cmdListRights(c *call) error {
	name, identifier := c.args.ACLName()
	if err := c.args.End(); err != nil {
		return err
	}
	f, err := c.find(name, mailstore.RightAdminister)
	if err != nil {
		return err
	}
	required, optional := `""`, ""
	if identifier != "anyone" && !strings.HasPrefix(identifier, "-") {
		who, err := c.grantee(identifier)
		if err != nil {
			return err
		}
		if who == f.owner.ID() {
			required = lookup.FormatRights(mailstore.AllRights)
		} else {
			optional = lookup.FormatRights(mailstore.AllRights)
		}
	}
	w := c.s.w
	w.Untagged("LISTRIGHTS ").Mailbox(name).SP().Astring(identifier).SP().Raw(required)
	for _, r := range optional {
		w.SP().Raw(string(r))
	}
	w.CRLF()
	return nil
}

// cmdMyRights is of RFC 4314 section 3.5.
func cmdMyRights(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	if _, err := c.sync(); err != nil {
		return err
	}
	f, err := c.find(name, 0)
	if err != nil {
		return err
	}
	if f.rights&anyRight == 0 {
		return mailstore.ErrNoMailbox
	}
	c.s.tellRights(name, f.rights)
	return nil
}

// tellRights writes a MYRIGHTS response.
func (s *session) tellRights(name string, r mailstore.Rights) {
	s.w.Untagged("MYRIGHTS ").Mailbox(name).SP().Raw(lookup.FormatRights(r)).CRLF()
}
