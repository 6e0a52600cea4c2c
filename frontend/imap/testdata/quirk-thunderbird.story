# Thunderbird.
message m
Subject: x

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
# Five connections that are kept, all with the same mailbox.
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
C> c1 LOGIN alice@example.org secret
C< * OK [CAPABILITY …] altmail ready
C< c1 OK [CAPABILITY …] Logged in
D> d1 LOGIN alice@example.org secret
D< * OK [CAPABILITY …] altmail ready
D< d1 OK [CAPABILITY …] Logged in
E> e1 LOGIN alice@example.org secret
E< * OK [CAPABILITY …] altmail ready
E< e1 OK [CAPABILITY …] Logged in
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
B> b2 SELECT INBOX
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 2] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b2 OK [READ-WRITE] SELECT completed
C> c2 SELECT INBOX
C< * 1 EXISTS
C< * n RECENT
C< * OK [UNSEEN 1] First unseen
C< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
C< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
C< * OK [UIDVALIDITY V] UIDs valid
C< * OK [UIDNEXT 2] Predicted next UID
C< * OK [HIGHESTMODSEQ 2] Highest
C< * OK [MAILBOXID (F1)] Object id
C< c2 OK [READ-WRITE] SELECT completed
D> d2 SELECT INBOX
D< * 1 EXISTS
D< * n RECENT
D< * OK [UNSEEN 1] First unseen
D< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
D< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
D< * OK [UIDVALIDITY V] UIDs valid
D< * OK [UIDNEXT 2] Predicted next UID
D< * OK [HIGHESTMODSEQ 2] Highest
D< * OK [MAILBOXID (F1)] Object id
D< d2 OK [READ-WRITE] SELECT completed
# Without CONDSTORE nothing it did not ask for is in a FETCH.
A> a4 UID STORE 1 +FLAGS (\Flagged)
A< * 1 FETCH (UID 1 FLAGS (\Flagged))
A< a4 OK UID STORE completed
B> b3 NOOP
B< * 1 FETCH (FLAGS (\Flagged))
B< b3 OK NOOP completed
B> b4 UID FETCH 1:* (FLAGS)
B< * 1 FETCH (UID 1 FLAGS (\Flagged))
B< b4 OK UID FETCH completed
# With it, what is new is told once, and the counts are those of the mailbox.
E> e2 SELECT INBOX (CONDSTORE)
E< * 1 EXISTS
E< * n RECENT
E< * OK [UNSEEN 1] First unseen
E< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
E< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
E< * OK [UIDVALIDITY V] UIDs valid
E< * OK [UIDNEXT 2] Predicted next UID
E< * OK [HIGHESTMODSEQ 3] Highest
E< * OK [MAILBOXID (F1)] Object id
E< e2 OK [READ-WRITE] SELECT completed
A> a5 APPEND INBOX {{m}}
A< * 2 EXISTS
A< * n RECENT
A< a5 OK [APPENDUID V 2] APPEND completed
A> a6 UID STORE 1 +FLAGS (\Seen)
A< * 1 FETCH (UID 1 FLAGS (\Flagged \Seen))
A< a6 OK UID STORE completed
E> e3 NOOP
E< * 2 EXISTS
E< * n RECENT
E< * 1 FETCH (UID 1 FLAGS (\Flagged \Seen) MODSEQ (5))
E< e3 OK NOOP completed
E> e4 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 2)
E< * 1 FETCH (UID 1 FLAGS (\Flagged \Seen) MODSEQ (5))
E< * 2 FETCH (UID 2 FLAGS () MODSEQ (4))
E< e4 OK UID FETCH completed
E> e5 STATUS INBOX (MESSAGES UNSEEN UIDNEXT)
E< * STATUS INBOX (MESSAGES 2 UNSEEN 1 UIDNEXT 3)
E< e5 OK STATUS completed
A> a7 APPEND Drafts {{m}}
A< a7 OK [APPENDUID V 1] APPEND completed
E> e6 STATUS Drafts (MESSAGES UNSEEN HIGHESTMODSEQ)
E< * STATUS Drafts (MESSAGES 1 UNSEEN 1 HIGHESTMODSEQ 6)
E< e6 OK STATUS completed
# It writes the separator behind the names of folders that hold others.
A> f1 CREATE Archive/2026/
A< f1 OK [MAILBOXID (F7)] CREATE completed
A> f2 SUBSCRIBE Archive/2026
A< f2 OK SUBSCRIBE completed
A> f3 LIST "" "Archive/%"
A< * LIST (\HasNoChildren) "/" Archive/2026
A< f3 OK LIST completed
A> f4 LIST "Archive/" "%"
A< * LIST (\HasNoChildren) "/" Archive/2026
A< f4 OK LIST completed
A> f5 LSUB "" "Archive/*"
A< * LSUB () "/" Archive/2026
A< f5 OK LSUB completed
A> f6 RENAME Archive/2026 Archive/2027/
A< f6 OK RENAME completed
A> f7 LIST "" "Archive*"
A< * LIST (\HasChildren \Archive) "/" Archive
A< * LIST (\HasNoChildren) "/" Archive/2027
A< f7 OK LIST completed
