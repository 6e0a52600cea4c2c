# RFC 9738: a command is about a bounded number of messages, the newest first.
server messages 3
message m
Subject: one

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 CAPABILITY
A< * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE UIDPLUS MOVE NAMESPACE CHILDREN UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS ESEARCH SEARCHRES BINARY CONDSTORE QRESYNC STATUS=SIZE OBJECTID SAVEDATE WITHIN MULTIAPPEND UTF8=ACCEPT SORT SORT=DISPLAY ESORT CONTEXT=SEARCH CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS PARTIAL I18NLEVEL=1 INPROGRESS QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE PREVIEW REPLACE CATENATE UNAUTHENTICATE NOTIFY METADATA LIST-METADATA ACL RIGHTS=kxte LIST-MYRIGHTS MULTISEARCH SEARCH=FUZZY COMPRESS=DEFLATE MESSAGELIMIT=3 APPENDLIMIT=67108864
A< a2 OK CAPABILITY completed
A> a3 APPEND INBOX {{m}} {{m}} {{m}}
A< a3 OK [APPENDUID V 1:3] APPEND completed
A> a4 APPEND INBOX {{m}} {{m}} {{m}}
A< a4 OK [APPENDUID V 4:6] APPEND completed
A> a5 APPEND INBOX {{m}} {{m}} {{m}} {{m}}
A< a5 NO [MESSAGELIMIT 3] Too many messages for one command
A> a6 APPEND INBOX {{m}}
A< a6 OK [APPENDUID V 7] APPEND completed
A> a7 SELECT INBOX
A< * 7 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 8] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a7 OK [READ-WRITE] SELECT completed
# What fits is as ever.
A> b1 FETCH 1:3 FLAGS
A< * 1 FETCH (FLAGS ())
A< * 2 FETCH (FLAGS ())
A< * 3 FETCH (FLAGS ())
A< b1 OK FETCH completed
A> b2 UID FETCH 1,3,9 FLAGS
A< * 1 FETCH (UID 1 FLAGS ())
A< * 3 FETCH (UID 3 FLAGS ())
A< b2 OK UID FETCH completed
A> b3 SEARCH 5:7 UNSEEN
A< * SEARCH 5 6 7
A< b3 OK SEARCH completed
# What does not is done for the newest; the client goes on below what it is told.
A> c1 FETCH 1:* FLAGS
A< * 5 FETCH (FLAGS ())
A< * 6 FETCH (FLAGS ())
A< * 7 FETCH (FLAGS ())
A< c1 OK [MESSAGELIMIT 3 5] Done for the newest messages only
A> c2 UID FETCH 1:4 FLAGS
A< * 2 FETCH (UID 2 FLAGS ())
A< * 3 FETCH (UID 3 FLAGS ())
A< * 4 FETCH (UID 4 FLAGS ())
A< c2 OK [MESSAGELIMIT 3 2] Done for the newest messages only
A> c3 UID FETCH 1:1 FLAGS
A< * 1 FETCH (UID 1 FLAGS ())
A< c3 OK UID FETCH completed
A> c4 UID SEARCH UNSEEN
A< * SEARCH 5 6 7
A< c4 OK [MESSAGELIMIT 3 5] Done for the newest messages only
A> c5 UID SEARCH UID 1:4 UNSEEN
A< * SEARCH 2 3 4
A< c5 OK [MESSAGELIMIT 3 2] Done for the newest messages only
A> c6 SEARCH RETURN (COUNT) ALL
A< * ESEARCH (TAG "c6") COUNT 3
A< c6 OK [MESSAGELIMIT 3 5] Done for the newest messages only
A> c7 STORE 1:5 +FLAGS (\Flagged)
A< * 3 FETCH (FLAGS (\Flagged))
A< * 4 FETCH (FLAGS (\Flagged))
A< * 5 FETCH (FLAGS (\Flagged))
A< c7 OK [MESSAGELIMIT 3 3] Done for the newest messages only
A> c8 UID STORE 1:2 +FLAGS.SILENT (\Flagged)
A< c8 OK UID STORE completed
A> c9 UID FETCH 1:* FLAGS (PARTIAL 1:5)
A< * 3 FETCH (UID 3 FLAGS (\Flagged))
A< * 4 FETCH (UID 4 FLAGS (\Flagged))
A< * 5 FETCH (UID 5 FLAGS (\Flagged))
A< c9 OK [MESSAGELIMIT 3 3] Done for the newest messages only
A> d1 UID FETCH 1:* FLAGS (PARTIAL 1:2)
A< * 1 FETCH (UID 1 FLAGS (\Flagged))
A< * 2 FETCH (UID 2 FLAGS (\Flagged))
A< d1 OK UID FETCH completed
# What cannot be done in part is not done.
A> e1 COPY 1:4 Trash
A< e1 NO [MESSAGELIMIT 3] Too many messages for one command
A> e2 SORT (ARRIVAL) UTF-8 ALL
A< e2 NO [MESSAGELIMIT 3] Too many messages for one command
A> e3 SORT (ARRIVAL) UTF-8 5:7
A< * SORT 5 6 7
A< e3 OK SORT completed
A> e4 THREAD REFERENCES UTF-8 ALL
A< e4 NO [MESSAGELIMIT 3] Too many messages for one command
A> e5 STORE 1:4 (UNCHANGEDSINCE 100) +FLAGS (\Answered)
A< * OK [HIGHESTMODSEQ 6] Highest
A< e5 NO [MESSAGELIMIT 3] Too many messages for one command
A> e6 STORE 1:3 (UNCHANGEDSINCE 1) +FLAGS (\Answered)
A< * 1 FETCH (UID 1 FLAGS (\Flagged) MODSEQ (6))
A< * 2 FETCH (UID 2 FLAGS (\Flagged) MODSEQ (6))
A< * 3 FETCH (UID 3 FLAGS (\Flagged) MODSEQ (5))
A< e6 OK [MODIFIED 1:3] Conditional STORE failed for some
A> e7 ESEARCH IN (personal) ALL
A< e7 NO [MESSAGELIMIT 3] Too many messages for one command
A> e8 ESEARCH IN (selected) ALL
A< * ESEARCH (TAG "e8" MAILBOX INBOX UIDVALIDITY V) UID ALL 5:7
A< e8 OK [MESSAGELIMIT 3 5] Done for the newest messages only
A> e9 SEARCH RETURN (ALL UPDATE) FLAGGED
A< * NO [NOUPDATE "e9"] Too many messages
A< * ESEARCH (TAG "e9") ALL 5
A< e9 OK [MESSAGELIMIT 3 5] Done for the newest messages only
A> f1 SEARCH RETURN (SAVE) ALL
A< f1 OK [MESSAGELIMIT 3 5] Done for the newest messages only
A> f2 FETCH $ UID
A< * 5 FETCH (UID 5)
A< * 6 FETCH (UID 6)
A< * 7 FETCH (UID 7)
A< f2 OK FETCH completed
# CHANGEDSINCE counts what changed.
A> g1 FETCH 1:* UID (CHANGEDSINCE 1)
A< * 5 FETCH (UID 5 MODSEQ (5))
A< * 6 FETCH (UID 6 MODSEQ (3))
A< * 7 FETCH (UID 7 MODSEQ (4))
A< g1 OK [MESSAGELIMIT 3 5] Done for the newest messages only
A> g2 FETCH 1:2 UID (CHANGEDSINCE 1)
A< * 1 FETCH (UID 1 MODSEQ (6))
A< * 2 FETCH (UID 2 MODSEQ (6))
A< g2 OK FETCH completed
# MOVE and UID EXPUNGE; EXPUNGE and CLOSE are not limited.
A> h1 MOVE 1:5 Trash
A< * OK [COPYUID V 3:5 1:3] Moved
A< * 5 EXPUNGE
A< * 4 EXPUNGE
A< * 3 EXPUNGE
A< * OK [HIGHESTMODSEQ 7] Highest
A< h1 OK [MESSAGELIMIT 3 3] Done for the newest messages only
A> h2 UID STORE 1:2 +FLAGS.SILENT (\Deleted)
A< * 1 FETCH (UID 1 MODSEQ (8))
A< * 2 FETCH (UID 2 MODSEQ (8))
A< h2 OK UID STORE completed
A> h3 UID STORE 6:7 +FLAGS.SILENT (\Deleted)
A< * 3 FETCH (UID 6 MODSEQ (9))
A< * 4 FETCH (UID 7 MODSEQ (9))
A< h3 OK UID STORE completed
A> h4 UID EXPUNGE 1:*
A< * 4 EXPUNGE
A< * 3 EXPUNGE
A< * 2 EXPUNGE
A< * OK [HIGHESTMODSEQ 10] Highest
A< h4 OK [MESSAGELIMIT 3 2] Done for the newest messages only
A> h5 EXPUNGE
A< * 1 EXPUNGE
A< h5 OK [HIGHESTMODSEQ 11] EXPUNGE completed
# Expunged meanwhile, and too many.
A> i1 APPEND INBOX {{m}} {{m}} {{m}}
A< * 3 EXISTS
A< * n RECENT
A< i1 OK [APPENDUID V 8:10] APPEND completed
A> i2 NOOP
A< i2 OK NOOP completed
B> i3 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< i3 OK [CAPABILITY …] Logged in
B> i4 SELECT INBOX
B< * 3 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 11] Predicted next UID
B< * OK [HIGHESTMODSEQ 12] Highest
B< * OK [MAILBOXID (F1)] Object id
B< i4 OK [READ-WRITE] SELECT completed
A> i5 STORE 2 +FLAGS.SILENT (\Deleted)
A< * 2 FETCH (UID 9 MODSEQ (13))
A< i5 OK STORE completed
B> i6 EXPUNGE
B< * 2 FETCH (FLAGS (\Deleted))
B< * 2 EXPUNGE
B< i6 OK EXPUNGE completed
A> i7 FETCH 1:* UID
A< * 1 FETCH (UID 8)
A< * 3 FETCH (UID 10)
A< i7 NO [EXPUNGEISSUED] Some of the messages were expunged meanwhile
A> i8 NOOP
A< * 2 EXPUNGE
A< i8 OK NOOP completed
# An account's own limit; hidden, there is none.
store mask +MESSAGELIMIT=2
C> j1 LOGIN alice@example.org secret
C< * OK [CAPABILITY …] altmail ready
C< j1 OK [CAPABILITY …] Logged in
C> j2 CAPABILITY
C< * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE UIDPLUS MOVE NAMESPACE CHILDREN UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS ESEARCH SEARCHRES BINARY CONDSTORE QRESYNC STATUS=SIZE OBJECTID SAVEDATE WITHIN MULTIAPPEND UTF8=ACCEPT SORT SORT=DISPLAY ESORT CONTEXT=SEARCH CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS PARTIAL I18NLEVEL=1 INPROGRESS QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE PREVIEW REPLACE CATENATE UNAUTHENTICATE NOTIFY METADATA LIST-METADATA ACL RIGHTS=kxte LIST-MYRIGHTS MULTISEARCH SEARCH=FUZZY COMPRESS=DEFLATE MESSAGELIMIT=2 APPENDLIMIT=67108864
C< j2 OK CAPABILITY completed
C> j3 SELECT Trash
C< * 3 EXISTS
C< * n RECENT
C< * OK [UNSEEN 1] First unseen
C< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
C< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
C< * OK [UIDVALIDITY V] UIDs valid
C< * OK [UIDNEXT 4] Predicted next UID
C< * OK [HIGHESTMODSEQ 7] Highest
C< * OK [MAILBOXID (F5)] Object id
C< j3 OK [READ-WRITE] SELECT completed
C> j4 FETCH 1:* UID
C< * 2 FETCH (UID 2)
C< * 3 FETCH (UID 3)
C< j4 OK [MESSAGELIMIT 2 2] Done for the newest messages only
C> j5 UNAUTHENTICATE
C< j5 OK [CAPABILITY …] UNAUTHENTICATE completed
store mask MESSAGELIMIT
C> k1 LOGIN alice@example.org secret
C< k1 OK [CAPABILITY …] Logged in
C> k2 CAPABILITY
C< * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE UIDPLUS MOVE NAMESPACE CHILDREN UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS ESEARCH SEARCHRES BINARY CONDSTORE QRESYNC STATUS=SIZE OBJECTID SAVEDATE WITHIN MULTIAPPEND UTF8=ACCEPT SORT SORT=DISPLAY ESORT CONTEXT=SEARCH CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS PARTIAL I18NLEVEL=1 INPROGRESS QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE PREVIEW REPLACE CATENATE UNAUTHENTICATE NOTIFY METADATA LIST-METADATA ACL RIGHTS=kxte LIST-MYRIGHTS MULTISEARCH SEARCH=FUZZY COMPRESS=DEFLATE APPENDLIMIT=67108864
C< k2 OK CAPABILITY completed
C> k3 SELECT Trash
C< * 3 EXISTS
C< * n RECENT
C< * OK [UNSEEN 1] First unseen
C< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
C< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
C< * OK [UIDVALIDITY V] UIDs valid
C< * OK [UIDNEXT 4] Predicted next UID
C< * OK [HIGHESTMODSEQ 7] Highest
C< * OK [MAILBOXID (F5)] Object id
C< k3 OK [READ-WRITE] SELECT completed
C> k4 COPY 1:* Drafts
C< k4 OK [COPYUID V 1:3 1:3] COPY completed
C> k5 FETCH 1:* UID
C< * 1 FETCH (UID 1)
C< * 2 FETCH (UID 2)
C< * 3 FETCH (UID 3)
C< k5 OK FETCH completed
C> k6 APPEND INBOX {{m}} {{m}} {{m}} {{m}}
C< k6 OK [APPENDUID V 11:14] APPEND completed
