# An account that the operator suspended: nothing is changed any more, and
# nobody logs in.
message m
Subject: x

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{m}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 SELECT INBOX
A< * 1 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 2] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a3 OK [READ-WRITE] SELECT completed
store suspend
A> a4 APPEND INBOX {{m}}
A< a4 NO [NOPERM] Not permitted
A> a5 STORE 1 +FLAGS (\Seen)
A< a5 NO [NOPERM] Not permitted
A> a6 CREATE box
A< a6 NO [NOPERM] Not permitted
A> a7 FETCH 1 FLAGS
A< * 1 FETCH (FLAGS ())
A< a7 OK FETCH completed
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 NO [CONTACTADMIN] Account is suspended
