message m1
From: a@example.org
Subject: one

hello
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
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
A> a3 APPEND INBOX (\Seen) {{m1}}
A< * 1 EXISTS
A< * n RECENT
A< a3 OK [APPENDUID V 1] APPEND completed
A> a4 APPEND INBOX {{m1}}
A< * 2 EXISTS
A< * n RECENT
A< a4 OK [APPENDUID V 2] APPEND completed
A> a5 SELECT inbox
A< * OK [CLOSED] Mailbox closed
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 3] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a5 OK [READ-WRITE] SELECT completed
A> a6 SELECT nosuch
A< * OK [CLOSED] Mailbox closed
A< a6 NO [NONEXISTENT] No such mailbox
A> a7 FETCH 1 FLAGS
A< a7 BAD No mailbox is selected
A> a8 EXAMINE INBOX (CONDSTORE)
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 3] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a8 OK [READ-ONLY] EXAMINE completed
A> a9 STORE 1 +FLAGS (\Deleted)
A< a9 NO [READ-ONLY] Mailbox is open read-only
A> b1 EXPUNGE
A< b1 NO [READ-ONLY] Mailbox is open read-only
A> b2 MOVE 1 Trash
A< b2 NO [READ-ONLY] Mailbox is open read-only
A> b3 CLOSE
A< b3 OK CLOSE completed
A> b4 CLOSE
A< b4 BAD No mailbox is selected
A> b5 SELECT INBOX
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 3] Highest
A< * OK [MAILBOXID (F1)] Object id
A< b5 OK [READ-WRITE] SELECT completed
A> b6 STORE 1 +FLAGS (\Deleted)
A< * 1 FETCH (UID 1 FLAGS (\Deleted \Seen) MODSEQ (4))
A< b6 OK STORE completed
A> b7 UNSELECT
A< b7 OK UNSELECT completed
A> b8 STATUS INBOX (MESSAGES DELETED)
A< * STATUS INBOX (MESSAGES 2 DELETED 1)
A< b8 OK STATUS completed
A> b9 SELECT INBOX
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< b9 OK [READ-WRITE] SELECT completed
A> c1 CLOSE
A< c1 OK CLOSE completed
A> c2 STATUS INBOX (MESSAGES DELETED UIDNEXT)
A< * STATUS INBOX (MESSAGES 1 DELETED 0 UIDNEXT 3)
A< c2 OK STATUS completed
# IMAP4rev2: no \Recent, but the name of the mailbox.
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
B> b2 ENABLE IMAP4rev2
B< * ENABLED IMAP4rev2
B< b2 OK ENABLE completed
B> b3 SELECT INBOX
B< * 1 EXISTS
B< * LIST () "/" INBOX
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 3] Predicted next UID
B< * OK [HIGHESTMODSEQ 5] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b3 OK [READ-WRITE] SELECT completed
