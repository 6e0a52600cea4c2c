# A server without a quorum whose operator lets old mail be read: a mailbox can
# be opened, and its client is told what that is worth.
server impatient
server stalereads
message m
Subject: x

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{m}}
A< a2 OK [APPENDUID V 1] APPEND completed
store unavailable
A> a3 SELECT INBOX
A< * 1 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 2] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< * OK [ALERT] This server is cut off from the others: what it shows may be old, and nothing can be changed
A< a3 OK [READ-ONLY] SELECT completed
A> a4 FETCH 1 (FLAGS BODY.PEEK[TEXT])
A< * 1 FETCH (FLAGS () BODY[TEXT] {3}
A| x
A| )
A< a4 OK FETCH completed
A> b1 STORE 1 +FLAGS (\Seen)
A< b1 NO [READ-ONLY] Mailbox is open read-only
store available
A> a5 SELECT INBOX
A< * OK [CLOSED] Mailbox closed
A< * 1 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 2] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a5 OK [READ-WRITE] SELECT completed
