package client

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	maxLine    = 1 << 20
	maxLiteral = 128 << 20
)

// line is one response: an atom is a string, a quoted string or literal a
// []byte, a list a []any.
type line struct {
	tag    string
	values []any
	code   string // of a status response, without brackets
	text   string
}

// readLine reads one response with its literals (RFC 9051 section 9).
func readLine(r *bufio.Reader) (*line, error) {
	p := &parser{r: r}
	tag, err := p.word()
	if err != nil {
		return nil, err
	}
	l := &line{tag: tag}
	if tag == "+" {
		l.text, err = p.rest()
		return l, err
	}
	for {
		end, err := p.eol()
		if err != nil || end {
			return l, err
		}
		if len(l.values) == 1 {
			switch s, ok := l.values[0].(string); {
			case ok && (s == "OK" || s == "NO" || s == "BAD" || s == "BYE" || s == "PREAUTH"):
				t, err := p.rest()
				if err != nil {
					return nil, err
				}
				if c, after, ok := strings.Cut(strings.TrimPrefix(t, "["), "]"); ok && strings.HasPrefix(t, "[") {
					l.code, t = c, strings.TrimSpace(after)
				}
				l.text = t
				return l, nil
			}
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		l.values = append(l.values, v)
	}
}

type parser struct {
	r    *bufio.Reader
	size int
}

func (p *parser) peek() (byte, error) {
	b, err := p.r.Peek(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (p *parser) next() (byte, error) {
	if p.size++; p.size > maxLine {
		return 0, fmt.Errorf("a response of more than %d octets", maxLine)
	}
	return p.r.ReadByte()
}

// eol skips spaces and reports whether the response ends here.
func (p *parser) eol() (bool, error) {
	for {
		c, err := p.peek()
		if err != nil {
			return false, err
		}
		switch c {
		case ' ':
			if _, err := p.next(); err != nil {
				return false, err
			}
		case '\r':
			if _, err := p.next(); err != nil {
				return false, err
			}
			c, err := p.next()
			if err == nil && c != '\n' {
				err = fmt.Errorf("CR without LF")
			}
			return true, err
		default:
			return false, nil
		}
	}
}

func (p *parser) rest() (string, error) {
	s, err := p.r.ReadString('\n')
	if len(s) > maxLine {
		return "", fmt.Errorf("a line of %d octets", len(s))
	}
	return strings.TrimSpace(s), err
}

// word reads up to a space, CR or parenthesis; brackets are taken whole.
func (p *parser) word() (string, error) {
	var b []byte
	depth := 0
	for {
		c, err := p.peek()
		if err != nil {
			return "", err
		}
		switch {
		case c == '\r' || c == '\n' || depth == 0 && (c == ' ' || c == '(' || c == ')'):
			if len(b) == 0 {
				return "", fmt.Errorf("unexpected %q", c)
			}
			return string(b), nil
		case c == '[':
			depth++
		case c == ']':
			depth--
		}
		if c, err = p.next(); err != nil {
			return "", err
		}
		b = append(b, c)
	}
}

func (p *parser) value() (any, error) {
	c, err := p.peek()
	if err != nil {
		return nil, err
	}
	switch c {
	case '(':
		return p.list()
	case '"':
		return p.quoted()
	case '{', '~':
		return p.literal()
	}
	return p.word()
}

func (p *parser) list() (any, error) {
	if _, err := p.next(); err != nil {
		return nil, err
	}
	out := []any{}
	for {
		c, err := p.peek()
		if err != nil {
			return nil, err
		}
		if c == ' ' || c == ')' {
			if _, err := p.next(); err != nil {
				return nil, err
			}
			if c == ')' {
				return out, nil
			}
			continue
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

func (p *parser) quoted() (any, error) {
	if _, err := p.next(); err != nil {
		return nil, err
	}
	b := []byte{}
	for {
		c, err := p.next()
		if err != nil {
			return nil, err
		}
		switch c {
		case '"':
			return b, nil
		case '\\':
			if c, err = p.next(); err != nil {
				return nil, err
			}
		case '\r', '\n':
			return nil, fmt.Errorf("a line ends in a quoted string")
		}
		b = append(b, c)
	}
}

func (p *parser) literal() (any, error) {
	s, err := p.rest()
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimLeft(s, "~{"), "}"), 10, 64)
	if err != nil || n < 0 || n > maxLiteral {
		return nil, fmt.Errorf("a literal of %q", s)
	}
	// Memory follows what comes, not what is announced.
	b, err := io.ReadAll(io.LimitReader(p.r, n))
	if err == nil && int64(len(b)) < n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
