# RFC 9738: a command is about a bounded number of messages, the newest first.
server messages 3
message m
Subject: one

x
.
A> a1 LOGIN alice@example.org secret
A> a2 CAPABILITY
A> a3 APPEND INBOX {{m}} {{m}} {{m}}
A> a4 APPEND INBOX {{m}} {{m}} {{m}}
A> a5 APPEND INBOX {{m}} {{m}} {{m}} {{m}}
A> a6 APPEND INBOX {{m}}
A> a7 SELECT INBOX
# What fits is as ever.
A> b1 FETCH 1:3 FLAGS
A> b2 UID FETCH 1,3,9 FLAGS
A> b3 SEARCH 5:7 UNSEEN
# What does not is done for the newest; the client goes on below what it is told.
A> c1 FETCH 1:* FLAGS
A> c2 UID FETCH 1:4 FLAGS
A> c3 UID FETCH 1:1 FLAGS
A> c4 UID SEARCH UNSEEN
A> c5 UID SEARCH UID 1:4 UNSEEN
A> c6 SEARCH RETURN (COUNT) ALL
A> c7 STORE 1:5 +FLAGS (\Flagged)
A> c8 UID STORE 1:2 +FLAGS.SILENT (\Flagged)
A> c9 UID FETCH 1:* FLAGS (PARTIAL 1:5)
A> d1 UID FETCH 1:* FLAGS (PARTIAL 1:2)
# What cannot be done in part is not done.
A> e1 COPY 1:4 Trash
A> e2 SORT (ARRIVAL) UTF-8 ALL
A> e3 SORT (ARRIVAL) UTF-8 5:7
A> e4 THREAD REFERENCES UTF-8 ALL
A> e5 STORE 1:4 (UNCHANGEDSINCE 100) +FLAGS (\Answered)
A> e6 STORE 1:3 (UNCHANGEDSINCE 1) +FLAGS (\Answered)
A> e7 ESEARCH IN (personal) ALL
A> e8 ESEARCH IN (selected) ALL
A> e9 SEARCH RETURN (ALL UPDATE) FLAGGED
A> f1 SEARCH RETURN (SAVE) ALL
A> f2 FETCH $ UID
# CHANGEDSINCE counts what changed.
A> g1 FETCH 1:* UID (CHANGEDSINCE 1)
A> g2 FETCH 1:2 UID (CHANGEDSINCE 1)
# MOVE and UID EXPUNGE; EXPUNGE and CLOSE are not limited.
A> h1 MOVE 1:5 Trash
A> h2 UID STORE 1:2 +FLAGS.SILENT (\Deleted)
A> h3 UID STORE 6:7 +FLAGS.SILENT (\Deleted)
A> h4 UID EXPUNGE 1:*
A> h5 EXPUNGE
# Expunged meanwhile, and too many.
A> i1 APPEND INBOX {{m}} {{m}} {{m}}
A> i2 NOOP
B> i3 LOGIN alice@example.org secret
B> i4 SELECT INBOX
A> i5 STORE 2 +FLAGS.SILENT (\Deleted)
B> i6 EXPUNGE
A> i7 FETCH 1:* UID
A> i8 NOOP
# An account's own limit; hidden, there is none.
store mask +MESSAGELIMIT=2
C> j1 LOGIN alice@example.org secret
C> j2 CAPABILITY
C> j3 SELECT Trash
C> j4 FETCH 1:* UID
C> j5 UNAUTHENTICATE
store mask MESSAGELIMIT
C> k1 LOGIN alice@example.org secret
C> k2 CAPABILITY
C> k3 SELECT Trash
C> k4 COPY 1:* Drafts
C> k5 FETCH 1:* UID
C> k6 APPEND INBOX {{m}} {{m}} {{m}} {{m}}
