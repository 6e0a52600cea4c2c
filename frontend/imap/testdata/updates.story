# Two clients on one mailbox: what one does the other is told, when it may be.
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
A> a2 SELECT INBOX
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 1] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a2 OK [READ-WRITE] SELECT completed
B> b2 SELECT INBOX
B< * 0 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 1] Predicted next UID
B< * OK [HIGHESTMODSEQ 1] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b2 OK [READ-WRITE] SELECT completed
B> b3 APPEND INBOX {{m}}
B< * 1 EXISTS
B< * n RECENT
B< b3 OK [APPENDUID V 1] APPEND completed
B> b4 APPEND INBOX {{m}}
B< * 2 EXISTS
B< * n RECENT
B< b4 OK [APPENDUID V 2] APPEND completed
B> b5 APPEND INBOX {{m}}
B< * 3 EXISTS
B< * n RECENT
B< b5 OK [APPENDUID V 3] APPEND completed
A> a3 NOOP
A< * 3 EXISTS
A< * n RECENT
A< a3 OK NOOP completed
B> b6 STORE 1:3 +FLAGS (\Flagged)
B< * 1 FETCH (FLAGS (\Flagged))
B< * 2 FETCH (FLAGS (\Flagged))
B< * 3 FETCH (FLAGS (\Flagged))
B< b6 OK STORE completed
A> a4 NOOP
A< * 1 FETCH (FLAGS (\Flagged))
A< * 2 FETCH (FLAGS (\Flagged))
A< * 3 FETCH (FLAGS (\Flagged))
A< a4 OK NOOP completed
B> b7 STORE 2 +FLAGS.SILENT (\Deleted)
B< b7 OK STORE completed
B> b8 EXPUNGE
B< * 2 EXPUNGE
B< b8 OK EXPUNGE completed
# During FETCH, STORE and SEARCH no number may change.
A> a5 FETCH 1:3 (UID)
A< * 1 FETCH (UID 1)
A< * 3 FETCH (UID 3)
A< a5 NO [EXPUNGEISSUED] Some of the messages were expunged meanwhile
A> a6 STORE 2 +FLAGS (\Seen)
A< a6 NO [EXPUNGEISSUED] Some of the messages were expunged meanwhile
A> a7 SEARCH ALL
A< * SEARCH 1 3
A< a7 OK SEARCH completed
A> a8 COPY 1:2 Trash
A< * 2 EXPUNGE
A< a8 NO [EXPUNGEISSUED] Some of the messages were expunged meanwhile
A> a9 FETCH 1 FLAGS
A< * 1 FETCH (FLAGS (\Flagged))
A< a9 OK FETCH completed
# UID commands may tell.
B> b9 STORE 1 +FLAGS (\Deleted)
B< * 1 FETCH (FLAGS (\Flagged \Deleted))
B< b9 OK STORE completed
B> c1 EXPUNGE
B< * 1 EXPUNGE
B< c1 OK EXPUNGE completed
A> c2 UID FETCH 1:* FLAGS
A< * 2 FETCH (UID 3 FLAGS (\Flagged))
A< * 1 EXPUNGE
A< c2 OK UID FETCH completed
# A message that came and went before it was announced is never mentioned.
B> c3 APPEND INBOX {{m}}
B< * 2 EXISTS
B< * n RECENT
B< c3 OK [APPENDUID V 4] APPEND completed
B> c4 UID STORE 4 +FLAGS (\Deleted)
B< * 2 FETCH (UID 4 FLAGS (\Deleted))
B< c4 OK UID STORE completed
B> c5 UID EXPUNGE 4
B< * 2 EXPUNGE
B< c5 OK UID EXPUNGE completed
A> c6 NOOP
A< c6 OK NOOP completed
A> c7 UID FETCH 1:* UID
A< * 1 FETCH (UID 3)
A< c7 OK UID FETCH completed
# The selected mailbox is deleted by another client.
B> d1 CREATE gone
B< d1 OK [MAILBOXID (F7)] CREATE completed
A> d2 SELECT gone
A< * OK [CLOSED] Mailbox closed
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 13] Highest
A< * OK [MAILBOXID (F7)] Object id
A< d2 OK [READ-WRITE] SELECT completed
B> d3 DELETE gone
B< d3 OK DELETE completed
A> d4 NOOP
A< * BYE Selected mailbox is gone, connect again
A< (closed)
# And by itself.
B> e1 CREATE gone
B< e1 OK [MAILBOXID (F8)] CREATE completed
B> e2 SELECT gone
B< * OK [CLOSED] Mailbox closed
B< * 0 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 1] Predicted next UID
B< * OK [HIGHESTMODSEQ 15] Highest
B< * OK [MAILBOXID (F8)] Object id
B< e2 OK [READ-WRITE] SELECT completed
B> e3 DELETE gone
B< * OK [CLOSED] Selected mailbox was deleted
B< e3 OK DELETE completed
B> e4 FETCH 1 FLAGS
B< e4 BAD No mailbox is selected
B> e5 NOOP
B< e5 OK NOOP completed
