# Names are modified UTF-7 until UTF-8 is enabled (go-imap's server mixed the two).
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 CREATE "Entw&APw-rfe &- mehr"
A< a2 OK [MAILBOXID (F7)] CREATE completed
A> a3 LIST "" "Entw*"
A< * LIST (\HasNoChildren) "/" "Entw&APw-rfe &- mehr"
A< a3 OK LIST completed
A> a4 CREATE "R&D"
A< a4 BAD Mailbox name is not in modified UTF-7
A> a5 ENABLE UTF8=ACCEPT
A< * ENABLED UTF8=ACCEPT
A< a5 OK ENABLE completed
A> a6 LIST "" "Entw*"
A< * LIST (\HasNoChildren) "/" "Entwürfe & mehr"
A< a6 OK LIST completed
A> a7 SELECT "Entwürfe & mehr"
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F7)] Object id
A< a7 OK [READ-WRITE] SELECT completed
A> a8 CREATE "Tom & Jerry"
A< a8 OK [MAILBOXID (F8)] CREATE completed
A> a9 CREATE "R&D"
A< a9 OK [MAILBOXID (F9)] CREATE completed
A> b1 LIST "" "R*"
A< * LIST (\HasNoChildren) "/" R&D
A< b1 OK LIST completed
A> b2 STATUS "Tom & Jerry" (MESSAGES)
A< * STATUS "Tom & Jerry" (MESSAGES 0)
A< b2 OK STATUS completed
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
B> b2 LIST "" "R*"
B< * LIST (\HasNoChildren) "/" R&-D
B< b2 OK LIST completed
B> b3 STATUS "R&-D" (MESSAGES)
B< * STATUS R&-D (MESSAGES 0)
B< b3 OK STATUS completed
