package corpus

import "strings"

// Snippets of markup, in tokens short enough for a quoted-printable line.
// Tokens are divided by blanks that stay.
const (
	htmlOpen = `<!DOCTYPE html> <html> <head> <meta http-equiv="Content-Type" content="text/html"> ` +
		`<style type="text/css"> body { margin: 0; padding: 0; font-family: Arial, sans-serif; font-size: 14px; } ` +
		`table { border-collapse: collapse; } .btn { background: #1a6fb0; color: #ffffff; padding: 10px 18px; } ` +
		`@media only screen and (max-width: 600px) { .col { width: 100% !important; display: block; } } ` +
		`</style> </head> <body bgcolor="#f2f4f5"> <table width="100%" cellpadding="0" cellspacing="0" role="presentation">`
	htmlRow = `<tr> <td class="col" align="left" valign="top" style="padding: 12px 24px; font-size: 14px; line-height: 21px;` +
		` color: #333333; border-bottom: 1px solid #dddddd;">`
	htmlRowEnd = `</td> </tr>`
	htmlPara   = `<p style="margin: 0 0 14px 0; font-family: Arial, sans-serif; color: #222222;">`
	htmlSpan   = `<span style="font-size: 12.0pt; font-family: Calibri, sans-serif; mso-fareast-language: EN-US">`
	htmlLink   = `<a class="btn" target="_blank" style="color: #1a6fb0; text-decoration: none;" href="https://`
	htmlImage  = `<img border="0" alt="" style="display: block; max-width: 100%; height: auto;" width="`
	htmlClose  = `</table> </body> </html>`
)

// snippet is markup as tokens in plain and in quoted-printable.
type snippet [2][]string

func cut(s string) snippet {
	plain := strings.Fields(s)
	qp := make([]string, len(plain))
	for i, t := range plain {
		qp[i] = string(encode(t, utf8QP))
	}
	return snippet{plain, qp}
}

var (
	snipOpen, snipRow, snipRowEnd = cut(htmlOpen), cut(htmlRow), cut(htmlRowEnd)
	snipPara, snipSpan            = cut(htmlPara), cut(htmlSpan)
	snipLink, snipImage           = cut(htmlLink), cut(htmlImage)
	snipClose                     = cut(htmlClose)
)

// tag writes a snippet; in plain text lines break between its tokens too.
func (p *pen) tag(s snippet) {
	tokens := s[0]
	if p.form != utf8Plain {
		tokens = s[1]
	}
	for i, t := range tokens {
		if i > 0 {
			p.space()
		}
		p.raw(t)
	}
}

func (p *pen) space() {
	if p.form == utf8Plain && p.col > 100 {
		p.newline()
		return
	}
	p.fit(2) // never the last octet of a line, RFC 2045 section 6.7 rule 3
	p.b = append(p.b, ' ')
	p.col++
}

// html writes a page of about size octets: rows of text, links that carry long
// identifiers, pictures elsewhere.
func (p *pen) html(size int) {
	p.tag(snipOpen)
	p.newline()
	for len(p.b)+700 < size {
		p.tag(snipRow)
		for range p.r.between(1, 3) {
			p.tag(snipPara)
			if p.r.n(2) == 0 {
				p.tag(snipSpan)
				p.sentence()
				p.raw("</span>")
			}
			p.sentence()
			p.raw("</p>")
			p.newline()
		}
		switch p.r.n(4) {
		case 0, 1:
			p.tag(snipLink)
			p.raw(pick(&p.r, p.v.asciiHosts()))
			p.raw("/c/")
			for range p.r.between(1, 2) {
				p.raw(p.token(32))
			}
			p.raw(`">`)
			p.put(p.v.caps[p.form].get(p.topic[0]))
			p.raw("</a>")
		case 2:
			p.tag(snipImage)
			p.raw(`600" src`)
			if p.form == utf8Plain {
				p.raw("=")
			} else {
				p.raw("=3D")
			}
			p.raw(`"https://`)
			p.raw(pick(&p.r, p.v.asciiHosts()))
			p.raw("/i/" + p.token(28) + `.png">`)
		}
		p.tag(snipRowEnd)
		p.newline()
	}
	p.tag(snipClose)
	p.newline()
}
