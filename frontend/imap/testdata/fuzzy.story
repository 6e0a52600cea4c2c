# SEARCH=FUZZY (RFC 6203).
message m1
From: a@example.org
Subject: Broken meeting rooms

The IMAP server breaks.
.
message m2
From: b@example.org
Subject: meeting room

IMAP
.
message m3
From: c@example.org
Subject: other

Where is the room for the meeting?
.
message m4
From: d@example.org
Subject: nothing

at all
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{m1}} {{m2}} {{m3}} {{m4}}
A< a2 OK [APPENDUID V 1:4] APPEND completed
A> a3 SELECT INBOX
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 5] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a3 OK [READ-WRITE] SELECT completed
# All words, in any order, also as parts of longer ones.
A> b1 SEARCH FUZZY TEXT "room meeting"
A< * SEARCH 1 2 3
A< b1 OK SEARCH completed
A> b2 SEARCH TEXT "room meeting"
A< * SEARCH
A< b2 OK SEARCH completed
A> b3 SEARCH FUZZY (SUBJECT "room, MEETING" TEXT imap)
A< * SEARCH 1 2
A< b3 OK SEARCH completed
A> b4 SEARCH FUZZY BODY "meeting room"
A< * SEARCH 3
A< b4 OK SEARCH completed
A> b5 SEARCH NOT FUZZY TEXT "room meeting"
A< * SEARCH 4
A< b5 OK SEARCH completed
A> b6 SEARCH FUZZY NOT TEXT "room meeting"
A< * SEARCH 4
A< b6 OK SEARCH completed
A> b7 SEARCH OR FUZZY SUBJECT "room meeting" FROM d@
A< * SEARCH 1 2 4
A< b7 OK SEARCH completed
A> b8 SEARCH FUZZY FUZZY SUBJECT ""
A< * SEARCH 1 2 3 4
A< b8 OK SEARCH completed
A> b9 SEARCH FUZZY UNSEEN
A< * SEARCH 1 2 3 4
A< b9 OK SEARCH completed
A> b0 SEARCH FUZZY TEXT "--"
A< * SEARCH
A< b0 OK SEARCH completed
# How relevant they are, in the order of the result.
A> c1 SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT "meeting room"
A< * ESEARCH (TAG "c1") ALL 1:3 RELEVANCY (100 100 10)
A< c1 OK SEARCH completed
A> c2 UID SEARCH RETURN (ALL RELEVANCY COUNT) FUZZY SUBJECT "room meeting"
A< * ESEARCH (TAG "c2") UID ALL 1:2 RELEVANCY (10 10) COUNT 2
A< c2 OK UID SEARCH completed
A> c3 SEARCH RETURN (RELEVANCY) FUZZY TEXT absent
A< * ESEARCH (TAG "c3")
A< c3 OK SEARCH completed
A> c4 SEARCH RETURN (RELEVANCY ALL) FUZZY SEEN
A< * ESEARCH (TAG "c4")
A< c4 OK SEARCH completed
A> c5 SEARCH RETURN (RELEVANCY ALL) FUZZY UNSEEN
A< * ESEARCH (TAG "c5") ALL 1:4 RELEVANCY (100 100 100 100)
A< c5 OK SEARCH completed
A> c6 SEARCH RETURN (RELEVANCY PARTIAL 2:3) FUZZY TEXT room
A< * ESEARCH (TAG "c6") PARTIAL (2:3 2:3) RELEVANCY (100 40)
A< c6 OK SEARCH completed
A> c7 SEARCH RETURN (RELEVANCY ALL) OR FUZZY SUBJECT meeting FUZZY BODY meeting
A< * ESEARCH (TAG "c7") ALL 1:3 RELEVANCY (85 85 25)
A< c7 OK SEARCH completed
A> d1 SORT (RELEVANCY) UTF-8 FUZZY TEXT "meeting room"
A< * SORT 1 2 3
A< d1 OK SORT completed
A> d2 SORT (REVERSE RELEVANCY SUBJECT) UTF-8 FUZZY TEXT "meeting room"
A< * SORT 3 1 2
A< d2 OK SORT completed
A> d3 SORT RETURN (RELEVANCY ALL) (RELEVANCY) UTF-8 FUZZY TEXT "meeting room"
A< * ESEARCH (TAG "d3") ALL 1:3 RELEVANCY (100 100 10)
A< d3 OK SORT completed
A> d4 SEARCH RETURN (UPDATE RELEVANCY) FUZZY SUBJECT room
A< * NO [NOUPDATE "d4"] Not by relevancy
A< * ESEARCH (TAG "d4") RELEVANCY (100 100)
A< d4 OK SEARCH completed
# Only for fuzzy searches (sections 4 and 6).
A> e1 SEARCH RETURN (RELEVANCY ALL) TEXT room
A< e1 BAD RELEVANCY is of FUZZY searches
A> e2 SORT (RELEVANCY) UTF-8 TEXT room
A< e2 BAD RELEVANCY is of FUZZY searches
A> e3 SEARCH FUZZY
A< e3 BAD Expected a space
A> e4 SEARCH FUZZY CHARSET UTF-8 ALL
A< e4 BAD Unknown search key
A> e5 SEARCH CHARSET ISO-8859-1 FUZZY SUBJECT {1+}\r\n\xe4
A< * SEARCH
A< e5 OK SEARCH completed
