# RFC 9051 section 6.4.5, with a message of every kind of part.
message plain
Return-Path: <a@example.org>
Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)
From: Fred Foobar <foobar@Blurdybloop.example>
Subject: afternoon meeting
To: mooch@owatagu.siam.edu.example
Message-Id: <B27397-0100000@Blurdybloop.example>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

Hello Joe, do you think we can meet at 3:30 tomorrow?
.
message multi
From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>
Subject: parts
Content-Type: multipart/mixed; boundary="b"

preamble
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9
--b
Content-Type: message/rfc822

Subject: inner
From: inner@example.org

inner text
--b
Content-Type: application/octet-stream; name=x.bin
Content-Transfer-Encoding: base64

AAECAwQ=
--b
Content-Type: text/plain
Content-Transfer-Encoding: x-unknown

??
--b--
.
# Crafted: a multipart without parts (go-imap's server panics on it), lines
# that are no fields.
message crafted
>From nobody
no colon here
Subject: crafted
Content-Type: multipart/mixed; boundary=zz

nothing
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX (\Seen) "17-Jul-1996 02:44:25 -0700" {{plain}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX "01-Jan-2020 00:00:00 +0000" {{multi}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND INBOX " 2-Jan-2020 00:00:00 +0530" {{crafted}}
A< a4 OK [APPENDUID V 3] APPEND completed
A> a5 EXAMINE INBOX
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a5 OK [READ-ONLY] EXAMINE completed
A> b1 FETCH 1 ALL
A< * 1 FETCH (FLAGS (\Seen) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 356 ENVELOPE ("Mon, 7 Feb 1994 21:52:25 -0800 (PST)" "afternoon meeting" (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) ((NIL NIL "mooch" "owatagu.siam.edu.example")) NIL NIL NIL "<B27397-0100000@Blurdybloop.example>"))
A< b1 OK FETCH completed
A> b2 FETCH 1 FAST
A< * 1 FETCH (FLAGS (\Seen) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 356)
A< b2 OK FETCH completed
A> b3 FETCH 1 FULL
A< * 1 FETCH (FLAGS (\Seen) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 356 ENVELOPE ("Mon, 7 Feb 1994 21:52:25 -0800 (PST)" "afternoon meeting" (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) ((NIL NIL "mooch" "owatagu.siam.edu.example")) NIL NIL NIL "<B27397-0100000@Blurdybloop.example>") BODY ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7bit" 55 1))
A< b3 OK FETCH completed
A> b4 FETCH 1:* (UID RFC822.SIZE INTERNALDATE MODSEQ EMAILID THREADID SAVEDATE)
A< * OK [HIGHESTMODSEQ 4] Highest
A< * 1 FETCH (UID 1 RFC822.SIZE 356 INTERNALDATE "17-Jul-1996 02:44:25 -0700" MODSEQ (2) EMAILID (M…) THREADID (T…) SAVEDATE "…")
A< * 2 FETCH (UID 2 RFC822.SIZE 502 INTERNALDATE " 1-Jan-2020 00:00:00 +0000" MODSEQ (3) EMAILID (M…) THREADID (T…) SAVEDATE "…")
A< * 3 FETCH (UID 3 RFC822.SIZE 102 INTERNALDATE " 2-Jan-2020 00:00:00 +0530" MODSEQ (4) EMAILID (M…) THREADID (T…) SAVEDATE "…")
A< b4 OK FETCH completed
A> b5 FETCH 1:3 BODYSTRUCTURE
A< * 1 FETCH (BODYSTRUCTURE ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7bit" 55 1 NIL NIL NIL NIL))
A< * 2 FETCH (BODYSTRUCTURE (("text" "plain" ("charset" "utf-8") NIL NIL "quoted-printable" 9 1 NIL NIL NIL NIL)("message" "rfc822" NIL NIL NIL "7bit" 53 (NIL "inner" ((NIL NIL "inner" "example.org")) ((NIL NIL "inner" "example.org")) ((NIL NIL "inner" "example.org")) NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)("application" "octet-stream" ("name" "x.bin") NIL NIL "base64" 8 NIL NIL NIL NIL)("text" "plain" ("charset" "us-ascii") NIL NIL "x-unknown" 2 1 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL))
A< * 3 FETCH (BODYSTRUCTURE (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 9 1 NIL NIL NIL NIL) "mixed" ("boundary" "zz") NIL NIL NIL))
A< b5 OK FETCH completed
A> b6 FETCH 3 (ENVELOPE BODY BODY[] BODY[1] BODY[HEADER] BODY[TEXT] BODY[2])
A< * 3 FETCH (ENVELOPE (NIL "crafted" NIL NIL NIL NIL NIL NIL NIL NIL) BODY (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 9 1) "mixed") BODY[] {102}
A| >From nobody
A| no colon here
A| Subject: crafted
A| Content-Type: multipart/mixed; boundary=zz
A| 
A| nothing
A|  BODY[1] {9}
A| nothing
A|  BODY[HEADER] {93}
A| >From nobody
A| no colon here
A| Subject: crafted
A| Content-Type: multipart/mixed; boundary=zz
A| 
A|  BODY[TEXT] {9}
A| nothing
A|  BODY[2] NIL)
A< b6 OK FETCH completed
A> c1 FETCH 1 (BODY[HEADER.FIELDS (DATE FROM)] BODY[HEADER.FIELDS.NOT (Date From To Message-Id)]<0.20> BODY[TEXT]<6.3> BODY[]<99999.5> BODY[]<1.9223372036854775807>)
A< * 1 FETCH (BODY[HEADER.FIELDS (DATE FROM)] {94}
A| Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)
A| From: Fred Foobar <foobar@Blurdybloop.example>
A| 
A|  BODY[HEADER.FIELDS.NOT (Date From To Message-Id)]<0> {20}
A| Return-Path: <a@exam BODY[TEXT]<6> {3}
A| Joe BODY[]<99999> {0}
A|  BODY[]<1> {355}
A| eturn-Path: <a@example.org>
A| Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)
A| From: Fred Foobar <foobar@Blurdybloop.example>
A| Subject: afternoon meeting
A| To: mooch@owatagu.siam.edu.example
A| Message-Id: <B27397-0100000@Blurdybloop.example>
A| MIME-Version: 1.0
A| Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
A| 
A| Hello Joe, do you think we can meet at 3:30 tomorrow?
A| )
A< c1 OK FETCH completed
A> c2 FETCH 2 (BODY[1] BODY[1.MIME] BODY[2] BODY[2.HEADER] BODY[2.TEXT] BODY[2.1] BODY[2.HEADER.FIELDS (subject)] BODY[3] BODY[9] BODY[1.HEADER])
A< * 2 FETCH (BODY[1] {9}
A| caf=C3=A9 BODY[1.MIME] {88}
A| Content-Type: text/plain; charset=utf-8
A| Content-Transfer-Encoding: quoted-printable
A| 
A|  BODY[2] {53}
A| Subject: inner
A| From: inner@example.org
A| 
A| inner text BODY[2.HEADER] {43}
A| Subject: inner
A| From: inner@example.org
A| 
A|  BODY[2.TEXT] {10}
A| inner text BODY[2.1] {10}
A| inner text BODY[2.HEADER.FIELDS (subject)] {18}
A| Subject: inner
A| 
A|  BODY[3] {8}
A| AAECAwQ= BODY[9] NIL BODY[1.HEADER] NIL)
A< c2 OK FETCH completed
A> c3 FETCH 2 (BINARY[1] BINARY[2] BINARY[3] BINARY.SIZE[1] BINARY.SIZE[3] BINARY[3]<1.2> BINARY[9])
A< * 2 FETCH (BINARY[1] {5}
A| café BINARY[2] {53}
A| Subject: inner
A| From: inner@example.org
A| 
A| inner text BINARY[3] ~{5}
A| \x00\x01\x02\x03\x04 BINARY.SIZE[1] 5 BINARY.SIZE[3] 5 BINARY[3]<1> ~{2}
A| \x01\x02 BINARY[9] NIL)
A< c3 OK FETCH completed
A> c4 FETCH 2 BINARY[4]
A< c4 NO [UNKNOWN-CTE] Content transfer encoding is not known
A> c5 FETCH 1:2 (UID BINARY.SIZE[4])
A< * 1 FETCH (UID 1 BINARY.SIZE[4] 0)
A< c5 NO [UNKNOWN-CTE] Content transfer encoding is not known
A> c6 FETCH 1 (RFC822.HEADER RFC822.TEXT)
A< * 1 FETCH (RFC822.HEADER {301}
A| Return-Path: <a@example.org>
A| Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)
A| From: Fred Foobar <foobar@Blurdybloop.example>
A| Subject: afternoon meeting
A| To: mooch@owatagu.siam.edu.example
A| Message-Id: <B27397-0100000@Blurdybloop.example>
A| MIME-Version: 1.0
A| Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
A| 
A|  RFC822.TEXT {55}
A| Hello Joe, do you think we can meet at 3:30 tomorrow?
A| )
A< c6 OK FETCH completed
A> c7 FETCH 1 RFC822
A< * 1 FETCH (RFC822 {356}
A| Return-Path: <a@example.org>
A| Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)
A| From: Fred Foobar <foobar@Blurdybloop.example>
A| Subject: afternoon meeting
A| To: mooch@owatagu.siam.edu.example
A| Message-Id: <B27397-0100000@Blurdybloop.example>
A| MIME-Version: 1.0
A| Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
A| 
A| Hello Joe, do you think we can meet at 3:30 tomorrow?
A| )
A< c7 OK FETCH completed
A> c8 FETCH 1 BODY[HEADER.FIELDS (X-None "Subject")]
A< * 1 FETCH (BODY[HEADER.FIELDS (X-None Subject)] {30}
A| Subject: afternoon meeting
A| 
A| )
A< c8 OK FETCH completed
# Numbers that are not there.
A> d1 FETCH 4 FLAGS
A< d1 BAD No message has that sequence number
A> d2 FETCH 2:9 FLAGS
A< d2 BAD No message has that sequence number
A> d3 UID FETCH 9:12 FLAGS
A< d3 OK UID FETCH completed
A> d4 UID FETCH * (FLAGS)
A< * 3 FETCH (UID 3 FLAGS ())
A< d4 OK UID FETCH completed
A> d5 UID FETCH 4:* (FLAGS)
A< * 3 FETCH (UID 3 FLAGS ())
A< d5 OK UID FETCH completed
# Reading marks as \Seen, but not in EXAMINE and not by PEEK.
A> e1 FETCH 2 FLAGS
A< * 2 FETCH (FLAGS ())
A< e1 OK FETCH completed
A> e2 SELECT INBOX
A< * OK [CLOSED] Mailbox closed
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< e2 OK [READ-WRITE] SELECT completed
A> e3 FETCH 2 BODY.PEEK[]<0.5>
A< * 2 FETCH (BODY[]<0> {5}
A| From:)
A< e3 OK FETCH completed
A> e4 FETCH 2 FLAGS
A< * 2 FETCH (FLAGS ())
A< e4 OK FETCH completed
A> e5 FETCH 2:3 BODY[TEXT]<0.5>
A< * 2 FETCH (BODY[TEXT]<0> {5}
A| pream)
A< * 3 FETCH (BODY[TEXT]<0> {5}
A| nothi)
A< * 2 FETCH (UID 2 FLAGS (\Seen) MODSEQ (5))
A< * 3 FETCH (UID 3 FLAGS (\Seen) MODSEQ (5))
A< e5 OK FETCH completed
A> e6 UID FETCH 1:3 FLAGS
A< * 1 FETCH (UID 1 FLAGS (\Seen))
A< * 2 FETCH (UID 2 FLAGS (\Seen))
A< * 3 FETCH (UID 3 FLAGS (\Seen))
A< e6 OK UID FETCH completed
A> e7 FETCH 1 RFC822.HEADER
A< * 1 FETCH (RFC822.HEADER {301}
A| Return-Path: <a@example.org>
A| Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)
A| From: Fred Foobar <foobar@Blurdybloop.example>
A| Subject: afternoon meeting
A| To: mooch@owatagu.siam.edu.example
A| Message-Id: <B27397-0100000@Blurdybloop.example>
A| MIME-Version: 1.0
A| Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
A| 
A| )
A< e7 OK FETCH completed
