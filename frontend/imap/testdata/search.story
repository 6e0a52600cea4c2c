message m1
Date: Mon, 7 Feb 1994 23:52:25 -0800
From: Fred <fred@example.org>
To: joe@example.org
Subject: =?utf-8?b?w4RwZmVs?= and pears
Message-Id: <1@example.org>
X-Odd: strange value

The body has a Needle in it.
.
message m2
Date: Tue, 8 Feb 1994 01:00:00 +0000
From: =?iso-8859-1?q?J=FCrgen?= <j@example.org>
Subject: second
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe aus K=F6ln, sec=
ret
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

bmVlZGxl
--b
Content-Type: message/rfc822

Subject: forwarded thing
From: inner@example.org

hay
--b--
.
message m3
Subject: third, larger than the others are, because of its long subject, which goes on and on, and on, until there is enough of it to be the largest of all the messages that there are in this mailbox, and there are some that have many lines, and parts, and other things in them, which this one has not; it is only long, and long, and long, and long, and there is nothing else to say of it or to be found in it

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX (\Seen $Junk) "17-Jul-1996 02:44:25 -0700" {{m1}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX (\Flagged) "18-Jul-1996 23:44:25 -0700" {{m2}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND INBOX "19-Jul-2020 02:44:25 +0200" {{m3}}
A< a4 OK [APPENDUID V 3] APPEND completed
A> a5 SELECT INBOX
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a5 OK [READ-WRITE] SELECT completed
A> b1 SEARCH ALL
A< * SEARCH 1 2 3
A< b1 OK SEARCH completed
A> b2 SEARCH SEEN
A< * SEARCH 1
A< b2 OK SEARCH completed
A> b3 SEARCH UNSEEN FLAGGED
A< * SEARCH 2
A< b3 OK SEARCH completed
A> b4 SEARCH NOT SEEN NOT FLAGGED
A< * SEARCH 3
A< b4 OK SEARCH completed
A> b5 SEARCH OR SEEN FLAGGED
A< * SEARCH 1 2
A< b5 OK SEARCH completed
A> b6 SEARCH KEYWORD $junk
A< * SEARCH 1
A< b6 OK SEARCH completed
A> b7 SEARCH UNKEYWORD $Junk
A< * SEARCH 2 3
A< b7 OK SEARCH completed
A> b8 SEARCH DELETED
A< * SEARCH
A< b8 OK SEARCH completed
A> c1 SEARCH BEFORE 18-Jul-1996
A< * SEARCH 1
A< c1 OK SEARCH completed
A> c2 SEARCH ON 18-Jul-1996
A< * SEARCH 2
A< c2 OK SEARCH completed
A> c3 SEARCH SINCE 18-Jul-1996
A< * SEARCH 2 3
A< c3 OK SEARCH completed
A> c4 SEARCH SENTON 7-Feb-1994
A< * SEARCH 1
A< c4 OK SEARCH completed
A> c5 SEARCH SENTSINCE 8-Feb-1994
A< * SEARCH 2 3
A< c5 OK SEARCH completed
A> c6 SEARCH SENTBEFORE 9-Feb-1994
A< * SEARCH 1 2
A< c6 OK SEARCH completed
A> c7 SEARCH SAVEDBEFORE 1-Jan-2020
A< * SEARCH
A< c7 OK SEARCH completed
A> c8 SEARCH SAVEDSINCE 1-Jan-2020
A< * SEARCH 1 2 3
A< c8 OK SEARCH completed
A> c9 SEARCH LARGER 450
A< * SEARCH 2
A< c9 OK SEARCH completed
A> d1 SEARCH SMALLER 300
A< * SEARCH 1
A< d1 OK SEARCH completed
A> d2 SEARCH YOUNGER 1000
A< * SEARCH
A< d2 OK SEARCH completed
A> d3 SEARCH OLDER 1000
A< * SEARCH 1 2 3
A< d3 OK SEARCH completed
A> e1 SEARCH FROM fred
A< * SEARCH 1
A< e1 OK SEARCH completed
A> e2 SEARCH FROM jürgen
A< e2 BAD Unexpected text at the end
A> e3 SEARCH CHARSET UTF-8 SUBJECT {6+}\r\näpfel
A< * SEARCH 1
A< e3 OK SEARCH completed
A> e4 SEARCH CHARSET ISO-8859-1 SUBJECT {5+}\r\n\xe4pfel
A< * SEARCH 1
A< e4 OK SEARCH completed
A> e5 SEARCH CHARSET NOSUCH SUBJECT x
A< e5 NO [BADCHARSET (US-ASCII UTF-8)] Charset is not known
A> e6 SEARCH HEADER X-Odd strange
A< * SEARCH 1
A< e6 OK SEARCH completed
A> e7 SEARCH HEADER X-Odd ""
A< * SEARCH 1
A< e7 OK SEARCH completed
A> e8 SEARCH HEADER Message-ID 1@example
A< * SEARCH 1
A< e8 OK SEARCH completed
A> e9 SEARCH TO joe
A< * SEARCH 1
A< e9 OK SEARCH completed
A> f1 SEARCH BODY needle
A< * SEARCH 1
A< f1 OK SEARCH completed
A> f2 SEARCH TEXT needle
A< * SEARCH 1
A< f2 OK SEARCH completed
A> f3 SEARCH BODY "grüße AUS köln, secret"
A< * SEARCH 2
A< f3 OK SEARCH completed
A> f4 SEARCH TEXT strange
A< * SEARCH 1
A< f4 OK SEARCH completed
A> f5 SEARCH BODY strange
A< * SEARCH
A< f5 OK SEARCH completed
A> f6 SEARCH TEXT "forwarded thing"
A< * SEARCH 2
A< f6 OK SEARCH completed
A> f7 SEARCH BODY inner@example.org
A< * SEARCH 2
A< f7 OK SEARCH completed
A> f8 SEARCH OR BODY needle SUBJECT second
A< * SEARCH 1 2
A< f8 OK SEARCH completed
A> f9 SEARCH (OR (SEEN) (FLAGGED SUBJECT third)) NOT BODY nowhere
A< * SEARCH 1
A< f9 OK SEARCH completed
A> g1 SEARCH TEXT ""
A< * SEARCH 1 2 3
A< g1 OK SEARCH completed
A> g2 SEARCH 2:3 UNSEEN
A< * SEARCH 2 3
A< g2 OK SEARCH completed
A> g3 SEARCH 2:99
A< * SEARCH 2 3
A< g3 OK SEARCH completed
A> g4 SEARCH UID 2:*
A< * SEARCH 2 3
A< g4 OK SEARCH completed
A> g5 UID SEARCH UID 1,3
A< * SEARCH 1 3
A< g5 OK UID SEARCH completed
A> g6 SEARCH *
A< * SEARCH 3
A< g6 OK SEARCH completed
A> g7 SEARCH NEW
A< * SEARCH 2 3
A< g7 OK SEARCH completed
A> g8 SEARCH EMAILID M00
A< * SEARCH
A< g8 OK SEARCH completed
A> g9 SEARCH SAVEDATESUPPORTED
A< * SEARCH 1 2 3
A< g9 OK SEARCH completed
# RFC 4731 and RFC 5182.
A> h1 SEARCH RETURN () UNSEEN
A< * ESEARCH (TAG "h1") ALL 2:3
A< h1 OK SEARCH completed
A> h2 SEARCH RETURN (MIN) ALL
A< * ESEARCH (TAG "h2") MIN 1
A< h2 OK SEARCH completed
A> h3 SEARCH RETURN (COUNT) DELETED
A< * ESEARCH (TAG "h3") COUNT 0
A< h3 OK SEARCH completed
A> h4 SEARCH RETURN (MIN MAX ALL COUNT) DELETED
A< * ESEARCH (TAG "h4") COUNT 0
A< h4 OK SEARCH completed
A> h5 UID SEARCH RETURN (MIN MAX ALL COUNT) ALL
A< * ESEARCH (TAG "h5") UID MIN 1 MAX 3 ALL 1:3 COUNT 3
A< h5 OK UID SEARCH completed
A> h6 SEARCH RETURN (SAVE) UNSEEN
A< h6 OK SEARCH completed
A> h7 FETCH $ UID
A< * 2 FETCH (UID 2)
A< * 3 FETCH (UID 3)
A< h7 OK FETCH completed
A> h8 SEARCH $ FLAGGED
A< * SEARCH 2
A< h8 OK SEARCH completed
A> h9 SEARCH RETURN (SAVE MIN) ALL
A< * ESEARCH (TAG "h9") MIN 1
A< h9 OK SEARCH completed
A> i1 UID FETCH $ FLAGS
A< * 1 FETCH (UID 1 FLAGS (\Seen $Junk))
A< i1 OK UID FETCH completed
A> i2 SEARCH RETURN (SAVE) CHARSET NOSUCH SUBJECT x
A< i2 NO [BADCHARSET (US-ASCII UTF-8)] Charset is not known
A> i3 FETCH $ UID
A< i3 OK FETCH completed
A> i4 SEARCH RETURN (SAVE ALL) DELETED
A< * ESEARCH (TAG "i4")
A< i4 OK SEARCH completed
A> i5 FETCH $ UID
A< i5 OK FETCH completed
A> j1 SEARCH NOSUCHKEY
A< j1 BAD Unknown search key
A> j2 SEARCH OR SEEN
A< j2 BAD Expected a space
# IMAP4rev2 answers with ESEARCH always.
A> k1 ENABLE IMAP4rev2
A< * ENABLED IMAP4rev2
A< k1 OK ENABLE completed
A> k2 SEARCH UNSEEN
A< * ESEARCH (TAG "k2") ALL 2:3
A< k2 OK SEARCH completed
A> k3 UID SEARCH DELETED
A< * ESEARCH (TAG "k3") UID
A< k3 OK UID SEARCH completed
