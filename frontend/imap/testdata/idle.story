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
A> a2 IDLE
A< + idling
A>> done
A? a2
A< a2 OK IDLE completed
A> a3 SELECT INBOX
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 1] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a3 OK [READ-WRITE] SELECT completed
A> a4 IDLE
A< + idling
B> b2 APPEND INBOX {{m}}
B< b2 OK [APPENDUID V 1] APPEND completed
A? RECENT
A< * 1 EXISTS
A< * n RECENT
B> b3 SELECT INBOX
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 2] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b3 OK [READ-WRITE] SELECT completed
B> b4 STORE 1 +FLAGS (\Deleted $Junk)
B< * 1 FETCH (FLAGS (\Deleted $Junk))
B< b4 OK STORE completed
A? FETCH
A< * 1 FETCH (FLAGS (\Deleted $Junk))
B> b5 EXPUNGE
B< * 1 EXPUNGE
B< b5 OK EXPUNGE completed
A? EXPUNGE
A< * 1 EXPUNGE
A>> DONE
A? a4
A< a4 OK IDLE completed
# Pipelined behind DONE, as phones do.
A> a5 IDLE
A< + idling
A>> DONE\r\na6 NOOP\r\na7 IDLE\r\nDone\r\na8 NOOP
A? a8
A< a5 OK IDLE completed
A< a6 OK NOOP completed
A< + idling
A< a7 OK IDLE completed
A< a8 OK NOOP completed
A> a9 IDLE
A< + idling
A>> x1 NOOP
A? a9
A< a9 BAD Expected DONE
A> b1 NOOP
A< b1 OK NOOP completed
