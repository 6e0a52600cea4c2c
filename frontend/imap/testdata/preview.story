# RFC 8970.
message plain
Subject: x

> what he wrote

My answer,
which has two lines.

-- 
A signature
.
message alternative
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/html; charset=utf-8

<p>HTML</p>
--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe "quoted" \ und=
 mehr
--b--
.
message html
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHN0eWxlPnAge308L3N0eWxlPjxwPkhlbGxvICZhbXA7IDxiPndlPC9iPmxjb21lPC9wPg==
.
message attached
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain
Content-Disposition: attachment

Not this
--b
Content-Type: text/plain


--b
Content-Type: text/html

<i>This</i>
--b--
.
message image
Content-Type: image/png
Content-Transfer-Encoding: base64

iVBORw0KGgo=
.
message encrypted
Content-Type: multipart/encrypted; boundary=b

--b
Content-Type: text/plain

Version: 1
--b--
.
message unknown
Content-Type: text/plain
Content-Transfer-Encoding: x-nobody-knows

abc
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{plain}} {{alternative}} {{html}} {{attached}} {{image}} {{encrypted}} {{unknown}}
A< a2 OK [APPENDUID V 1:7] APPEND completed
A> a3 SELECT INBOX
A< * 7 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 8] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a3 OK [READ-WRITE] SELECT completed
A> a4 FETCH 1 PREVIEW
A< * 1 FETCH (PREVIEW "My answer, which has two lines.")
A< a4 OK FETCH completed
A> a5 FETCH 1:* (UID PREVIEW)
A< * 1 FETCH (UID 1 PREVIEW "My answer, which has two lines.")
A< * 2 FETCH (UID 2 PREVIEW {27}
A| Grüße "quoted" \ und mehr)
A< * 3 FETCH (UID 3 PREVIEW "Hello & welcome")
A< * 4 FETCH (UID 4 PREVIEW "This")
A< * 5 FETCH (UID 5 PREVIEW "")
A< * 6 FETCH (UID 6 PREVIEW "")
A< * 7 FETCH (UID 7 PREVIEW "")
A< a5 OK FETCH completed
A> a6 FETCH 1:* (PREVIEW (LAZY) RFC822.SIZE)
A< * 1 FETCH (PREVIEW "My answer, which has two lines." RFC822.SIZE 87)
A< * 2 FETCH (PREVIEW {27}
A| Grüße "quoted" \ und mehr RFC822.SIZE 250)
A< * 3 FETCH (PREVIEW "Hello & welcome" RFC822.SIZE 151)
A< * 4 FETCH (PREVIEW "This" RFC822.SIZE 208)
A< * 5 FETCH (PREVIEW "" RFC822.SIZE 76)
A< * 6 FETCH (PREVIEW "" RFC822.SIZE 101)
A< * 7 FETCH (PREVIEW "" RFC822.SIZE 76)
A< a6 OK FETCH completed
A> a7 UID FETCH 1 PREVIEW (LAZY)
A< * 1 FETCH (UID 1 PREVIEW "My answer, which has two lines.")
A< a7 OK UID FETCH completed
A> a8 FETCH 2 (PREVIEW BODY.PEEK[1.MIME])
A< * 2 FETCH (PREVIEW {27}
A| Grüße "quoted" \ und mehr BODY[1.MIME] {42}
A| Content-Type: text/html; charset=utf-8
A| 
A| )
A< a8 OK FETCH completed
# Nothing was marked as read.
A> a9 FETCH 1:* FLAGS
A< * 1 FETCH (FLAGS ())
A< * 2 FETCH (FLAGS ())
A< * 3 FETCH (FLAGS ())
A< * 4 FETCH (FLAGS ())
A< * 5 FETCH (FLAGS ())
A< * 6 FETCH (FLAGS ())
A< * 7 FETCH (FLAGS ())
A< a9 OK FETCH completed
A> b1 FETCH 1 (PREVIEW (EAGER))
A< b1 BAD Expected a name
A> b3 UID FETCH 9 PREVIEW
A< b3 OK UID FETCH completed
A> b4 ENABLE UTF8=ACCEPT
A< * ENABLED UTF8=ACCEPT
A< b4 OK ENABLE completed
A> b5 FETCH 2 PREVIEW
A< * 2 FETCH (PREVIEW "Grüße \"quoted\" \\ und mehr")
A< b5 OK FETCH completed
A> b6 FETCH 1 PREVIEW (CHANGEDSINCE 1)
A< * OK [HIGHESTMODSEQ 2] Highest
A< * 1 FETCH (PREVIEW "My answer, which has two lines." MODSEQ (2))
A< b6 OK FETCH completed
