package corpus

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// epoch is when message 0 was sent; every index is about a minute and a half
// later, so that dates order a mailbox as they do in life.
var epoch = time.Date(2026, 1, 5, 7, 0, 0, 0, time.UTC)

func sentAt(seed uint64, i int) time.Time {
	jitter := mix(seed^mix(uint64(i)+7)) % 90
	zone := time.FixedZone("", int(1+mix(uint64(i))%2)*3600)
	return epoch.Add(time.Duration(i)*90*time.Second + time.Duration(jitter)*time.Second).In(zone)
}

const dateLayout = "Mon, 02 Jan 2006 15:04:05 -0700"

// asciiHosts are the domains of a language that a URL or a Received header can
// carry.
func (v *vocab) asciiHosts() []string {
	n := 0
	for n < len(v.hosts) && isASCII(v.hosts[n]) {
		n++
	}
	return v.hosts[:n]
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// person is an author or a recipient.
type person struct{ name, address string }

func (v *vocab) person(r *rng) person {
	first, last := pick(r, v.firsts), pick(r, v.lasts)
	return person{first + " " + last, ascii(first) + "." + ascii(last) + "@" + pick(r, v.asciiHosts())}
}

// foldings are how names are spelled in addresses.
var foldings = strings.NewReplacer("å", "a", "ä", "a", "ö", "o", "ø", "o", "æ", "ae", "é", "e", "ü", "u",
	"á", "a", "í", "i", "ó", "o", "ú", "u", "ý", "y", "ð", "d", "þ", "th", "è", "e", "ë", "e", "ç", "c", "ô", "o", "ï", "i")

func ascii(s string) string {
	s = foldings.Replace(strings.ToLower(s))
	var b strings.Builder
	for _, c := range s {
		switch {
		case c < utf8.RuneSelf:
			b.WriteRune(c)
		default: // another alphabet: a letter for a letter
			b.WriteByte("aeioklmnprstv"[c%13])
		}
	}
	return b.String()
}

// encodedWords writes text for a header, RFC 2047, in words of at most 75
// octets on lines of their own.
func encodedWords(s string, f form) string {
	if isASCII(s) {
		return s
	}
	charset := "=?UTF-8?Q?"
	if f == latin1QP {
		charset = "=?ISO-8859-1?Q?"
	}
	var b, word strings.Builder
	for _, c := range s {
		var enc string
		switch {
		case c == ' ':
			enc = "_"
		case c == '?' || c == '_' || c == '=' || c == ',' || c == '.' || c == '"' || c == '(' || c == ')' || c == '<' || c == '>' || c == '@':
			enc = fmt.Sprintf("=%02X", c)
		case c < utf8.RuneSelf:
			enc = string(c)
		case f == latin1QP:
			enc = string(encode(string(c), latin1QP))
		default:
			enc = string(encode(string(c), utf8QP))
		}
		if len(charset)+word.Len()+len(enc)+2 > 75 {
			b.WriteString(charset + word.String() + "?=\r\n ")
			word.Reset()
		}
		word.WriteString(enc)
	}
	b.WriteString(charset + word.String() + "?=")
	return b.String()
}

func (p person) header(f form) string {
	if isASCII(p.name) {
		return p.name + " <" + p.address + ">"
	}
	return encodedWords(p.name, f) + " <" + p.address + ">"
}

// envelope is what the headers of a message say.
type envelope struct {
	id, inReplyTo string
	references    []string
	date          time.Time
	from          person
	to, cc        []person
	subject       string
	list          string // the list's address; empty: none
	bulk          bool
}

// head appends the headers down to MIME-Version, as a message has them after
// its way through some servers.
func (e *envelope) head(b []byte, r *rng, v *vocab, f form) []byte {
	line := func(format string, a ...any) { b = fmt.Appendf(b, format+"\r\n", a...) }
	_, fromHost, _ := strings.Cut(e.from.address, "@")
	hosts := []string{"mx1.altmail.example", "relay." + pick(r, v.asciiHosts()), "out-" + hexToken(r, 3) + "." + fromHost, "client." + fromHost}
	hops := r.between(2, 4)
	for i := range hops {
		at := e.date.Add(time.Duration(hops-i) * time.Second * time.Duration(1+r.n(3))).UTC()
		line("Received: from %s (%s [%s])\r\n\tby %s with ESMTPS id %s\r\n\t(version=TLS1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256)\r\n\tfor <%s>; %s",
			hosts[(i+1)%len(hosts)], hosts[(i+1)%len(hosts)], ip(r), hosts[i%len(hosts)], token(r, 16),
			e.to[0].address, at.Format(dateLayout))
	}
	line("Authentication-Results: mx1.altmail.example;\r\n\tdkim=pass header.d=%s header.s=s%d header.b=%s;\r\n\tspf=pass smtp.mailfrom=%s; dmarc=pass header.from=%s",
		fromHost, 2020+r.n(7), token(r, 8), e.from.address, fromHost)
	b = dkim(b, r, fromHost, e.date)
	if r.n(3) == 0 {
		b = dkim(b, r, "sender."+pick(r, v.asciiHosts()), e.date)
	}
	line("Date: %s", e.date.Format(dateLayout))
	line("From: %s", e.from.header(f))
	line("To: %s", people(e.to, f))
	if len(e.cc) > 0 {
		line("Cc: %s", people(e.cc, f))
	}
	line("Subject: %s", encodedWords(e.subject, f))
	line("Message-ID: %s", e.id)
	if e.inReplyTo != "" {
		line("In-Reply-To: %s", e.inReplyTo)
		line("References: %s", strings.Join(e.references, "\r\n\t"))
	}
	if e.list != "" {
		name, host, _ := strings.Cut(e.list, "@")
		line("List-Id: <%s.%s>", name, host)
		line("List-Post: <mailto:%s>", e.list)
		line("List-Unsubscribe: <mailto:%s-leave@%s>", name, host)
		line("Precedence: list")
		line("Sender: %s-bounces@%s", name, host)
	}
	if e.bulk {
		u := token(r, 40)
		line("List-Unsubscribe: <https://%s/u/%s>", fromHost, u)
		line("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
		line("Feedback-ID: %s:%s", hexToken(r, 8), fromHost)
	}
	if r.n(2) == 0 {
		line("X-Spam-Status: No, score=-%d.%d", r.n(4), r.n(10))
	}
	if r.n(2) == 0 {
		line("User-Agent: Mozilla Thunderbird")
	}
	line("MIME-Version: 1.0")
	return b
}

func people(list []person, f form) string {
	all := make([]string, len(list))
	for i, p := range list {
		all[i] = p.header(f)
	}
	return strings.Join(all, ",\r\n\t")
}

// ip is an address set apart for documentation, RFC 5737 and RFC 3849.
func ip(r *rng) string {
	switch r.n(4) {
	case 0:
		return fmt.Sprintf("192.0.2.%d", r.n(256))
	case 1:
		return fmt.Sprintf("198.51.100.%d", r.n(256))
	case 2:
		return fmt.Sprintf("203.0.113.%d", r.n(256))
	}
	return fmt.Sprintf("IPv6:2001:db8:%x::%x", r.n(1<<16), r.n(1<<16))
}

// dkim appends a signature of the size that 2048-bit RSA keys make.
func dkim(b []byte, r *rng, domain string, at time.Time) []byte {
	b = fmt.Appendf(b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=s%d;\r\n\tt=%d; h=from:to:subject:date:message-id:mime-version;\r\n\tbh=%s;\r\n\tb=",
		domain, 2020+r.n(7), at.Unix(), sum64(r, 32))
	sig := sum64(r, 256)
	for len(sig) > 70 {
		b = append(append(b, sig[:70]...), "\r\n\t "...)
		sig = sig[70:]
	}
	return append(append(b, sig...), "\r\n"...)
}

// sum64 is n random octets in base64, as a digest or a signature is written.
func sum64(r *rng, n int) string {
	raw := make([]byte, 0, 264)
	for len(raw) < n {
		x := r.next()
		for s := 0; s < 64; s += 8 {
			raw = append(raw, byte(x>>s))
		}
	}
	return base64.StdEncoding.EncodeToString(raw[:n])
}
