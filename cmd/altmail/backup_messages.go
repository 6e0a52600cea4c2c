package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/backup/restore"
)

// octetsStep is how much of a message one step of the stream carries.
const octetsStep = 512 << 10

// messages restores messages of one account into the running cluster, beside
// what is there: new UIDs in a folder of their own.
func (c *backupRestoreCmd) messages(e *env, src *restore.Source) (err error) {
	a, err := c.dial()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "altmail-restore-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bar := newBar(e.stderr, c.Quiet)
	defer bar.end()
	r, err := restore.NewReader(e.ctx, src, dir, func(done, all int) { bar.count("reading", done, all, "pieces of metadata") })
	if err != nil {
		return repoError(err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	acc, err := r.Account(e.ctx, c.Account)
	if errors.Is(err, mailstore.ErrNoAddress) || errors.Is(err, mailstore.ErrNoAccount) {
		return codedf(exitNoAccount, "no account had the address %s then", c.Account)
	}
	if err != nil {
		return repoError(err)
	}
	into := strings.TrimSuffix(c.Into, "/")
	if into == "" {
		into = "Restored/" + src.Snap.Time().Format("2006-01-02 15.04.05")
	}
	to := c.To
	if to == "" {
		to = c.Account
	}
	stream := a.RestoreMessages(e.ctx)
	send := func(q *adminpb.RestoreMessagesRequest) error { return stream.Send(q) }
	err = send(&adminpb.RestoreMessagesRequest{Step: &adminpb.RestoreMessagesRequest_Account_{Account: &adminpb.RestoreMessagesRequest_Account{
		Address: to, AcceptDuplicates: slices.Contains(c.AcceptRisk, "duplicate-messages"),
	}}})
	n, lost := 0, 0
	if err == nil {
		lost, err = r.Messages(e.ctx, acc, c.Mailbox, mailstore.UID(c.UID), func(m *restore.Message) error {
			n++
			_, zone := m.InternalDate.Zone()
			if err := send(&adminpb.RestoreMessagesRequest{Step: &adminpb.RestoreMessagesRequest_Begin_{Begin: &adminpb.RestoreMessagesRequest_Begin{
				Mailbox: into + "/" + m.Mailbox, Flags: uint32(m.Flags), Keywords: m.Keywords,
				InternalDate: m.InternalDate.Unix(), Zone: int32(zone / 60), Size: uint32(len(m.Raw)),
			}}}); err != nil {
				return err
			}
			for piece := range slices.Chunk(m.Raw, octetsStep) {
				if err := send(&adminpb.RestoreMessagesRequest{Step: &adminpb.RestoreMessagesRequest_Octets{Octets: piece}}); err != nil {
					return err
				}
			}
			bar.count("restoring", n, 0, "messages")
			return nil
		})
	}
	if errors.Is(err, mailstore.ErrNoMailbox) {
		err = codedf(exitData, "the account had no mailbox %q then", c.Mailbox)
		_, cerr := stream.CloseAndReceive()
		return errors.Join(err, cerr)
	}
	// What the node refused is in its answer, not in the broken stream.
	resp, rerr := stream.CloseAndReceive()
	bar.end()
	if rerr != nil {
		return rerr
	}
	if err != nil {
		return err
	}
	if c.UID != 0 && n == 0 && lost == 0 {
		return codedf(exitData, "the mailbox had no message %d then", c.UID)
	}
	fmt.Fprintf(e.stdout, "restored %d messages of %s into %s of %s\n", resp.Msg.Messages, src.Snap.Time().Format("2006-01-02 15:04:05"), into, to)
	if lost > 0 {
		return codedf(exitPartly, "%d messages are lost: expunged while that backup was pulled, or damaged in the repository", lost)
	}
	return nil
}
