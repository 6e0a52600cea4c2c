# RFC 7162 section 3.2.
message m
Subject: x

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{m}} {{m}} {{m}} {{m}} {{m}} {{m}} {{m}} {{m}}
A< a2 OK [APPENDUID V 1:8] APPEND completed
# Nothing of it before ENABLE (sections 3.2.3, 3.2.5, 3.2.6).
A> a3 SELECT INBOX (QRESYNC (1 1))
A< a3 BAD QRESYNC needs ENABLE QRESYNC
A> a4 NOOP
A< a4 OK NOOP completed
A> a5 SELECT INBOX (CONDSTORE)
A< * 8 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 9] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a5 OK [READ-WRITE] SELECT completed
A> a6 UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)
A< a6 BAD VANISHED needs ENABLE QRESYNC
A> a7 SELECT Trash (QRESYNC (1 1))
A< a7 BAD QRESYNC needs ENABLE QRESYNC
# The BAD left the mailbox selected.
A> a8 UID FETCH 1 UID
A< * 1 FETCH (UID 1)
A< a8 OK UID FETCH completed
A> a9 UNSELECT
A< a9 OK UNSELECT completed
# Section 3.2.3: CONDSTORE comes with it, in any order.
A> aa ENABLE QRESYNC CONDSTORE
A< * ENABLED QRESYNC CONDSTORE
A< aa OK ENABLE completed
B> b2 ENABLE condstore qresync nosuch
B< * ENABLED CONDSTORE QRESYNC
B< b2 OK ENABLE completed
# Nothing is known: a modification sequence of long ago tells all.
B> b3 SELECT INBOX
B< * 8 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 9] Predicted next UID
B< * OK [HIGHESTMODSEQ 2] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b3 OK [READ-WRITE] SELECT completed
A> ab SELECT INBOX (QRESYNC ({{V}} 1))
A< * 8 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 9] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * 1 FETCH (UID 1 FLAGS () MODSEQ (2))
A< * 2 FETCH (UID 2 FLAGS () MODSEQ (2))
A< * 3 FETCH (UID 3 FLAGS () MODSEQ (2))
A< * 4 FETCH (UID 4 FLAGS () MODSEQ (2))
A< * 5 FETCH (UID 5 FLAGS () MODSEQ (2))
A< * 6 FETCH (UID 6 FLAGS () MODSEQ (2))
A< * 7 FETCH (UID 7 FLAGS () MODSEQ (2))
A< * 8 FETCH (UID 8 FLAGS () MODSEQ (2))
A< ab OK [READ-WRITE] SELECT completed
# Nothing changed: nothing is told.
A> ac SELECT INBOX (QRESYNC ({{V}} 2))
A< * OK [CLOSED] Mailbox closed
A< * 8 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 9] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< ac OK [READ-WRITE] SELECT completed
A> ad UNSELECT
A< ad OK UNSELECT completed
# Another client changes things while A is away.
B> b4 STORE 2 +FLAGS (\Seen work)
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
B< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
B< b4 OK STORE completed
B> b5 STORE 3:5,7 +FLAGS.SILENT (\Deleted)
B< * 3 FETCH (UID 3 MODSEQ (4))
B< * 4 FETCH (UID 4 MODSEQ (4))
B< * 5 FETCH (UID 5 MODSEQ (4))
B< * 7 FETCH (UID 7 MODSEQ (4))
B< b5 OK STORE completed
B> b6 UID EXPUNGE 3,4
B< * VANISHED 3:4
B< b6 OK [HIGHESTMODSEQ 5] UID EXPUNGE completed
B> b7 EXPUNGE
B< * VANISHED 5,7
B< b7 OK [HIGHESTMODSEQ 6] EXPUNGE completed
B> b8 UID STORE 6 +FLAGS \Flagged
B< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
B< b8 OK UID STORE completed
B> b9 APPEND INBOX (\Draft) {{m}}
B< * 5 EXISTS
B< * n RECENT
B< b9 OK [APPENDUID V 9] APPEND completed
B> ba UID MOVE 8 Trash
B< * OK [COPYUID V 8 1] Moved
B< * VANISHED 8
B< ba OK [HIGHESTMODSEQ 9] UID MOVE completed
# All that A missed, expunges first.
A> b1 SELECT INBOX (QRESYNC ({{V}} 2))
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 3:5,7:8
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< * 4 FETCH (UID 9 FLAGS (\Draft) MODSEQ (8))
A< b1 OK [READ-WRITE] SELECT completed
# EXAMINE does the same, between the modification sequences too.
A> b2 EXAMINE INBOX (QRESYNC ({{V}} 5))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 5,7:8
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< * 4 FETCH (UID 9 FLAGS (\Draft) MODSEQ (8))
A< b2 OK [READ-ONLY] EXAMINE completed
# Known UIDs limit what is told (3.2.5.1); their order does not matter.
A> b3 SELECT INBOX (QRESYNC ({{V}} 2 7,1:3))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 3,7
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< b3 OK [READ-WRITE] SELECT completed
A> b4 SELECT INBOX (QRESYNC ({{V}} 2 100:200))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< b4 OK [READ-WRITE] SELECT completed
# A UIDVALIDITY that does not match: the rest is ignored.
A> b5 SELECT INBOX (QRESYNC (1 2))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< b5 OK [READ-WRITE] SELECT completed
# Match data (3.2.5.2): now there are 1 2 6 9. The first two are right, so what
# is up to UID 2 is known; the next is not, and nothing behind it counts.
A> b6 SELECT INBOX (QRESYNC ({{V}} 2 (1:2 1:2)))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 3:5,7:8
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< * 4 FETCH (UID 9 FLAGS (\Draft) MODSEQ (8))
A< b6 OK [READ-WRITE] SELECT completed
A> b7 SELECT INBOX (QRESYNC ({{V}} 2 1:9 (1,3 1,6)))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 7:8
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< * 4 FETCH (UID 9 FLAGS (\Draft) MODSEQ (8))
A< b7 OK [READ-WRITE] SELECT completed
A> b8 SELECT INBOX (QRESYNC ({{V}} 2 1:9 (1,3:4 1,5,9)))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 3:5,7:8
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< * 4 FETCH (UID 9 FLAGS (\Draft) MODSEQ (8))
A< b8 OK [READ-WRITE] SELECT completed
A> b9 SELECT INBOX (QRESYNC ({{V}} 2 1:9 (1,3:4,9 1,6,9:10)))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< * 4 FETCH (UID 9 FLAGS (\Draft) MODSEQ (8))
A< b9 OK [READ-WRITE] SELECT completed
# A modification sequence that never was: the mailbox is told as it is.
A> ba SELECT INBOX (QRESYNC ({{V}} 9223372036854775807 1:8))
A< * OK [CLOSED] Mailbox closed
A< * 4 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 10] Predicted next UID
A< * OK [HIGHESTMODSEQ 9] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 3:5,7:8
A< * 1 FETCH (UID 1 FLAGS () MODSEQ (2))
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< ba OK [READ-WRITE] SELECT completed
# Syntax is looked at before the mailbox is opened, and leaves the old one.
A> c1 SELECT Trash (QRESYNC ({{V}} 0))
A< c1 BAD Modification sequence must not be zero
A> c2 SELECT Trash (QRESYNC ({{V}} 1 1:*))
A< c2 BAD "*" is not allowed here
A> c3 SELECT Trash (QRESYNC ({{V}} 1 (1:2 1)))
A< c3 BAD Match data must pair
A> c4 SELECT Trash (QRESYNC)
A< c4 BAD Expected a space
A> c5 NOOP
A< c5 OK NOOP completed
# UID FETCH with VANISHED (3.2.6).
A> d1 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 2 VANISHED)
A< * VANISHED (EARLIER) 3:5,7:8
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< * 4 FETCH (UID 9 FLAGS (\Draft) MODSEQ (8))
A< d1 OK UID FETCH completed
A> d2 UID FETCH 4:6 (UID) (VANISHED CHANGEDSINCE 2)
A< * VANISHED (EARLIER) 4:5
A< * 3 FETCH (UID 6 MODSEQ (7))
A< d2 OK UID FETCH completed
A> d3 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 5 VANISHED)
A< * VANISHED (EARLIER) 5,7:8
A< * 3 FETCH (UID 6 FLAGS (\Flagged) MODSEQ (7))
A< * 4 FETCH (UID 9 FLAGS (\Draft) MODSEQ (8))
A< d3 OK UID FETCH completed
A> d4 UID FETCH 3 FLAGS (CHANGEDSINCE 99 VANISHED)
A< * VANISHED (EARLIER) 3
A< d4 OK UID FETCH completed
A> d5 UID FETCH 1:* FLAGS (VANISHED)
A< d5 BAD VANISHED needs CHANGEDSINCE
A> d6 FETCH 1:* FLAGS (CHANGEDSINCE 2 VANISHED)
A< d6 BAD VANISHED is for UID FETCH
A> d7 UID SEARCH RETURN (SAVE) UID 1:3
A< d7 OK UID SEARCH completed
A> d8 UID FETCH $ FLAGS (CHANGEDSINCE 2 VANISHED)
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (3))
A< d8 OK UID FETCH completed
# VANISHED instead of EXPUNGE, and HIGHESTMODSEQ, for whatever removes.
A> e1 UID STORE 1 +FLAGS.SILENT \Deleted
A< * 1 FETCH (UID 1 MODSEQ (10))
A< e1 OK UID STORE completed
A> e2 EXPUNGE
A< * VANISHED 1
A< e2 OK [HIGHESTMODSEQ 11] EXPUNGE completed
A> e3 EXPUNGE
A< e3 OK [HIGHESTMODSEQ 11] EXPUNGE completed
B> e4 NOOP
B< * VANISHED 1
B< e4 OK NOOP completed
A> e5 MOVE 1 Trash
A< * OK [COPYUID V 2 2] Moved
A< * VANISHED 2
A< e5 OK [HIGHESTMODSEQ 12] MOVE completed
A> e6 APPEND INBOX {{m}}
A< * 3 EXISTS
A< * n RECENT
A< e6 OK [APPENDUID V 10] APPEND completed
A> e7 UID STORE 10 +FLAGS \Deleted
A< * 3 FETCH (UID 10 FLAGS (\Deleted) MODSEQ (14))
A< e7 OK UID STORE completed
A> e8 UID EXPUNGE 1:10
A< * VANISHED 10
A< e8 OK [HIGHESTMODSEQ 15] UID EXPUNGE completed
B> e9 NOOP
B< * VANISHED 2
B< e9 OK NOOP completed
B> ea IDLE
B< + idling
A> f1 UID MOVE 6 INBOX
A< * OK [COPYUID V 6 11] Moved
A< * VANISHED 6
A< * 2 EXISTS
A< * n RECENT
A< f1 OK [HIGHESTMODSEQ 16] UID MOVE completed
B? RECENT
B< * VANISHED 6
B< * 2 EXISTS
B< * n RECENT
B>> DONE
B? ea OK
B< ea OK IDLE completed
# No VANISHED while sequence numbers count; what the client may count on is
# less then than what it was shown (sections 3.2 and 6).
B> f2 UID STORE 9 +FLAGS.SILENT \Deleted
B< * 1 FETCH (UID 9 MODSEQ (17))
B< f2 OK UID STORE completed
B> f3 UID EXPUNGE 9
B< * VANISHED 9
B< f3 OK [HIGHESTMODSEQ 18] UID EXPUNGE completed
B> f4 UID STORE 11 +FLAGS.SILENT \Answered
B< * 1 FETCH (UID 11 MODSEQ (19))
B< f4 OK UID STORE completed
A> f5 FETCH 2 (UID)
A< * 2 FETCH (UID 11 FLAGS (\Answered \Flagged) MODSEQ (19))
A< * 2 FETCH (UID 11)
A< * OK [HIGHESTMODSEQ 16] Highest
A< f5 OK FETCH completed
A> f6 FETCH 2 (UID MODSEQ)
A< * 2 FETCH (UID 11 MODSEQ (19))
A< * OK [HIGHESTMODSEQ 16] Highest
A< f6 OK FETCH completed
A> f7 UID SEARCH 1:2
A< * SEARCH 11
A< f7 OK UID SEARCH completed
A> f8 NOOP
A< * VANISHED 9
A< * OK [HIGHESTMODSEQ 19] Highest
A< f8 OK NOOP completed
A> f9 NOOP
A< f9 OK NOOP completed
# UID commands tell at once.
B> g1 APPEND INBOX {{m}}
B< * 2 EXISTS
B< * n RECENT
B< g1 OK [APPENDUID V 12] APPEND completed
A> g2 NOOP
A< * 2 EXISTS
A< * n RECENT
A< g2 OK NOOP completed
B> g3 UID STORE 12 +FLAGS.SILENT \Deleted
B< * 2 FETCH (UID 12 MODSEQ (21))
B< g3 OK UID STORE completed
B> g4 UID EXPUNGE 12
B< * VANISHED 12
B< g4 OK [HIGHESTMODSEQ 22] UID EXPUNGE completed
A> g5 UID FETCH 1:* FLAGS (CHANGEDSINCE 20 VANISHED)
A< * VANISHED 12
A< * VANISHED (EARLIER) 12
A< g5 OK UID FETCH completed
# A message that came and went is not mentioned, VANISHED or not.
B> h1 APPEND INBOX (\Deleted) {{m}}
B< * 2 EXISTS
B< * n RECENT
B< h1 OK [APPENDUID V 13] APPEND completed
B> h2 UID EXPUNGE 13
B< * VANISHED 13
B< h2 OK [HIGHESTMODSEQ 24] UID EXPUNGE completed
A> h3 UID FETCH 1:* UID (CHANGEDSINCE 25 VANISHED)
A< * VANISHED (EARLIER) 1:10,12:13
A< h3 OK UID FETCH completed
# MODIFIED goes with what is told.
B> i1 UID STORE 11 +FLAGS.SILENT fun
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun \*)] Permitted
B< * 1 FETCH (UID 11 MODSEQ (25))
B< i1 OK UID STORE completed
A> i2 UID STORE 11 (UNCHANGEDSINCE 20) +FLAGS (\Seen)
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun \*)] Permitted
A< * 1 FETCH (UID 11 FLAGS (\Answered \Flagged fun) MODSEQ (25))
A< * 1 FETCH (UID 11 FLAGS (\Answered \Flagged fun) MODSEQ (25))
A< i2 OK [MODIFIED 11] Conditional STORE failed for some
# CLOSE tells nothing (3.2.8).
A> j1 UID STORE 11 +FLAGS.SILENT \Deleted
A< * 1 FETCH (UID 11 MODSEQ (26))
A< j1 OK UID STORE completed
A> j2 CLOSE
A< j2 OK CLOSE completed
B> j3 NOOP
B< * VANISHED 11
B< j3 OK NOOP completed
A> j4 SELECT INBOX
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 14] Predicted next UID
A< * OK [HIGHESTMODSEQ 27] Highest
A< * OK [MAILBOXID (F1)] Object id
A< j4 OK [READ-WRITE] SELECT completed
A> j5 SELECT Trash (QRESYNC ({{V}} 3))
A< * OK [CLOSED] Mailbox closed
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 12] Highest
A< * OK [MAILBOXID (F5)] Object id
A< j5 OK [READ-WRITE] SELECT completed
A> j6 EXAMINE Trash (QRESYNC ({{V}} 3))
A< * OK [CLOSED] Mailbox closed
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing work fun)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 12] Highest
A< * OK [MAILBOXID (F5)] Object id
A< * 1 FETCH (UID 1 FLAGS () MODSEQ (9))
A< * 2 FETCH (UID 2 FLAGS (\Seen work) MODSEQ (12))
A< j6 OK [READ-ONLY] EXAMINE completed
A> j7 LOGOUT
A< * BYE Logging out
A< j7 OK LOGOUT completed
