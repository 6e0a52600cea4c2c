# RFC 5256, RFC 5957, RFC 5267 section 3, RFC 9394.
message m1
Date: Mon, 7 Feb 1994 23:52:25 -0800
From: Zoe <adam@example.org>
To: joe@example.org
Subject: Re: pears
Message-Id: <1@example.org>

x
.
message m2
Date: Mon, 7 Feb 1994 22:00:00 +0000
From: =?iso-8859-1?q?=C4lg?= <yves@example.org>
To: Friends: b@example.org, c@example.org;
Cc: anna@example.org
Subject: =?utf-8?q?=C3=A4pfel?=
Message-Id: <2@example.org>

longer than the others are
.
message m3
From: bob@example.org
To: "Aa, B" <z@example.org>
Subject: [list] PEARS (fwd)
References: <1@example.org>
Message-Id: <3@example.org>

xx
.
message m4
Date: Mon, 7 Feb 1994 23:52:25 -0800
Subject: APFEL
In-Reply-To: <3@example.org> and <9@example.org>

xxx
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX "20-Jul-1996 02:44:25 +0000" {{m1}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX (\Flagged) "19-Jul-1996 02:44:25 +0000" {{m2}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND INBOX "18-Jul-1996 02:44:25 +0000" {{m3}}
A< a4 OK [APPENDUID V 3] APPEND completed
A> a5 APPEND INBOX "17-Jul-1996 02:44:25 +0000" {{m4}}
A< a5 OK [APPENDUID V 4] APPEND completed
A> a6 SORT (DATE) UTF-8 ALL
A< a6 BAD No mailbox is selected
A> a7 SELECT INBOX
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 5] Predicted next UID
A< * OK [HIGHESTMODSEQ 5] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a7 OK [READ-WRITE] SELECT completed
A> b1 SORT (ARRIVAL) UTF-8 ALL
A< * SORT 4 3 2 1
A< b1 OK SORT completed
A> b2 SORT (REVERSE ARRIVAL) UTF-8 ALL
A< * SORT 1 2 3 4
A< b2 OK SORT completed
# Message 3 has no date: its internal date counts. 1 and 4 are equal, and stay in order.
A> b3 SORT (DATE) US-ASCII ALL
A< * SORT 2 1 4 3
A< b3 OK SORT completed
A> b4 SORT (REVERSE DATE) US-ASCII ALL
A< * SORT 3 1 4 2
A< b4 OK SORT completed
A> b5 SORT (SUBJECT) UTF-8 ALL
A< * SORT 4 2 1 3
A< b5 OK SORT completed
A> b6 SORT (SUBJECT REVERSE ARRIVAL) UTF-8 ALL
A< * SORT 4 2 1 3
A< b6 OK SORT completed
A> b7 SORT (FROM) UTF-8 ALL
A< * SORT 4 1 3 2
A< b7 OK SORT completed
A> b8 SORT (TO) UTF-8 ALL
A< * SORT 4 2 1 3
A< b8 OK SORT completed
A> b9 SORT (CC) UTF-8 ALL
A< * SORT 1 3 4 2
A< b9 OK SORT completed
A> c1 SORT (SIZE) UTF-8 ALL
A< * SORT 4 1 3 2
A< c1 OK SORT completed
A> c2 SORT (DISPLAYFROM) UTF-8 ALL
A< * SORT 4 2 3 1
A< c2 OK SORT completed
A> c3 SORT (DISPLAYTO) UTF-8 ALL
A< * SORT 4 3 2 1
A< c3 OK SORT completed
A> c4 UID SORT (REVERSE SIZE) UTF-8 NOT FLAGGED
A< * SORT 3 1 4
A< c4 OK UID SORT completed
A> c5 SORT (DATE) UTF-8 DELETED
A< * SORT
A< c5 OK SORT completed
A> c6 SORT (DATE) ISO-8859-1 SUBJECT {5+}\r\n\xe4pfel
A< * SORT 2
A< c6 OK SORT completed
A> c7 SORT (DATE) NOSUCH SUBJECT x
A< c7 NO [BADCHARSET (US-ASCII UTF-8)] Charset is not known
A> c8 SORT (DATE) ALL
A< c8 BAD Expected a space
A> c9 SORT () UTF-8 ALL
A< c9 BAD Expected a sort key
A> d1 SORT (RELEVANCY) UTF-8 ALL
A< d1 BAD RELEVANCY is of FUZZY searches
A> d2 SORT (SIZE) UTF-8 MODSEQ 3
A< * OK [HIGHESTMODSEQ 5] Highest
A< * SORT 4 3 2 (MODSEQ 5)
A< d2 OK SORT completed
# ESORT: MIN and MAX are the first and the last in order.
A> e1 SORT RETURN (MIN MAX COUNT ALL) (ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "e1") MIN 4 MAX 1 ALL 4,3,2,1 COUNT 4
A< e1 OK SORT completed
A> e2 UID SORT RETURN () (REVERSE ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "e2") UID ALL 1:4
A< e2 OK UID SORT completed
A> e3 SORT RETURN (PARTIAL 1:2) (ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "e3") PARTIAL (1:2 4,3)
A< e3 OK SORT completed
A> e4 SORT RETURN (PARTIAL -1:-2 COUNT) (ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "e4") PARTIAL (-1:-2 2,1) COUNT 4
A< e4 OK SORT completed
A> e5 SORT RETURN (PARTIAL 9:8) (ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "e5") PARTIAL (9:8 NIL)
A< e5 OK SORT completed
A> e6 SORT RETURN (MIN ALL) (ARRIVAL) UTF-8 DELETED
A< * ESEARCH (TAG "e6")
A< e6 OK SORT completed
A> e7 SORT RETURN (PARTIAL 1:2 ALL) (ARRIVAL) UTF-8 ALL
A< e7 BAD One ALL or one PARTIAL
A> e8 SORT RETURN (SAVE) (ARRIVAL) UTF-8 ALL
A< e8 OK SORT completed
A> e9 SEARCH $
A< * SEARCH 1 2 3 4
A< e9 OK SEARCH completed
A> f1 SORT RETURN (SAVE PARTIAL 1:2) (ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "f1") PARTIAL (1:2 4,3)
A< f1 OK SORT completed
A> f2 SEARCH $
A< * SEARCH 3 4
A< f2 OK SEARCH completed
A> f3 SORT RETURN (SAVE PARTIAL 1:2 MAX) (ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "f3") MAX 1 PARTIAL (1:2 4,3)
A< f3 OK SORT completed
A> f4 SEARCH $
A< * SEARCH 1 3 4
A< f4 OK SEARCH completed
A> f5 SORT RETURN (SAVE PARTIAL 1:2 COUNT) (ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "f5") PARTIAL (1:2 4,3) COUNT 4
A< f5 OK SORT completed
A> f6 SEARCH $
A< * SEARCH 1 2 3 4
A< f6 OK SEARCH completed
A> f7 SORT RETURN (SAVE) (ARRIVAL) NOSUCH SUBJECT x
A< f7 NO [BADCHARSET (US-ASCII UTF-8)] Charset is not known
A> f8 SEARCH $
A< * SEARCH
A< f8 OK SEARCH completed
A> f9 SORT RETURN (MIN PARTIAL 2:2) (ARRIVAL) UTF-8 MODSEQ 1
A< * ESEARCH (TAG "f9") MIN 4 PARTIAL (2:2 3) MODSEQ 5
A< f9 OK SORT completed
# PARTIAL of SEARCH and UID FETCH.
A> g1 SEARCH RETURN (PARTIAL 2:3) ALL
A< * ESEARCH (TAG "g1") PARTIAL (2:3 2:3)
A< g1 OK SEARCH completed
A> g2 UID SEARCH RETURN (PARTIAL -1:-2 MIN) ALL
A< * ESEARCH (TAG "g2") UID MIN 1 PARTIAL (-1:-2 3:4)
A< g2 OK UID SEARCH completed
A> g3 SEARCH RETURN (PARTIAL 5:6) ALL
A< * ESEARCH (TAG "g3") PARTIAL (5:6 NIL)
A< g3 OK SEARCH completed
A> g4 SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL
A< g4 BAD One ALL or one PARTIAL
A> g5 SEARCH RETURN (PARTIAL 0:2) ALL
A< g5 BAD Number must not be zero
A> g6 UID FETCH 1:* (UID) (PARTIAL -1:-2)
A< * 3 FETCH (UID 3)
A< * 4 FETCH (UID 4)
A< g6 OK UID FETCH completed
A> g7 UID FETCH 2:* (FLAGS) (PARTIAL 1:1)
A< * 2 FETCH (UID 2 FLAGS (\Flagged))
A< g7 OK UID FETCH completed
A> g8 UID FETCH 1:* (FLAGS) (PARTIAL 5:9)
A< g8 OK UID FETCH completed
A> g9 FETCH 1:* (FLAGS) (PARTIAL 1:1)
A< g9 BAD PARTIAL is for UID FETCH
A> h1 UID FETCH 1:* (UID) (PARTIAL 1:3 CHANGEDSINCE 3)
A< * 3 FETCH (UID 3 MODSEQ (4))
A< h1 OK UID FETCH completed
# THREAD
A> i1 THREAD REFERENCES UTF-8 ALL
A< * THREAD (2)(1 3 4)
A< i1 OK THREAD completed
A> i2 THREAD ORDEREDSUBJECT UTF-8 ALL
A< * THREAD (2)(1 3)(4)
A< i2 OK THREAD completed
A> i3 THREAD REFS UTF-8 ALL
A< * THREAD (2)(1 3 4)
A< i3 OK THREAD completed
A> i4 UID THREAD REFERENCES US-ASCII NOT 1
A< * THREAD (2)(3 4)
A< i4 OK UID THREAD completed
A> i5 THREAD REFERENCES UTF-8 DELETED
A< * THREAD
A< i5 OK THREAD completed
A> i6 THREAD NOSUCH UTF-8 ALL
A< i6 BAD No such algorithm
A> i7 THREAD REFERENCES NOSUCH SUBJECT x
A< i7 NO [BADCHARSET (US-ASCII UTF-8)] Charset is not known
A> i8 THREAD REFERENCES ALL
A< i8 BAD Expected a space
# i;unicode-casemap: letters are what they are composed of.
A> j1 SEARCH SUBJECT apfel
A< * SEARCH 4
A< j1 OK SEARCH completed
A> j2 SEARCH CHARSET UTF-8 SUBJECT {6+}\r\nÄPFEL
A< * SEARCH 2
A< j2 OK SEARCH completed
A> j3 SEARCH FROM alg
A< * SEARCH
A< j3 OK SEARCH completed
# A message that goes meanwhile is not told before it may be.
B> a1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< a1 OK [CAPABILITY …] Logged in
B> a2 SELECT INBOX
B< * 4 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 5] Predicted next UID
B< * OK [HIGHESTMODSEQ 5] Highest
B< * OK [MAILBOXID (F1)] Object id
B< a2 OK [READ-WRITE] SELECT completed
B> a3 STORE 2 +FLAGS.SILENT \Deleted
B< a3 OK STORE completed
B> a4 EXPUNGE
B< * 2 EXPUNGE
B< a4 OK EXPUNGE completed
A> k1 SORT (ARRIVAL) UTF-8 ALL
A< * SORT 4 3 1
A< k1 OK SORT completed
A> k2 THREAD REFERENCES UTF-8 ALL
A< * THREAD (1 3 4)
A< k2 OK THREAD completed
A> k3 UID SORT (ARRIVAL) UTF-8 ALL
A< * SORT 4 3 1
A< * 2 EXPUNGE
A< k3 OK UID SORT completed
A> k4 THREAD REFERENCES UTF-8 ALL
A< * THREAD (1 2 3)
A< k4 OK THREAD completed
A> k5 EXAMINE Drafts
A< * OK [CLOSED] Mailbox closed
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 1] Highest
A< * OK [MAILBOXID (F2)] Object id
A< k5 OK [READ-ONLY] EXAMINE completed
A> k6 SORT (DATE) UTF-8 ALL
A< * SORT
A< k6 OK SORT completed
A> k7 THREAD REFS UTF-8 ALL
A< * THREAD
A< k7 OK THREAD completed
