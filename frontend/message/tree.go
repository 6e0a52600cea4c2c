package message

import "encoding/binary"

// Bits of a node's flags in the part tree (FORMAT.md). They never change
// meaning.
const (
	nodeKind = 3 // Kind, two bits

	nodeMade = 1 << (iota + 1)
	nodeParams
	nodeID
	nodeDescription
	nodeEncoding
	nodeMD5
	nodeDisposition
	nodeLanguage
	nodeLocation
	nodeNoLines // Lines is 0

	nodeAll = 1<<12 - 1
)

// dictionary are the texts that a tree writes as one number. Its order is part
// of the format: texts are only ever added at the end.
var dictionary = [...]string{
	"text", "plain", "html", "charset", "utf-8", "UTF-8", "us-ascii", "iso-8859-1",
	"multipart", "mixed", "alternative", "related", "signed", "report", "boundary", "type",
	"7bit", "8bit", "quoted-printable", "base64", "binary", "7BIT", "8BIT", "BASE64",
	"attachment", "inline", "name", "filename", "format", "flowed", "delsp", "yes",
	"application", "pdf", "octet-stream", "image", "png", "jpeg", "gif", "message",
	"rfc822", "delivery-status", "pgp-signature", "pgp-encrypted", "pkcs7-signature", "encrypted", "protocol", "micalg",
	"calendar", "method", "REQUEST", "zip", "ics", "csv", "xml", "json",
	"en", "en-US", "no", "ISO-8859-1", "windows-1252", "iso-8859-15", "US-ASCII", "size",
	"creation-date", "modification-date", "msword", "video", "audio", "global", "digest", "x-unknown",
	"utf8", "TEXT", "PLAIN", "HTML", "report-type", "rfc822-headers", "pgp-sha256", "sha-256",
}

// dictByLen lists the texts of the dictionary by length.
var dictByLen = func() (t [24][]byte) {
	for i, s := range dictionary {
		t[len(s)] = append(t[len(s)], byte(i))
	}
	return t
}()

// appendText writes a text as 2*length and its bytes, or as 2*i+1 for the
// text i of the dictionary.
func appendText(dst, s []byte) []byte {
	if len(s) < len(dictByLen) {
		for _, i := range dictByLen[len(s)] {
			if string(s) == dictionary[i] {
				return binary.AppendUvarint(dst, uint64(i)<<1|1)
			}
		}
	}
	return append(binary.AppendUvarint(dst, uint64(len(s))<<1), s...)
}

// texts is the dictionary as byte slices, which no one writes to.
var texts = func() (t [len(dictionary)][]byte) {
	for i, s := range dictionary {
		t[i] = []byte(s)
	}
	return t
}()

func (r *reader) text() []byte {
	n := r.uvarint()
	if n&1 == 0 {
		return r.take(n >> 1)
	}
	if n >>= 1; n >= uint64(len(texts)) {
		r.bad, r.b = true, nil
		return nil
	}
	t := texts[n]
	return t[:len(t):len(t)]
}

type treeWriter struct {
	x     *Index
	dst   []byte
	limit int
	full  bool
}

func (w *treeWriter) num(n int)     { w.dst = binary.AppendUvarint(w.dst, uint64(n)) }
func (w *treeWriter) text(s []byte) { w.dst = appendText(w.dst, s) }

func (w *treeWriter) params(l []Param) {
	w.num(len(l))
	for _, p := range l {
		w.text(p.Name)
		w.text(p.Value)
	}
}

// part writes part i, which begins at or after from, and all below it.
func (w *treeWriter) part(i, from int) {
	if len(w.dst) > w.limit {
		w.full = true
		return
	}
	p := &w.x.Parts[i]
	flags := int(p.Kind)
	set := func(on bool, bit int) {
		if on {
			flags |= bit
		}
	}
	set(p.Made, nodeMade)
	set(len(p.Params) > 0, nodeParams)
	set(p.ID != nil, nodeID)
	set(p.Description != nil, nodeDescription)
	set(p.Encoding != nil, nodeEncoding)
	set(p.MD5 != nil, nodeMD5)
	set(p.Disposition != nil, nodeDisposition)
	set(len(p.Language) > 0, nodeLanguage)
	set(p.Location != nil, nodeLocation)
	set(p.Lines == 0, nodeNoLines)
	w.num(flags)
	w.num(p.Header.Off - from)
	w.num(p.Header.Len)
	w.num(p.Body.Len)
	if p.Lines != 0 {
		w.num(p.Lines)
	}
	w.text(p.Type)
	w.text(p.Subtype)
	if flags&nodeParams != 0 {
		w.params(p.Params)
	}
	for _, f := range [...]struct {
		bit  int
		text []byte
	}{{nodeID, p.ID}, {nodeDescription, p.Description}, {nodeEncoding, p.Encoding}, {nodeMD5, p.MD5}} {
		if flags&f.bit != 0 {
			w.text(f.text)
		}
	}
	if flags&nodeDisposition != 0 {
		w.text(p.Disposition)
		w.params(p.DispositionParams)
	}
	if flags&nodeLanguage != 0 {
		w.num(len(p.Language))
		for _, t := range p.Language {
			w.text(t)
		}
	}
	if flags&nodeLocation != 0 {
		w.text(p.Location)
	}
	if p.Kind == Message {
		block := p.envelope
		if w.x.raw != nil {
			var dropped uint64
			var room [512]byte
			block, dropped = appendFields(room[:0], w.x.Parts[p.Child].Header.Of(w.x.raw), lastEnvelope, MaxFields)
			if dropped&envelopeBits != 0 {
				w.full = true // no tree is better than a wrong one
			}
		}
		w.dst = appendBytes(w.dst, block)
	}
	n := 0
	for c := p.Child; c >= 0; c = w.x.Parts[c].Next {
		n++
	}
	if p.Kind == Multipart {
		w.num(n)
	}
	at := p.Body.Off
	for c := p.Child; c >= 0; c = w.x.Parts[c].Next {
		w.part(c, at)
		if w.full {
			return
		}
		at = w.x.Parts[c].Body.End()
	}
}

type treeReader struct {
	reader
	parts []Part
	room  []Param // all parameters, one part's after the other's
	size  int
}

func (r *treeReader) params() []Param {
	n := r.uvarint()
	if n > maxParams || n == 0 {
		r.bad = r.bad || n > maxParams
		return nil
	}
	start := len(r.room)
	for ; n > 0 && !r.bad; n-- {
		r.room = append(r.room, Param{Name: r.text(), Value: r.text()})
	}
	return r.room[start:len(r.room):len(r.room)]
}

func (r *treeReader) part(from, depth int) {
	i := len(r.parts)
	// Each node takes 6 bytes at the least, so the input bounds their number.
	r.parts = append(r.parts, Part{Child: -1, Next: -1})
	flags := r.uvarint()
	if flags > nodeAll || flags&nodeKind > uint64(Message) || depth > MaxDepth {
		r.bad = true
		return
	}
	p := Part{Kind: Kind(flags & nodeKind), Made: flags&nodeMade != 0, Child: -1, Next: -1}
	p.Header.Off = from + r.length()
	p.Header.Len = r.length()
	p.Body.Off = p.Header.End()
	p.Body.Len = r.length()
	if flags&nodeNoLines == 0 {
		p.Lines = r.length()
	}
	if p.Body.End() > r.size {
		r.bad = true
	}
	p.Type = r.text()
	p.Subtype = r.text()
	if flags&nodeParams != 0 {
		p.Params = r.params()
	}
	for _, f := range [...]struct {
		bit  uint64
		text *[]byte
	}{{nodeID, &p.ID}, {nodeDescription, &p.Description}, {nodeEncoding, &p.Encoding}, {nodeMD5, &p.MD5}} {
		if flags&f.bit != 0 {
			*f.text = r.text()
		}
	}
	if flags&nodeDisposition != 0 {
		p.Disposition = r.text()
		p.DispositionParams = r.params()
	}
	if flags&nodeLanguage != 0 {
		n := r.uvarint()
		if n > maxParams {
			r.bad = true
			return
		}
		p.Language = make([][]byte, n)
		for i := range p.Language {
			p.Language[i] = r.text()
		}
	}
	if flags&nodeLocation != 0 {
		p.Location = r.text()
	}
	var children uint64
	switch p.Kind {
	case Message:
		p.envelope = r.bytes()
		children = 1
	case Multipart:
		if children = r.uvarint(); children == 0 {
			r.bad = true
		}
	}
	r.parts[i] = p
	at, last := p.Body.Off, -1
	for range children {
		if r.bad {
			return
		}
		c := len(r.parts)
		if last < 0 {
			r.parts[i].Child = c
		} else {
			r.parts[last].Next = c
		}
		last = c
		r.part(at, depth+1)
		at = r.parts[c].Body.End()
	}
}
