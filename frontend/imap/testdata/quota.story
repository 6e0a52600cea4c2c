# RFC 9208. An account without limits has no quota root.
message m
Subject: x

x
.
A> a1 GETQUOTA ""
A< * OK [CAPABILITY …] altmail ready
A< a1 BAD Log in first
A> a2 LOGIN alice@example.org secret
A< a2 OK [CAPABILITY …] Logged in
A> a3 GETQUOTAROOT INBOX
A< * QUOTAROOT INBOX
A< a3 OK GETQUOTAROOT completed
A> a4 GETQUOTA ""
A< a4 NO [NONEXISTENT] No such quota root
store quota 4000
A> b1 GETQUOTAROOT INBOX
A< * QUOTAROOT INBOX ""
A< * QUOTA "" (STORAGE 0 3)
A< b1 OK GETQUOTAROOT completed
A> b2 GETQUOTAROOT "not there"
A< * QUOTAROOT "not there" ""
A< * QUOTA "" (STORAGE 0 3)
A< b2 OK GETQUOTAROOT completed
A> b3 GETQUOTA ""
A< * QUOTA "" (STORAGE 0 3)
A< b3 OK GETQUOTA completed
A> b4 GETQUOTA "other"
A< b4 NO [NONEXISTENT] No such quota root
A> b5 GETQUOTA NIL
A< b5 NO [NONEXISTENT] No such quota root
A> b6 APPEND INBOX {{m}}
A< b6 OK [APPENDUID V 1] APPEND completed
A> b7 GETQUOTA {0+}\r\n
A< * QUOTA "" (STORAGE 1 3)
A< b7 OK GETQUOTA completed
store quota 0 3
A> c1 GETQUOTA ""
A< * QUOTA "" (MESSAGE 1 3)
A< c1 OK GETQUOTA completed
store quota 4000 3
A> c2 APPEND INBOX (\Deleted) {{m}}
A< c2 OK [APPENDUID V 2] APPEND completed
A> c3 getquotaroot inbox
A< * QUOTAROOT INBOX ""
A< * QUOTA "" (STORAGE 1 3 MESSAGE 2 3)
A< c3 OK GETQUOTAROOT completed
A> c4 STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)
A< * STATUS INBOX (MESSAGES 2 DELETED 1 DELETED-STORAGE 17)
A< c4 OK STATUS completed
A> c5 LIST "" INBOX RETURN (STATUS (DELETED DELETED-STORAGE))
A< * LIST (\HasNoChildren) "/" INBOX
A< * STATUS INBOX (DELETED 1 DELETED-STORAGE 17)
A< c5 OK LIST completed
# Full: everything that adds a message says so.
A> d1 APPEND INBOX {{m}}
A< d1 OK [APPENDUID V 3] APPEND completed
A> d2 APPEND INBOX {{m}}
A< d2 NO [OVERQUOTA] Account is over its quota
A> d3 SELECT INBOX
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< d3 OK [READ-WRITE] SELECT completed
A> d4 COPY 1 Trash
A< d4 NO [OVERQUOTA] Account is over its quota
A> d5 UID COPY 1 Trash
A< d5 NO [OVERQUOTA] Account is over its quota
A> d6 MOVE 1 Trash
A< * OK [COPYUID V 1 1] Moved
A< * 1 EXPUNGE
A< d6 OK MOVE completed
A> d7 GETQUOTA ""
A< * QUOTA "" (STORAGE 1 3 MESSAGE 3 3)
A< d7 OK GETQUOTA completed
store quota 1 1
A> d8 GETQUOTA ""
A< * QUOTA "" (STORAGE 1 0 MESSAGE 3 1)
A< d8 OK GETQUOTA completed
A> d9 EXPUNGE
A< * 1 EXPUNGE
A< d9 OK EXPUNGE completed
A> e1 GETQUOTA ""
A< * QUOTA "" (STORAGE 1 0 MESSAGE 2 1)
A< e1 OK GETQUOTA completed
# The limits are the operator's.
A> f1 SETQUOTA "" (STORAGE 512)
A< f1 NO [NOPERM] Quotas are set by the operator
A> f2 SETQUOTA "" ()
A< f2 NO [NOPERM] Quotas are set by the operator
A> f3 SETQUOTA "" (STORAGE)
A< f3 BAD Expected a space
A> f4 SETQUOTA "" STORAGE 512
A< f4 BAD Expected "("
A> f5 SETQUOTA "" (STORAGE -1)
A< f5 BAD Expected a number
# Errors.
A> g1 GETQUOTA
A< g1 BAD Expected a space
A> g2 GETQUOTA "" x
A< g2 BAD Unexpected text at the end
A> g3 GETQUOTAROOT
A< g3 BAD Expected a space
A> g4 GETQUOTAROOT INBOX x
A< g4 BAD Unexpected text at the end
A> g5 GETQUOTA (x)
A< g5 BAD Expected a string
