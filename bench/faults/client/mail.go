package client

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
)

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789+"

// Octets makes a message of about size octets whose every octet follows from
// its name and size, both told in its header.
func Octets(name string, size int) []byte {
	b := make([]byte, 0, size+200)
	b = fmt.Appendf(b, "From: writer@example.org\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\nX-Size: %d\r\n\r\n", name, name, size)
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	r := rand.New(rand.NewPCG(h.Sum64(), uint64(size)))
	for len(b) < size {
		for range 7 {
			v := r.Uint64()
			for range 10 {
				b = append(b, letters[v&63])
				v >>= 6
			}
		}
		b = append(b, '\r', '\n')
	}
	return b
}

// Judge tells the name of a message made by Octets and how its octets differ
// from it. Trace lines that a delivery puts in front are let be, where the
// message was delivered.
func Judge(raw []byte, delivered bool) (name, bad string) {
	name = Header(raw, "Subject")
	size, err := strconv.Atoi(Header(raw, "X-Size"))
	if err != nil || size < 0 || size > 100<<20 {
		return name, "its size can not be read"
	}
	want := Octets(name, size)
	if !bytes.HasSuffix(raw, want) {
		return name, fmt.Sprintf("%d octets that are not the %d stored", len(raw), len(want))
	}
	if front := raw[:len(raw)-len(want)]; len(front) > 0 && (!delivered || !bytes.HasSuffix(front, []byte("\r\n"))) {
		return name, fmt.Sprintf("%d octets in front", len(front))
	}
	return name, ""
}

// Header returns a header field of a message, without folding.
func Header(raw []byte, field string) string {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if v, ok := strings.CutPrefix(line, field+": "); ok {
			return v
		}
	}
	return ""
}
