package message

import (
	"bytes"
	"strconv"
)

// joinParams puts parameter values together that were cut into pieces:
// name*0, name*1 and so on become name, or name* when a piece of them is
// percent-encoded (name*0*); what is not encoded in such a one is encoded. RFC
// 2231 section 6 asks this of IMAP servers. Pieces count up to the first that is missing;
// others stay as they are. Parameters are only copied if there are pieces.
func joinParams(params []Param) []Param {
	any := false
	for i := range params {
		_, n, _, ok := params[i].piece()
		any = any || ok && n == 0
	}
	if !any {
		return params
	}
	out := append([]Param(nil), params...)
	used, joined := make([]bool, len(params)), make([]bool, len(params))
	for i := range params {
		if name, n, _, ok := params[i].piece(); ok && n == 0 && !used[i] {
			out[i] = joinFrom(params, used, name)
			joined[i] = true
		}
	}
	n := 0
	for i := range out {
		if !used[i] || joined[i] {
			out[n] = out[i]
			n++
		}
	}
	return out[:n]
}

// joinFrom puts the pieces of one value together and marks them as used.
func joinFrom(params []Param, used []bool, name []byte) Param {
	var pieces []Param
	encoded := false
	for want := 0; want < len(params); want++ {
		found := false
		for i := range params {
			base, n, enc, ok := params[i].piece()
			if ok && n == want && !used[i] && bytes.EqualFold(base, name) {
				used[i], found = true, true
				q := Param{Value: params[i].Value}
				if enc {
					q.Name, encoded = base, true // a name marks it as encoded
				}
				pieces = append(pieces, q)
				break
			}
		}
		if !found {
			break
		}
	}
	joined := Param{Name: name, Value: []byte{}}
	if encoded {
		joined.Name = append(append([]byte(nil), name...), '*')
		if pieces[0].Name == nil {
			// The first one names the charset, if any does (section 4.1).
			joined.Value = append(joined.Value, "''"...)
		}
	}
	for _, q := range pieces {
		if encoded && q.Name == nil {
			joined.Value = appendPercent(joined.Value, q.Value)
			continue
		}
		joined.Value = append(joined.Value, q.Value...)
	}
	return joined
}

// piece reads the name of a piece: its parameter, its number and whether its
// value is percent-encoded.
func (p *Param) piece() (name []byte, n int, encoded, ok bool) {
	name = p.Name
	i := bytes.IndexByte(name, '*')
	if i <= 0 {
		return nil, 0, false, false
	}
	name, rest := name[:i:i], name[i+1:]
	if k := len(rest); k > 0 && rest[k-1] == '*' {
		rest, encoded = rest[:k-1], true
	}
	// No leading zeros (section 3), and no more than there may be parameters.
	if len(rest) == 0 || len(rest) > 2 || len(rest) > 1 && rest[0] == '0' {
		return nil, 0, false, false
	}
	for _, c := range rest {
		if c < '0' || c > '9' {
			return nil, 0, false, false
		}
	}
	n, err := strconv.Atoi(string(rest))
	return name, n, encoded, err == nil
}

// appendPercent encodes what is no attribute-char (RFC 2231 section 7).
func appendPercent(dst, s []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range s {
		if c > ' ' && c < 0x7f && indexByte("*'%()<>@,;:\\\"/[]?=", c) < 0 {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', hex[c>>4], hex[c&15])
	}
	return dst
}
