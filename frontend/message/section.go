package message

// What names the piece of a part that FETCH BODY[...] asks for (RFC 9051
// section 6.4.5.1).
type What uint8

// The pieces.
const (
	Whole  What = iota // BODY[], BODY[2.1]
	Header             // BODY[HEADER], BODY[2.HEADER], also for HEADER.FIELDS
	Text               // BODY[TEXT], BODY[2.TEXT]
	MIME               // BODY[2.MIME]
)

// Section is where a piece is found.
type Section struct {
	Range
	// Prefixed is set if the piece begins with the message's header: it is
	// shown with the per-account prefix in front.
	Prefixed bool
	// Part is the index of the part the piece belongs to.
	Part int
}

// Find returns the index of the part a section number names; an empty path is
// the message itself.
func (x *Index) Find(path []int) (int, bool) {
	i := 0
	if len(x.Parts) == 0 {
		return 0, false
	}
	// entity: the part is a message's outermost one, whose part 1 is its own
	// text unless it is a multipart.
	entity := true
	for _, n := range path {
		if n < 1 {
			return 0, false
		}
		if !entity && x.Parts[i].Kind == Message {
			i, entity = x.Parts[i].Child, true
		}
		switch {
		case x.Parts[i].Kind == Multipart:
			c := x.Parts[i].Child
			for ; n > 1 && c >= 0; n-- {
				c = x.Parts[c].Next
			}
			if c < 0 {
				return 0, false
			}
			i = c
		case !entity || n != 1:
			return 0, false
		}
		entity = false
	}
	return i, true
}

// Section resolves a section of the message. It reports false if there is no
// such part, and for pieces the part cannot have; FETCH then answers NIL.
func (x *Index) Section(path []int, what What) (Section, bool) {
	if len(path) == 0 {
		// Known without the tree.
		switch what {
		case Whole:
			return Section{Range: Range{0, x.Size}, Prefixed: true}, true
		case Header:
			return Section{Range: Range{0, x.HeaderLen}, Prefixed: true}, true
		case Text:
			return Section{Range: Range{x.HeaderLen, x.Size - x.HeaderLen}}, true
		}
		return Section{}, false
	}
	i, ok := x.Find(path)
	if !ok {
		return Section{}, false
	}
	p := &x.Parts[i]
	switch what {
	case Whole:
		return Section{Range: p.Body, Part: i}, true
	case MIME:
		return Section{Range: p.Header, Prefixed: i == 0, Part: i}, true
	}
	// HEADER and TEXT of a part are those of the message it contains.
	if p.Kind != Message {
		return Section{}, false
	}
	c := &x.Parts[p.Child]
	if what == Header {
		return Section{Range: c.Header, Part: p.Child}, true
	}
	return Section{Range: Range{c.Body.Off, max(p.Body.End()-c.Body.Off, 0)}, Part: p.Child}, true
}
