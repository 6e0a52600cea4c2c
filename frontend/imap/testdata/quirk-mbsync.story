# mbsync and offlineimap: "UIDVALIDITY genuinely changed", a UID that comes twice.
message one
Subject: one
X-TUID: AbCdEf012345

x
.
message two
Subject: two
X-OfflineIMAP: 1234-alice-INBOX

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
B> b2 ENABLE QRESYNC
B< * ENABLED QRESYNC
B< b2 OK ENABLE completed
# Every APPEND says which UID it gave, also to a mailbox that is not selected,
# and to one of another name.
A> a2 CREATE box
A< a2 OK [MAILBOXID (F7)] CREATE completed
A> a3 APPEND box {{one}}
A< a3 OK [APPENDUID V 1] APPEND completed
A> a4 APPEND box (\Seen) "17-Jul-1996 02:44:25 -0700" {{two}}
A< a4 OK [APPENDUID V 2] APPEND completed
A> a5 SELECT box
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F7)] Object id
A< a5 OK [READ-WRITE] SELECT completed
# They find a message of their own by what they wrote into it.
A> a6 UID SEARCH HEADER X-TUID AbCdEf012345
A< * SEARCH 1
A< a6 OK UID SEARCH completed
A> a7 UID SEARCH HEADER X-OfflineIMAP 1234-alice-INBOX
A< * SEARCH 2
A< a7 OK UID SEARCH completed
# What is expunged frees no UID, whatever is left.
A> c1 UID STORE 2 +FLAGS.SILENT (\Deleted)
A< c1 OK UID STORE completed
A> c2 UID EXPUNGE 2
A< * 2 EXPUNGE
A< c2 OK UID EXPUNGE completed
A> c3 APPEND box {{two}}
A< * 2 EXISTS
A< * n RECENT
A< c3 OK [APPENDUID V 3] APPEND completed
A> c4 UID STORE 1:* +FLAGS.SILENT (\Deleted)
A< c4 OK UID STORE completed
A> c5 EXPUNGE
A< * 2 EXPUNGE
A< * 1 EXPUNGE
A< c5 OK EXPUNGE completed
A> c6 STATUS box (MESSAGES UIDNEXT)
A< * STATUS box (MESSAGES 0 UIDNEXT 4)
A< c6 OK STATUS completed
A> c7 APPEND box {{one}}
A< * 1 EXISTS
A< * n RECENT
A< c7 OK [APPENDUID V 4] APPEND completed
A> c8 UID FETCH 1:* (UID FLAGS)
A< * 1 FETCH (UID 4 FLAGS ())
A< c8 OK UID FETCH completed
# A renamed mailbox is the same one: a client that knows its UIDVALIDITY and
# what it was told gets what changed and nothing else.
B> b3 SELECT box
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 5] Predicted next UID
B< * OK [HIGHESTMODSEQ 10] Highest
B< * OK [MAILBOXID (F7)] Object id
B< b3 OK [READ-WRITE] SELECT completed
B> b4 CLOSE
B< b4 OK CLOSE completed
A> d1 CLOSE
A< d1 OK CLOSE completed
A> d2 RENAME box case
A< d2 OK RENAME completed
B> b5 SELECT case (QRESYNC ({{V}} 5 1:4))
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 5] Predicted next UID
B< * OK [HIGHESTMODSEQ 10] Highest
B< * OK [MAILBOXID (F7)] Object id
B< * VANISHED (EARLIER) 1:3
B< * 1 FETCH (UID 4 FLAGS () MODSEQ (10))
B< b5 OK [READ-WRITE] SELECT completed
A> d3 RENAME case box
A< d3 OK RENAME completed
B> b6 SELECT box (QRESYNC ({{V}} 5 1:4))
B< * OK [CLOSED] Mailbox closed
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 5] Predicted next UID
B< * OK [HIGHESTMODSEQ 10] Highest
B< * OK [MAILBOXID (F7)] Object id
B< * VANISHED (EARLIER) 1:3
B< * 1 FETCH (UID 4 FLAGS () MODSEQ (10))
B< b6 OK [READ-WRITE] SELECT completed
# Moved messages get new UIDs, and are told which.
B> b7 UID COPY 4 INBOX
B< b7 OK [COPYUID V 4 1] UID COPY completed
B> b8 UID MOVE 4 INBOX
B< * OK [COPYUID V 4 2] Moved
B< * VANISHED 4
B< b8 OK [HIGHESTMODSEQ 14] UID MOVE completed
B> b9 CLOSE
B< b9 OK CLOSE completed
# One of the old name that is made anew is another: they start over, rightly.
A> e1 DELETE box
A< e1 OK DELETE completed
A> e2 CREATE box
A< e2 OK [MAILBOXID (F8)] CREATE completed
B> b10 SELECT box (QRESYNC ({{V}} 5 1:4))
B< * 0 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 1] Predicted next UID
B< * OK [HIGHESTMODSEQ 16] Highest
B< * OK [MAILBOXID (F8)] Object id
B< b10 OK [READ-WRITE] SELECT completed
