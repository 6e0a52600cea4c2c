# RFC 9586: sequence numbers are given up. It is announced where an operator
# turned it on for the account, and nowhere else.
message m
Subject: one

x
.
A> a0 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a0 OK [CAPABILITY …] Logged in
A> a1 ENABLE UIDONLY
A< * ENABLED
A< a1 OK ENABLE completed
A> a2 CAPABILITY
A< * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE UIDPLUS MOVE NAMESPACE CHILDREN UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS ESEARCH SEARCHRES BINARY CONDSTORE QRESYNC STATUS=SIZE OBJECTID SAVEDATE WITHIN MULTIAPPEND UTF8=ACCEPT SORT SORT=DISPLAY ESORT CONTEXT=SEARCH CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS PARTIAL I18NLEVEL=1 INPROGRESS QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE PREVIEW REPLACE CATENATE UNAUTHENTICATE NOTIFY METADATA LIST-METADATA ACL RIGHTS=kxte LIST-MYRIGHTS MULTISEARCH SEARCH=FUZZY COMPRESS=DEFLATE APPENDLIMIT=67108864
A< a2 OK CAPABILITY completed
store mask +UIDONLY
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
B> b2 CAPABILITY
B< * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE UIDPLUS MOVE NAMESPACE CHILDREN UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS ESEARCH SEARCHRES BINARY CONDSTORE QRESYNC STATUS=SIZE OBJECTID SAVEDATE WITHIN MULTIAPPEND UTF8=ACCEPT SORT SORT=DISPLAY ESORT CONTEXT=SEARCH CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS PARTIAL I18NLEVEL=1 INPROGRESS QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE PREVIEW REPLACE CATENATE UNAUTHENTICATE NOTIFY METADATA LIST-METADATA ACL RIGHTS=kxte LIST-MYRIGHTS MULTISEARCH SEARCH=FUZZY COMPRESS=DEFLATE UIDONLY APPENDLIMIT=67108864
B< b2 OK CAPABILITY completed
A> a3 APPEND INBOX {{m}} {{m}} {{m}} {{m}} {{m}} {{m}}
A< a3 OK [APPENDUID V 1:6] APPEND completed
A> a4 SELECT INBOX
A< * 6 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 7] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a4 OK [READ-WRITE] SELECT completed
A> a5 STORE 1,3 +FLAGS.SILENT (\Deleted)
A< a5 OK STORE completed
A> a6 EXPUNGE
A< * 3 EXPUNGE
A< * 1 EXPUNGE
A< a6 OK EXPUNGE completed
# From here on only UIDs.
B> b3 ENABLE UIDONLY
B< * ENABLED UIDONLY
B< b3 OK ENABLE completed
B> b4 SELECT INBOX
B< * 4 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 7] Predicted next UID
B< * OK [HIGHESTMODSEQ 4] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b4 OK [READ-WRITE] SELECT completed
B> c1 FETCH 1 FLAGS
B< c1 BAD [UIDREQUIRED] Only UIDs are in use
B> c2 STORE 1 +FLAGS (\Seen)
B< c2 BAD [UIDREQUIRED] Only UIDs are in use
B> c3 SEARCH ALL
B< c3 BAD [UIDREQUIRED] Only UIDs are in use
B> c4 SORT (ARRIVAL) UTF-8 ALL
B< c4 BAD [UIDREQUIRED] Only UIDs are in use
B> c5 THREAD REFERENCES UTF-8 ALL
B< c5 BAD [UIDREQUIRED] Only UIDs are in use
B> c6 COPY 1 INBOX
B< c6 BAD [UIDREQUIRED] Only UIDs are in use
B> c7 MOVE 1 INBOX
B< c7 BAD [UIDREQUIRED] Only UIDs are in use
B> c8 REPLACE 1 INBOX {{m}}
B< c8 BAD [UIDREQUIRED] Only UIDs are in use
B> c9 UID SEARCH 1:2
B< c9 BAD [UIDREQUIRED] Only UIDs are in use
B> d1 UID SEARCH NOT (OR SEEN *)
B< d1 BAD [UIDREQUIRED] Only UIDs are in use
B> d2 UID SORT (ARRIVAL) UTF-8 1
B< d2 BAD [UIDREQUIRED] Only UIDs are in use
B> d3 UID THREAD REFERENCES UTF-8 1
B< d3 BAD [UIDREQUIRED] Only UIDs are in use
# Nothing of it was done; what names no number goes on.
B> d4 UID FETCH 1:* FLAGS
B< * 2 UIDFETCH (FLAGS ())
B< * 4 UIDFETCH (FLAGS ())
B< * 5 UIDFETCH (FLAGS ())
B< * 6 UIDFETCH (FLAGS ())
B< d4 OK UID FETCH completed
B> d5 UID FETCH 2 (FLAGS UID RFC822.SIZE)
B< * 2 UIDFETCH (FLAGS () UID 2 RFC822.SIZE 19)
B< d5 OK UID FETCH completed
B> d6 UID FETCH 2 (BODY[HEADER.FIELDS (SUBJECT)])
B< * 2 UIDFETCH (BODY[HEADER.FIELDS (SUBJECT)] {16}
B| Subject: one
B| 
B| )
B< * 2 UIDFETCH (FLAGS (\Seen))
B< d6 OK UID FETCH completed
B> d7 UID STORE 2 +FLAGS (\Flagged)
B< * 2 UIDFETCH (FLAGS (\Flagged \Seen))
B< d7 OK UID STORE completed
B> d8 UID STORE 4 +FLAGS.SILENT (\Answered)
B< d8 OK UID STORE completed
B> d9 UID SEARCH ALL
B< * SEARCH 2 4 5 6
B< d9 OK UID SEARCH completed
B> e1 UID SEARCH RETURN (SAVE) FLAGGED
B< e1 OK UID SEARCH completed
B> e2 UID FETCH $ FLAGS
B< * 2 UIDFETCH (FLAGS (\Flagged \Seen))
B< e2 OK UID FETCH completed
B> e3 UID SEARCH $
B< * SEARCH 2
B< e3 OK UID SEARCH completed
B> e4 UID SORT (REVERSE ARRIVAL) UTF-8 ALL
B< * SORT 2 4 5 6
B< e4 OK UID SORT completed
B> e5 UID THREAD ORDEREDSUBJECT UTF-8 ALL
B< * THREAD (2 (4)(5)(6))
B< e5 OK UID THREAD completed
B> e6 UID SEARCH RETURN (MIN MAX COUNT) ALL
B< * ESEARCH (TAG "e6") UID MIN 2 MAX 6 COUNT 4
B< e6 OK UID SEARCH completed
B> e7 UID SEARCH RETURN (PARTIAL 1:2) ALL
B< * ESEARCH (TAG "e7") UID PARTIAL (1:2 2,4)
B< e7 OK UID SEARCH completed
B> e8 UID FETCH 1:* FLAGS (PARTIAL -1:-1)
B< * 6 UIDFETCH (FLAGS ())
B< e8 OK UID FETCH completed
B> e9 UID COPY 2 INBOX
B< * 5 EXISTS
B< * n RECENT
B< e9 OK [COPYUID V 2 7] UID COPY completed
# EXPUNGE names no message. All of it is told by UID.
B> f1 UID STORE 4 +FLAGS (\Deleted)
B< * 4 UIDFETCH (FLAGS (\Answered \Deleted))
B< f1 OK UID STORE completed
B> f2 EXPUNGE
B< * VANISHED 4
B< f2 OK EXPUNGE completed
B> f3 UID STORE 5 +FLAGS (\Deleted)
B< * 5 UIDFETCH (FLAGS (\Deleted))
B< f3 OK UID STORE completed
B> f4 UID EXPUNGE 5
B< * VANISHED 5
B< f4 OK UID EXPUNGE completed
B> f5 UID MOVE 6 INBOX
B< * OK [COPYUID V 6 8] Moved
B< * VANISHED 6
B< * 3 EXISTS
B< * n RECENT
B< f5 OK UID MOVE completed
B> f6 UID REPLACE 2 INBOX {{m}}
B< * OK [APPENDUID V 9] Replacement is stored
B< * VANISHED 2
B< * 3 EXISTS
B< * n RECENT
B< f6 OK UID REPLACE completed
# What others do.
A> g1 NOOP
A< * 7 EXISTS
A< * n RECENT
A< * 4 EXPUNGE
A< * 3 EXPUNGE
A< * 2 EXPUNGE
A< * 1 EXPUNGE
A< g1 OK NOOP completed
A> g2 UID STORE 7 +FLAGS (\Seen \Deleted)
A< * 1 FETCH (UID 7 FLAGS (\Flagged \Deleted \Seen))
A< g2 OK UID STORE completed
B> g3 NOOP
B< * 7 UIDFETCH (FLAGS (\Flagged \Deleted \Seen))
B< g3 OK NOOP completed
B> g4 IDLE
B< + idling
A> g5 UID EXPUNGE 7
A< * 1 EXPUNGE
A< g5 OK UID EXPUNGE completed
A> g6 UID STORE 8 +FLAGS (\Seen)
A< * 1 FETCH (UID 8 FLAGS (\Seen))
A< g6 OK UID STORE completed
B? \Seen
B< * VANISHED 7
B< * 8 UIDFETCH (FLAGS (\Seen))
B>> DONE
B? g4 OK
B< g4 OK IDLE completed
# UNCHANGEDSINCE, CHANGEDSINCE, VANISHED of QRESYNC.
B> h1 UID STORE 8 (UNCHANGEDSINCE 1) +FLAGS (\Flagged)
B< * OK [HIGHESTMODSEQ 17] Highest
B< * 8 UIDFETCH (FLAGS (\Seen) MODSEQ (17))
B< h1 OK [MODIFIED 8] Conditional STORE failed for some
B> h2 UID FETCH 1:* FLAGS (CHANGEDSINCE 1)
B< * 8 UIDFETCH (FLAGS (\Seen) MODSEQ (17))
B< * 9 UIDFETCH (FLAGS () MODSEQ (14))
B< h2 OK UID FETCH completed
B> h3 ENABLE QRESYNC
B< * ENABLED QRESYNC
B< h3 OK ENABLE completed
B> h4 UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)
B< * VANISHED (EARLIER) 1:7
B< * 8 UIDFETCH (FLAGS (\Seen) MODSEQ (17))
B< * 9 UIDFETCH (FLAGS () MODSEQ (14))
B< h4 OK UID FETCH completed
B> h5 SELECT INBOX (QRESYNC ({{V}} 1 1:9 (1 2)))
B< h5 BAD [UIDREQUIRED] Only UIDs are in use
B> h6 SELECT INBOX (QRESYNC ({{V}} 1 1:9))
B< * OK [CLOSED] Mailbox closed
B< * 2 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 10] Predicted next UID
B< * OK [HIGHESTMODSEQ 17] Highest
B< * OK [MAILBOXID (F1)] Object id
B< * VANISHED (EARLIER) 1:7
B< * 8 UIDFETCH (FLAGS (\Seen) MODSEQ (17))
B< * 9 UIDFETCH (FLAGS () MODSEQ (14))
B< h6 OK [READ-WRITE] SELECT completed
# UPDATE.
B> i1 UID SEARCH RETURN (UPDATE ALL) FLAGGED
B< * ESEARCH (TAG "i1") UID
B< i1 OK UID SEARCH completed
B> i2 UID STORE 8 +FLAGS (\Flagged)
B< * 8 UIDFETCH (FLAGS (\Flagged \Seen) MODSEQ (18))
B< * ESEARCH (TAG "i1") UID ADDTO (0 8)
B< i2 OK UID STORE completed
B> i3 UID STORE 8 -FLAGS (\Flagged)
B< * 8 UIDFETCH (FLAGS (\Seen) MODSEQ (19))
B< * ESEARCH (TAG "i1") UID REMOVEFROM (0 8)
B< i3 OK UID STORE completed
B> i4 CANCELUPDATE "i1"
B< i4 OK CANCELUPDATE completed
# NOTIFY.
B> j1 NOTIFY SET (SELECTED (MessageNew (FLAGS) MessageExpunge FlagChange))
B< j1 OK NOTIFY completed
A> j2 APPEND INBOX {{m}}
A< * 1 FETCH (FLAGS (\Seen))
A< * 3 EXISTS
A< * n RECENT
A< j2 OK [APPENDUID V 10] APPEND completed
B? UIDFETCH
B< * 3 EXISTS
B< * n RECENT
B< * 10 UIDFETCH (FLAGS ())
A> j3 UID STORE 10 +FLAGS (\Deleted)
A< * 3 FETCH (UID 10 FLAGS (\Deleted))
A< j3 OK UID STORE completed
B? \Deleted
B< * 10 UIDFETCH (FLAGS (\Deleted) MODSEQ (21))
A> j4 UID EXPUNGE 10
A< * 3 EXPUNGE
A< j4 OK UID EXPUNGE completed
B? VANISHED
B< * VANISHED 10
# Until the end of the session, or of the login.
B> k1 CLOSE
B< k1 OK CLOSE completed
B> k2 SELECT INBOX
B< * 2 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 11] Predicted next UID
B< * OK [HIGHESTMODSEQ 22] Highest
B< * OK [MAILBOXID (F1)] Object id
B< k2 OK [READ-WRITE] SELECT completed
B> k3 FETCH 1 FLAGS
B< k3 BAD [UIDREQUIRED] Only UIDs are in use
B> k4 UNAUTHENTICATE
B< k4 OK [CAPABILITY …] UNAUTHENTICATE completed
B> k5 LOGIN alice@example.org secret
B< k5 OK [CAPABILITY …] Logged in
B> k6 EXAMINE INBOX
B< * 2 EXISTS
B< * n RECENT
B< * OK [UNSEEN 2] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS ()] Read-only
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 11] Predicted next UID
B< * OK [HIGHESTMODSEQ 22] Highest
B< * OK [MAILBOXID (F1)] Object id
B< k6 OK [READ-ONLY] EXAMINE completed
B> k7 FETCH 1 FLAGS
B< * 1 FETCH (FLAGS (\Seen))
B< k7 OK FETCH completed
# In the middle of a selected mailbox: what is followed goes on as UIDs.
B> l1 SEARCH RETURN (UPDATE ALL) FLAGGED
B< * ESEARCH (TAG "l1")
B< l1 OK SEARCH completed
B> l2 ENABLE UIDONLY
B< * ENABLED UIDONLY
B< l2 OK ENABLE completed
A> l3 UID STORE 8 +FLAGS (\Flagged)
A< * 1 FETCH (UID 8 FLAGS (\Flagged \Seen))
A< l3 OK UID STORE completed
B> l4 NOOP
B< * 8 UIDFETCH (FLAGS (\Flagged \Seen))
B< * ESEARCH (TAG "l1") UID ADDTO (0 8)
B< l4 OK NOOP completed
B> l5 FETCH 1 FLAGS
B< l5 BAD [UIDREQUIRED] Only UIDs are in use
