# mutt and neomutt, with their header cache and QRESYNC.
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
A> a2 APPEND INBOX ($label work) {{m}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX (\Seen) {{m}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND INBOX {{m}}
A< a4 OK [APPENDUID V 3] APPEND completed
A> a5 ENABLE QRESYNC
A< * ENABLED QRESYNC
A< a5 OK ENABLE completed
A> a6 SELECT INBOX
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a6 OK [READ-WRITE] SELECT completed
A> a7 CLOSE
A< a7 OK CLOSE completed
# Keywords come with QRESYNC as without: FLAGS has them first.
B> b2 SELECT INBOX
B< * 3 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 4] Predicted next UID
B< * OK [HIGHESTMODSEQ 4] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b2 OK [READ-WRITE] SELECT completed
B> b3 UID STORE 1 -FLAGS.SILENT (work)
B< b3 OK UID STORE completed
B> b4 UID STORE 2 +FLAGS.SILENT (another)
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work another)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work another \*)] Permitted
B< b4 OK UID STORE completed
B> b5 UID STORE 3 +FLAGS.SILENT (\Deleted)
B< b5 OK UID STORE completed
B> b6 EXPUNGE
B< * 3 EXPUNGE
B< b6 OK EXPUNGE completed
A> a8 SELECT INBOX (QRESYNC ({{V}} 4 1:3))
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work another)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work another \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 8] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 3
A< * 1 FETCH (UID 1 FLAGS ($label) MODSEQ (5))
A< * 2 FETCH (UID 2 FLAGS (\Seen another) MODSEQ (6))
A< a8 OK [READ-WRITE] SELECT completed
A> a9 UID FETCH 1:* (FLAGS)
A< * 1 FETCH (UID 1 FLAGS ($label))
A< * 2 FETCH (UID 2 FLAGS (\Seen another))
A< a9 OK UID FETCH completed
# The mailbox is changed by others: it is told between commands, in order.
B> b7 APPEND INBOX {{m}}
B< * 3 EXISTS
B< * n RECENT
B< b7 OK [APPENDUID V 4] APPEND completed
B> b8 UID STORE 2 +FLAGS.SILENT (\Deleted)
B< b8 OK UID STORE completed
B> b9 EXPUNGE
B< * 2 EXPUNGE
B< b9 OK EXPUNGE completed
A> c1 NOOP
A< * 3 EXISTS
A< * n RECENT
A< * VANISHED 2
A< c1 OK NOOP completed
A> c2 UID FETCH 1:* (UID FLAGS)
A< * 1 FETCH (UID 1 FLAGS ($label))
A< * 2 FETCH (UID 4 FLAGS ())
A< c2 OK UID FETCH completed
# A SELECT that fails leaves nothing selected: what follows cannot be taken for
# the mailbox of before.
A> d1 SELECT nowhere
A< * OK [CLOSED] Mailbox closed
A< d1 NO [NONEXISTENT] No such mailbox
A> d2 UID FETCH 1:* (FLAGS)
A< d2 BAD No mailbox is selected
A> d3 SELECT INBOX (QRESYNC ({{V}} 4))
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work another)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work another \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 5] Predicted next UID
A< * OK [HIGHESTMODSEQ 11] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * VANISHED (EARLIER) 2:3
A< * 1 FETCH (UID 1 FLAGS ($label) MODSEQ (5))
A< * 2 FETCH (UID 4 FLAGS () MODSEQ (9))
A< d3 OK [READ-WRITE] SELECT completed
# A header cache of another UIDVALIDITY gets the mailbox whole.
A> d4 SELECT INBOX (QRESYNC (1 4 1:3))
A< * OK [CLOSED] Mailbox closed
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work another)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing $label work another \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 5] Predicted next UID
A< * OK [HIGHESTMODSEQ 11] Highest
A< * OK [MAILBOXID (F1)] Object id
A< d4 OK [READ-WRITE] SELECT completed
