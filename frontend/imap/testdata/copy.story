message m
Subject: x

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX (\Seen) {{m}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX (\Flagged) {{m}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND INBOX {{m}}
A< a4 OK [APPENDUID V 3] APPEND completed
A> a5 SELECT INBOX
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a5 OK [READ-WRITE] SELECT completed
A> b1 COPY 1:2 Archive
A< b1 OK [COPYUID V 1:2 1:2] COPY completed
A> b2 UID COPY 1:99 Trash
A< b2 OK [COPYUID V 1:3 1:3] UID COPY completed
A> b3 COPY 1 nosuch
A< b3 NO [TRYCREATE] No such mailbox
A> b4 UID COPY 99 Trash
A< b4 OK UID COPY completed
A> b5 COPY 1 INBOX
A< * 4 EXISTS
A< * n RECENT
A< b5 OK [COPYUID V 1 4] COPY completed
A> b6 MOVE 2 Trash
A< * OK [COPYUID V 2 4] Moved
A< * 2 EXPUNGE
A< b6 OK MOVE completed
A> b7 UID MOVE 3:* Archive
A< * OK [COPYUID V 3:4 3:4] Moved
A< * 3 EXPUNGE
A< * 2 EXPUNGE
A< b7 OK UID MOVE completed
A> b8 MOVE 1 nosuch
A< b8 NO [TRYCREATE] No such mailbox
A> b9 UID MOVE 99 Trash
A< b9 OK UID MOVE completed
A> c1 FETCH 1:* (UID FLAGS)
A< * 1 FETCH (UID 1 FLAGS (\Seen))
A< c1 OK FETCH completed
A> c2 STATUS Archive (MESSAGES UIDNEXT)
A< * STATUS Archive (MESSAGES 4 UIDNEXT 5)
A< c2 OK STATUS completed
A> c3 STATUS Trash (MESSAGES UIDNEXT)
A< * STATUS Trash (MESSAGES 4 UIDNEXT 5)
A< c3 OK STATUS completed
A> c4 COPY 9 Trash
A< c4 BAD No message has that sequence number
