# RFC 8437.
A> a1 UNAUTHENTICATE
A< * OK [CAPABILITY …] altmail ready
A< a1 BAD Log in first
A> a2 LOGIN alice@example.org secret
A< a2 OK [CAPABILITY …] Logged in
A> a3 ENABLE IMAP4rev2 QRESYNC
A< * ENABLED IMAP4rev2 QRESYNC
A< a3 OK ENABLE completed
A> a4 CREATE Gräs
A< a4 OK [MAILBOXID (F7)] CREATE completed
A> a5 SELECT Gräs
A< * 0 EXISTS
A< * LIST () "/" "Gräs"
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F7)] Object id
A< a5 OK [READ-WRITE] SELECT completed
A> a6 UNAUTHENTICATE x
A< a6 BAD Unexpected text at the end
A> a7 UNAUTHENTICATE
A< a7 OK [CAPABILITY …] UNAUTHENTICATE completed
A> a8 NOOP
A< a8 OK NOOP completed
A> a9 FETCH 1 FLAGS
A< a9 BAD Log in first
A> b1 LIST "" *
A< b1 BAD Log in first
# Nothing of the first user's is left.
A> b2 LOGIN bob@example.org secret
A< b2 OK [CAPABILITY …] Logged in
A> b3 LIST "" *
A< * LIST (\HasNoChildren) "/" INBOX
A< * LIST (\HasNoChildren \Archive) "/" Archive
A< * LIST (\HasNoChildren \Drafts) "/" Drafts
A< * LIST (\HasNoChildren \Junk) "/" Junk
A< * LIST (\HasNoChildren \Sent) "/" Sent
A< * LIST (\HasNoChildren \Trash) "/" Trash
A< b3 OK LIST completed
A> b4 CREATE &AOU-
A< b4 OK [MAILBOXID (F7)] CREATE completed
A> b5 LIST "" &AOU-
A< * LIST (\HasNoChildren) "/" &AOU-
A< b5 OK LIST completed
A> b6 SELECT INBOX
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 1] Highest
A< * OK [MAILBOXID (F1)] Object id
A< b6 OK [READ-WRITE] SELECT completed
A> b7 UNAUTHENTICATE
A< b7 OK [CAPABILITY …] UNAUTHENTICATE completed
A> b8 LOGIN alice@example.org secret
A< b8 OK [CAPABILITY …] Logged in
A> b9 LIST "" Gr*
A< * LIST (\HasNoChildren) "/" Gr&AOQ-s
A< b9 OK LIST completed
B> c1 LOGIN bob@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< c1 OK [CAPABILITY …] Logged in
B> c2 UNAUTHENTICATE
B< c2 OK [CAPABILITY …] UNAUTHENTICATE completed
B> c3 LOGIN bob@example.org wrong
B< c3 NO [AUTHENTICATIONFAILED] Wrong user or password
B> c4 LOGIN bob@example.org wrong
B< c4 NO [AUTHENTICATIONFAILED] Wrong user or password
B> c5 LOGIN bob@example.org wrong
B< c5 NO [AUTHENTICATIONFAILED] Wrong user or password
