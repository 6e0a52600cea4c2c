package restore

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/roster"
	"altmail.se/altmail/mailstore/state"
)

// How far a restore jumps ahead, so that nothing that was answered after the
// snapshot is ever given again (replication-hazards 23).
const (
	jumpUIDs    = 1 << 20
	jumpModSeqs = 1 << 32
)

// Node is the first node of the restored cluster, as the directory will have
// it.
type Node struct {
	ID        cluster.NodeID
	Name      string
	Address   string
	PublicKey []byte
	Level     uint32
}

// Adopted tells what had to be settled.
type Adopted struct {
	Accounts, Messages int
	Expunged           int // messages that were expunged while the snapshot was pulled
	Lost               int // bodies that are damaged or missing
	Closed             int // accounts that were opened or closed while it was pulled
}

// AdoptDirectory makes the directory that of a new incarnation with one node:
// former members, join tokens bound to them and backup grants are gone. mail
// tells for each account whether its mail group has it closed.
func AdoptDirectory(d *state.Directory, n Node, sealedCA []byte, closed map[mailstore.AccountID]bool, now time.Time) error {
	r := d.Read()
	nodes, err := r.Nodes()
	var closing []mailstore.AccountID
	if err == nil {
		err = r.Accounts(func(a *state.DirectoryAccount) error {
			if closed[a.ID] && a.Status < pb.AccountStatus_CLOSING {
				closing = append(closing, a.ID)
			}
			return nil
		})
	}
	grants, granted := state.SettingRow{}, false
	if err == nil {
		grants, granted, err = r.Setting(grant.Setting)
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	var cmds []*pb.Command
	for _, old := range nodes {
		cmds = append(cmds, &pb.Command{Op: &pb.Command_RemoveNode{RemoveNode: &pb.RemoveNode{Id: old.ID[:]}}})
	}
	cmds = append(cmds,
		&pb.Command{Op: &pb.Command_PutSetting{PutSetting: &pb.PutSetting{Name: roster.SettingCA, Value: sealedCA}}},
		&pb.Command{Op: &pb.Command_PutNode{PutNode: &pb.PutNode{
			Id: n.ID[:], Name: n.Name, Address: n.Address, PublicKey: n.PublicKey, Level: n.Level,
		}}},
	)
	if granted && len(grants.Value) > 0 {
		cmds = append(cmds, &pb.Command{Op: &pb.Command_PutSetting{PutSetting: &pb.PutSetting{Name: grant.Setting}}})
	}
	for _, a := range closing { // the node ends what that begins
		cmds = append(cmds, &pb.Command{Op: &pb.Command_SetAccountStatus{SetAccountStatus: &pb.SetAccountStatus{
			Id: uint64(a), Status: pb.AccountStatus_CLOSING,
		}}})
	}
	cmds = append(cmds, jump())
	return apply(d, cmds, now)
}

func jump() *pb.Command {
	return &pb.Command{Op: &pb.Command_Jump{Jump: &pb.Jump{Uids: jumpUIDs, Modseqs: jumpModSeqs}}}
}

// AdoptMail settles a mail group: messages whose bodies were expunged before
// they could be copied are expunged, bodies that are damaged are recorded as
// lost, accounts that the directory of the snapshot does not know are closed;
// then every counter jumps. closed is told the accounts that are closed here.
func AdoptMail(m *state.Mail, missing Missing, known func(mailstore.AccountID) bool, closed map[mailstore.AccountID]bool, now time.Time) (a Adopted, err error) {
	r := m.Read()
	cmds, err := settle(r, missing, known, closed, &a)
	if err := errors.Join(err, r.Close()); err != nil {
		return a, err
	}
	for _, id := range missing.Lost {
		cmds = append(cmds, &pb.Command{Op: &pb.Command_BodyLost{BodyLost: &pb.BodyLost{Body: id[:]}}})
	}
	a.Lost = len(missing.Lost)
	return a, apply(m, append(cmds, jump()), now)
}

func settle(r *state.Reader, missing Missing, known func(mailstore.AccountID) bool, closed map[mailstore.AccountID]bool, a *Adopted) (cmds []*pb.Command, err error) {
	var ids []mailstore.AccountID
	if err := r.Accounts(func(row *state.AccountRow) error {
		switch {
		case row.Closed:
			closed[row.ID] = true
		case !known(row.ID):
			a.Closed++
			cmds = append(cmds, &pb.Command{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: uint64(row.ID)}}})
		default:
			a.Accounts++
			a.Messages += int(row.UsedMessages)
			ids = append(ids, row.ID)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if len(missing.Gone) == 0 {
		return cmds, nil
	}
	if err := r.Handoffs(func(h *state.HandoffRow) error {
		if missing.Gone[h.Body.ID] {
			cmds = append(cmds, &pb.Command{Op: &pb.Command_CloseHandoff{CloseHandoff: &pb.CloseHandoff{Id: slices.Clone(h.ID[:])}}})
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, id := range ids {
		boxes, err := r.Mailboxes(id)
		if err != nil {
			return nil, err
		}
		for i := range boxes {
			uids, err := goneUIDs(r, id, boxes[i].ID, missing.Gone)
			if err != nil {
				return nil, err
			}
			a.Expunged += len(uids)
			for piece := range slices.Chunk(uids, 1000) {
				c := &pb.Expunge{Account: uint64(id), Mailbox: uint32(boxes[i].ID), Any: true}
				for _, u := range piece {
					c.Uids = append(c.Uids, &pb.UIDRange{First: uint32(u), Last: uint32(u)})
				}
				cmds = append(cmds, &pb.Command{Op: &pb.Command_Expunge{Expunge: c}})
			}
		}
	}
	return cmds, nil
}

// goneUIDs lists the messages of a mailbox whose body is gone.
func goneUIDs(r *state.Reader, a mailstore.AccountID, box mailstore.MailboxID, gone map[cluster.BodyID]bool) ([]mailstore.UID, error) {
	var uids []mailstore.UID
	var contents []mailstore.ContentID
	if err := r.Messages(a, box, []mailstore.Range{{First: 1, Last: 1<<32 - 1}}, func(m *state.MessageRow) error {
		uids = append(uids, m.UID)
		contents = append(contents, m.Content)
		return nil
	}); err != nil {
		return nil, err
	}
	dead := make([]bool, len(uids))
	if err := r.Contents(a, contents, func(i int, c *state.ContentRow) error {
		dead[i] = gone[c.Body.ID]
		return nil
	}); err != nil {
		return nil, err
	}
	var out []mailstore.UID
	for i, u := range uids {
		if dead[i] {
			out = append(out, u)
		}
	}
	return out, nil
}

// apply executes commands above the applied index, as the only member of a
// group may before anybody else has seen it, and makes them durable.
func apply(m cluster.Machine, cmds []*pb.Command, now time.Time) error {
	index, term := m.Applied()
	for piece := range slices.Chunk(cmds, 64) {
		var entries []cluster.Entry
		for _, c := range piece {
			b, err := command.Encode(c)
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			index++
			entries = append(entries, cluster.Entry{
				Index: index, Term: term, Kind: cluster.KindCommand, Time: uint64(max(now.UnixMilli(), 0)), Command: b,
			})
		}
		results, err := m.Apply(entries)
		if err != nil {
			return err
		}
		for i := range results {
			res, err := command.DecodeResult(results[i].Value)
			if err != nil {
				return err
			}
			if res.Code != pb.Code_OK {
				return fmt.Errorf("restore: a %T ended with %s", piece[i].Op, res.Code)
			}
		}
	}
	_, _, err := m.Sync()
	return err
}
