package snapshot

import (
	"encoding/binary"
	"fmt"

	"altmail.se/altmail/cluster"
)

// Ticket is all that an InstallSnapshot RPC carries: what to fetch, and where.
type Ticket struct {
	Group       cluster.GroupID
	Index, Term uint64
	Source      cluster.NodeID
}

const (
	ticketMagic = "ALTMTKT1"
	// TicketSize is the size of every ticket in bytes.
	TicketSize = len(ticketMagic) + 4 + 8 + 8 + 16
)

// Encode returns the bytes of the ticket.
func (t Ticket) Encode() []byte {
	b := make([]byte, 0, TicketSize)
	b = append(b, ticketMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(t.Group))
	b = binary.BigEndian.AppendUint64(b, t.Index)
	b = binary.BigEndian.AppendUint64(b, t.Term)
	return append(b, t.Source[:]...)
}

// DecodeTicket reads a ticket.
func DecodeTicket(b []byte) (t Ticket, err error) {
	if len(b) != TicketSize || string(b[:len(ticketMagic)]) != ticketMagic {
		return t, fmt.Errorf("%w: ticket", errMalformed)
	}
	t.Group = cluster.GroupID(binary.BigEndian.Uint32(b[8:]))
	t.Index = binary.BigEndian.Uint64(b[12:])
	t.Term = binary.BigEndian.Uint64(b[20:])
	copy(t.Source[:], b[28:])
	return t, nil
}
