package main

import (
	"fmt"
	"strconv"
	"strings"

	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/mailstore/lookup"
)

// accountCmd is the noun account.
type accountCmd struct {
	Add     accountAddCmd     `cmd:"" help:"Make an account."`
	List    accountListCmd    `cmd:"" help:"List accounts."`
	Show    accountShowCmd    `cmd:"" help:"Show one account."`
	Passwd  accountPasswdCmd  `cmd:"" help:"Set an account's password."`
	Quota   accountQuotaCmd   `cmd:"" help:"Set an account's quota."`
	Mask    accountMaskCmd    `cmd:"" help:"Hide IMAP capabilities from an account's clients, or turn optional ones on."`
	Suspend accountSuspendCmd `cmd:"" help:"Stop logins and changes; mail still arrives."`
	Resume  accountResumeCmd  `cmd:"" help:"Undo suspend."`
	Import  accountImportCmd  `cmd:"" help:"Bring an account's mail in: from another IMAP server, a Maildir, or mbox files."`
	Export  accountExportCmd  `cmd:"" help:"Write an account's mail to a Maildir or to mbox files, with a manifest."`

	ImportPasswd accountImportPasswdCmd `cmd:"" help:"Make the accounts of a Dovecot passwd-file, with their hashed passwords."`

	Close accountCloseCmd `cmd:"" help:"Close an account: its keys are destroyed, its mail is unreadable at once."`
}

type accountAddCmd struct {
	configFlag
	jsonFlag
	Address       string      `arg:"" help:"Main address."`
	PasswordFile  string      `help:"File with the password on its first line; - is standard input." placeholder:"FILE" xor:"password"`
	HashFile      string      `help:"File with the hashed password on its first line, as in a Dovecot passwd-file: {SCHEME}hash. Nobody else may read it." placeholder:"FILE" type:"path" xor:"password"`
	Quota         config.Size `help:"Bytes the account may hold; 0 is no limit." default:"0"`
	QuotaMessages uint64      `help:"Messages the account may hold; 0 is no limit."`
}

func (c *accountAddCmd) Run(e *env) error {
	var pw []byte
	verifier := ""
	var err error
	if c.HashFile != "" {
		verifier, err = readHash(e, c.HashFile)
	} else {
		pw, err = readPassword(e, c.PasswordFile)
	}
	if err != nil {
		return err
	}
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.AddAccount, &adminpb.AddAccountRequest{
		Address: c.Address, Password: pw, Verifier: verifier, QuotaBytes: uint64(c.Quota), QuotaMessages: c.QuotaMessages,
	})
	if err != nil {
		return err
	}
	return printAccount(e, r, c.JSON)
}

type accountListCmd struct {
	configFlag
	jsonFlag
}

func (c *accountListCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	all := &adminpb.ListAccountsResponse{}
	for after := ""; ; {
		r, err := unary(e.ctx, a.ListAccounts, &adminpb.ListAccountsRequest{After: after})
		if err != nil {
			return err
		}
		all.Accounts = append(all.Accounts, r.Accounts...)
		if r.Next == "" {
			break
		}
		after = r.Next
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	var rows [][]string
	for _, a := range all.Accounts {
		rows = append(rows, []string{
			a.Id, strings.Join(a.Addresses, ","), a.Status, fmt.Sprint(a.Group),
			fmt.Sprint(a.UsedMessages), fmt.Sprint(a.UsedBytes), limit(a.QuotaBytes),
		})
	}
	return table(e.stdout, []string{"ID", "ADDRESSES", "STATUS", "GROUP", "MESSAGES", "BYTES", "QUOTA"}, rows)
}

type accountShowCmd struct {
	configFlag
	jsonFlag
	Address string `arg:"" help:"Any address of the account."`
}

func (c *accountShowCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.ShowAccount, &adminpb.ShowAccountRequest{Address: c.Address})
	if err != nil {
		return err
	}
	return printAccount(e, r, c.JSON)
}

type accountPasswdCmd struct {
	configFlag
	Address      string `arg:"" help:"Any address of the account."`
	PasswordFile string `help:"File with the password on its first line; - is standard input." placeholder:"FILE"`
}

func (c *accountPasswdCmd) Run(e *env) error {
	pw, err := readPassword(e, c.PasswordFile)
	if err != nil {
		return err
	}
	a, err := c.dial()
	if err != nil {
		return err
	}
	_, err = unary(e.ctx, a.SetPassword, &adminpb.SetPasswordRequest{Address: c.Address, Password: pw})
	return err
}

type accountQuotaCmd struct {
	configFlag
	Address  string      `arg:"" help:"Any address of the account."`
	Bytes    config.Size `arg:"" help:"Bytes, 0 for no limit."`
	Messages uint64      `arg:"" optional:"" help:"Messages, 0 for no limit."`
}

func (c *accountQuotaCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	_, err = unary(e.ctx, a.SetQuota, &adminpb.SetQuotaRequest{Address: c.Address, QuotaBytes: uint64(c.Bytes), QuotaMessages: c.Messages})
	return err
}

type accountMaskCmd struct {
	configFlag
	jsonFlag
	Address      string   `arg:"" help:"Any address of the account."`
	Capabilities []string `arg:"" optional:"" help:"IMAP capabilities that its clients are not told of, from their next login on; none hides none. With + before it, one that is off by default is turned on: +UIDONLY (some clients cannot bear its sight), +MESSAGELIMIT=N (at most N messages a command)."`
}

func (c *accountMaskCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.SetMask, &adminpb.SetMaskRequest{Address: c.Address, Capabilities: c.Capabilities})
	if err != nil {
		return err
	}
	return printAccount(e, r, c.JSON)
}

type accountSuspendCmd struct {
	configFlag
	Address string `arg:"" help:"Any address of the account."`
}

func (c *accountSuspendCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	_, err = unary(e.ctx, a.SuspendAccount, &adminpb.SuspendAccountRequest{Address: c.Address})
	return err
}

type accountResumeCmd struct {
	configFlag
	Address string `arg:"" help:"Any address of the account."`
}

func (c *accountResumeCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	_, err = unary(e.ctx, a.ResumeAccount, &adminpb.ResumeAccountRequest{Address: c.Address})
	return err
}

type accountCloseCmd struct {
	configFlag
	Address string `arg:"" help:"Any address of the account."`
	Yes     bool   `help:"Do not ask."`
}

func (c *accountCloseCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	if !c.Yes {
		fmt.Fprintf(e.stderr, "All mail of %s becomes unreadable for ever. Type the address to go on: ", c.Address)
		var typed string
		if _, err := fmt.Fscanln(e.stdin, &typed); err != nil || typed != c.Address {
			return codedf(exitNotAllowed, "not confirmed, nothing was done")
		}
	}
	_, err = unary(e.ctx, a.CloseAccount, &adminpb.CloseAccountRequest{Address: c.Address})
	return err
}

func printAccount(e *env, a *adminpb.Account, asJSON bool) error {
	if asJSON {
		return printJSON(e.stdout, a)
	}
	rows := [][]string{
		{"addresses", strings.Join(a.Addresses, ", ")},
		{"status", a.Status},
		{"group", fmt.Sprint(a.Group)},
		{"mailboxes", fmt.Sprint(a.Mailboxes)},
		{"messages", fmt.Sprintf("%d of %s", a.UsedMessages, limit(a.QuotaMessages))},
		{"bytes", fmt.Sprintf("%d of %s", a.UsedBytes, limit(a.QuotaBytes))},
	}
	hidden, on := lookup.SplitMask(a.MaskedCapabilities)
	if len(hidden) > 0 {
		rows = append(rows, []string{"hidden from IMAP", strings.Join(hidden, " ")})
	}
	if len(on) > 0 {
		rows = append(rows, []string{"turned on for IMAP", strings.Join(on, " ")})
	}
	return table(e.stdout, []string{"id", a.Id}, rows)
}

func limit(n uint64) string {
	if n == 0 {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// addressCmd is the noun address.
type addressCmd struct {
	Add    addressAddCmd    `cmd:"" help:"Give an account a further address."`
	List   addressListCmd   `cmd:"" help:"List the addresses of an account."`
	Remove addressRemoveCmd `cmd:"" help:"Take an address away."`
}

type addressAddCmd struct {
	configFlag
	Account string `arg:"" help:"Any address of the account."`
	Address string `arg:"" help:"The new address."`
}

func (c *addressAddCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	_, err = unary(e.ctx, a.AddAddress, &adminpb.AddAddressRequest{Account: c.Account, Address: c.Address})
	return err
}

type addressListCmd struct {
	configFlag
	jsonFlag
	Account string `arg:"" help:"Any address of the account."`
}

func (c *addressListCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.ListAddresses, &adminpb.ListAddressesRequest{Account: c.Account})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, r)
	}
	for _, x := range r.Addresses {
		if _, err := fmt.Fprintln(e.stdout, x); err != nil {
			return err
		}
	}
	return nil
}

type addressRemoveCmd struct {
	configFlag
	Address string `arg:"" help:"The address."`
}

func (c *addressRemoveCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	_, err = unary(e.ctx, a.RemoveAddress, &adminpb.RemoveAddressRequest{Address: c.Address})
	return err
}
