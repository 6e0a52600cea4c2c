package message

import (
	"errors"
	"io"
)

// ErrUnknownEncoding is returned for a transfer encoding that cannot be
// undone; IMAP answers NO [UNKNOWN-CTE] (RFC 3516 section 4.3).
var ErrUnknownEncoding = errors.New("message: unknown content transfer encoding")

// ErrBadEncoding is returned by a decoder at the end of content that breaks
// off in the middle of a group.
var ErrBadEncoding = errors.New("message: damaged transfer encoding")

// NewDecoder undoes the part's transfer encoding while reading from r, which
// gives the part's body. Multiparts and messages are not decoded: RFC 2045
// section 6.4 allows them no encoding.
func (p *Part) NewDecoder(r io.Reader) (io.Reader, error) {
	if p.Kind == Multipart {
		return r, nil
	}
	return NewDecoder(p.Encoding, r)
}

// NewDecoder undoes a content transfer encoding (RFC 2045 section 6). It is
// lenient as section 6.8 asks: what does not belong to the encoding is passed
// over.
func NewDecoder(encoding []byte, r io.Reader) (io.Reader, error) {
	switch {
	case identity(encoding):
		return r, nil
	case equalFold(encoding, "base64"):
		return &decoder{r: r, codec: &base64Codec{}}, nil
	case equalFold(encoding, "quoted-printable"):
		return &decoder{r: r, codec: quotedCodec{}}, nil
	}
	return nil, ErrUnknownEncoding
}

// codec appends to dst what src decodes to and returns how much of src it
// used. It may leave the end of src for a call with more bytes, or with eof.
type codec interface {
	decode(dst, src []byte, eof bool) (out []byte, used int, err error)
}

// decoder is a codec over a reader.
type decoder struct {
	r     io.Reader
	codec codec
	in    [4096]byte
	a, b  int // in[a:b] is not decoded yet
	out   []byte
	o     int // out[o:] is not read yet
	err   error
}

func (d *decoder) Read(p []byte) (int, error) {
	for d.o == len(d.out) {
		if d.err != nil && d.a == d.b {
			return 0, d.err
		}
		d.fill()
		if d.err != nil && d.err != io.EOF {
			d.a = d.b // the rest of a group is of no use
		}
		var used int
		var err error
		d.out, used, err = d.codec.decode(d.out[:0], d.in[d.a:d.b], d.err == io.EOF)
		d.o = 0
		d.a += used
		if err != nil {
			d.a, d.err = d.b, err
		}
	}
	n := copy(p, d.out[d.o:])
	d.o += n
	return n, nil
}

// fill moves what is left to the front and reads more. A reader that gives
// nothing for long is broken.
func (d *decoder) fill() {
	d.b = copy(d.in[:], d.in[d.a:d.b])
	d.a = 0
	for tries := 0; d.err == nil && d.b < len(d.in); tries++ {
		if tries == 100 {
			d.err = io.ErrNoProgress
			return
		}
		n, err := d.r.Read(d.in[d.b:])
		d.b += n
		d.err = err
		if n > 0 {
			return
		}
	}
}

var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	return t
}()

type base64Codec struct {
	bits uint32
	n    int // characters in bits
}

func (c *base64Codec) decode(dst, src []byte, eof bool) ([]byte, int, error) {
	bits, n := c.bits, c.n
	for _, ch := range src {
		v := base64Values[ch]
		if v < 64 {
			bits = bits<<6 | uint32(v)
			if n++; n == 4 {
				dst = append(dst, byte(bits>>16), byte(bits>>8), byte(bits))
				n = 0
			}
		} else if ch == '=' {
			// Padding ends a group, and content may go on after it: some
			// mailers join encoded pieces.
			dst = appendGroup(dst, bits, n)
			n = 0
		}
	}
	c.bits, c.n = bits, n
	if eof && n > 0 {
		dst = appendGroup(dst, bits, n)
		c.n = 0
		if n == 1 {
			return dst, len(src), ErrBadEncoding
		}
	}
	return dst, len(src), nil
}

// appendGroup appends the whole bytes of a group of n < 4 characters.
func appendGroup(dst []byte, bits uint32, n int) []byte {
	switch n {
	case 2:
		return append(dst, byte(bits>>4))
	case 3:
		return append(dst, byte(bits>>10), byte(bits>>2))
	}
	return dst
}

type quotedCodec struct{}

func (quotedCodec) decode(dst, src []byte, eof bool) ([]byte, int, error) {
	i := 0
	for i < len(src) {
		// Plain runs go over at once.
		n := 0
		for i+n < len(src) {
			if c := src[i+n]; c == '=' || c == ' ' || c == '\t' {
				break
			}
			n++
		}
		dst = append(dst, src[i:i+n]...)
		if i += n; i == len(src) {
			break
		}
		end := i + 1 // after the "=" or white space at i, and white space behind
		for end < len(src) && (src[end] == ' ' || src[end] == '\t') {
			end++
		}
		// The longest thing to look at is white space before a line end;
		// longer runs than a line may be are passed on.
		short := len(src)-end < 2 && !eof && end-i < 1000
		if src[i] != '=' {
			switch {
			case short && (end == len(src) || src[end] == '\r'):
				return dst, i, nil
			case end == len(src) && eof, end < len(src) && src[end] == '\n',
				end+1 < len(src) && src[end] == '\r' && src[end+1] == '\n':
				// RFC 2045 section 6.7 rule 3: white space at the end of a line
				// was added on the way.
			default:
				dst = append(dst, src[i:end]...)
			}
			i = end
			continue
		}
		if short {
			return dst, i, nil
		}
		switch {
		case end == i+1 && end+1 < len(src) && unhex(src[end]) < 16 && unhex(src[end+1]) < 16:
			dst = append(dst, unhex(src[end])<<4|unhex(src[end+1]))
			i = end + 2
		case end == len(src):
			i = end // a soft line break that lost its line end
		case src[end] == '\n':
			i = end + 1
		case src[end] == '\r' && end+1 < len(src) && src[end+1] == '\n':
			i = end + 2
		default:
			dst = append(dst, '=') // not an encoding: shown as it stands
			i++
		}
	}
	return dst, i, nil
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
