# K-9 Mail and Thunderbird for Android: any error in IDLE turns push off, and a
# login that is refused puts it off for an hour.
server connections 2
message m
Subject: x

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
# IDLE is allowed before a mailbox is selected.
A>> a2 IDLE
A? idling
A< + idling
A>> DONE
A? a2 OK
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
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
A>> a4 IDLE
A? idling
A< + idling
B> b2 APPEND INBOX {{m}}
B< b2 OK [APPENDUID V 1] APPEND completed
A? RECENT
A< * 1 EXISTS
A< * n RECENT
# What is deleted under an IDLE ends nothing.
B> b3 CREATE other
B< b3 OK [MAILBOXID (F7)] CREATE completed
B> b4 DELETE other
B< b4 OK DELETE completed
B> b5 SELECT INBOX
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 2] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b5 OK [READ-WRITE] SELECT completed
B> b6 UID STORE 1 +FLAGS.SILENT (\Deleted)
B< b6 OK UID STORE completed
B> b7 UID EXPUNGE 1
B< * 1 EXPUNGE
B< b7 OK UID EXPUNGE completed
A? EXPUNGE
A< * 1 FETCH (FLAGS (\Deleted))
A< * 1 EXPUNGE
A>> DONE
A? a4 OK
A< a4 OK IDLE completed
A> a5 NOOP
A< a5 OK NOOP completed
# Two connections are all this account may have. The phone's network changed: it
# has one left of before, says goodbye there, and is let in again at once.
B> b8 LOGOUT
B< * BYE Logging out
B< b8 OK LOGOUT completed
C> c1 LOGIN alice@example.org secret
C< * OK [CAPABILITY …] altmail ready
C< c1 OK [CAPABILITY …] Logged in
C> c2 EXAMINE INBOX
C< * 0 EXISTS
C< * n RECENT
C< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
C< * OK [PERMANENTFLAGS ()] Read-only
C< * OK [UIDVALIDITY V] UIDs valid
C< * OK [UIDNEXT 2] Predicted next UID
C< * OK [HIGHESTMODSEQ 6] Highest
C< * OK [MAILBOXID (F1)] Object id
C< c2 OK [READ-ONLY] EXAMINE completed
C>> c3 IDLE
C? idling
C< + idling
C>> DONE
C? c3 OK
C< c3 OK IDLE completed
