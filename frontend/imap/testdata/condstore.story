# RFC 7162.
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
A> a2 APPEND INBOX {{m}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX {{m}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND INBOX {{m}}
A< a4 OK [APPENDUID V 3] APPEND completed
A> a5 SELECT INBOX
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a5 OK [READ-WRITE] SELECT completed
A> a6 FETCH 1 (FLAGS MODSEQ)
A< * OK [HIGHESTMODSEQ 4] Highest
A< * 1 FETCH (FLAGS () MODSEQ (2))
A< a6 OK FETCH completed
B> b2 SELECT INBOX
B< * 3 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 4] Predicted next UID
B< * OK [HIGHESTMODSEQ 4] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b2 OK [READ-WRITE] SELECT completed
B> b3 STORE 2 +FLAGS (\Flagged)
B< * 2 FETCH (FLAGS (\Flagged))
B< b3 OK STORE completed
A> a7 STORE 1:3 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\Seen)
A< * 2 FETCH (UID 2 FLAGS (\Flagged) MODSEQ (5))
A< * 1 FETCH (UID 1 MODSEQ (6))
A< * 3 FETCH (UID 3 MODSEQ (6))
A< a7 OK [MODIFIED 2] Conditional STORE failed for some
A> a8 UID STORE 1:3 (UNCHANGEDSINCE 1) +FLAGS (\Answered)
A< * 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (6))
A< * 2 FETCH (UID 2 FLAGS (\Flagged) MODSEQ (5))
A< * 3 FETCH (UID 3 FLAGS (\Seen) MODSEQ (6))
A< a8 OK [MODIFIED 1:3] Conditional STORE failed for some
A> a9 STORE 1 (UNCHANGEDSINCE 0) +FLAGS (\Answered)
A< * 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (6))
A< a9 OK [MODIFIED 1] Conditional STORE failed for some
A> c1 FETCH 1:* (FLAGS) (CHANGEDSINCE 5)
A< * 1 FETCH (FLAGS (\Seen) MODSEQ (6))
A< * 3 FETCH (FLAGS (\Seen) MODSEQ (6))
A< c1 OK FETCH completed
A> c2 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 5)
A< * 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (6))
A< * 3 FETCH (UID 3 FLAGS (\Seen) MODSEQ (6))
A< c2 OK UID FETCH completed
A> c3 SEARCH MODSEQ 6
A< * SEARCH 1 3 (MODSEQ 6)
A< c3 OK SEARCH completed
A> c4 SEARCH RETURN (MIN COUNT) MODSEQ 1
A< * ESEARCH (TAG "c4") MIN 1 COUNT 3 MODSEQ 6
A< c4 OK SEARCH completed
A> c5 UID SEARCH RETURN (MIN) MODSEQ 1
A< * ESEARCH (TAG "c5") UID MIN 1 MODSEQ 6
A< c5 OK UID SEARCH completed
A> c6 SEARCH MODSEQ "/flags/\\draft" all 999
A< * SEARCH
A< c6 OK SEARCH completed
A> c7 FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)
A< c7 BAD VANISHED is for UID FETCH
B> b4 STATUS INBOX (HIGHESTMODSEQ MESSAGES)
B< * 1 FETCH (FLAGS (\Seen))
B< * 3 FETCH (FLAGS (\Seen))
B< * OK [HIGHESTMODSEQ 6] Highest
B< * STATUS INBOX (HIGHESTMODSEQ 6 MESSAGES 3)
B< b4 OK STATUS completed
B> b5 STORE 3 +FLAGS (\Deleted)
B< * 3 FETCH (UID 3 FLAGS (\Deleted \Seen) MODSEQ (7))
B< b5 OK STORE completed
B> b6 EXPUNGE
B< * 3 EXPUNGE
B< b6 OK [HIGHESTMODSEQ 8] EXPUNGE completed
A> d1 NOOP
A< * 3 EXPUNGE
A< d1 OK NOOP completed
A> d2 STATUS INBOX (HIGHESTMODSEQ)
A< * STATUS INBOX (HIGHESTMODSEQ 8)
A< d2 OK STATUS completed
