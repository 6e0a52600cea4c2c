# Apple Mail and iOS.
message m
Subject: hello

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
B> b2 APPEND INBOX {{m}}
B< b2 OK [APPENDUID V 1] APPEND completed
A> a2 SELECT INBOX
A< * 1 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 2] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a2 OK [READ-WRITE] SELECT completed
# It sends DONE and more at once, and does not wait for "+" either.
A>> a3 IDLE\r\nDONE\r\na4 NOOP\r\na5 IDLE\r\nDONE\r\na6 UID SEARCH 1:*
A? a6 OK
A< + idling
A< a3 OK IDLE completed
A< a4 OK NOOP completed
A< + idling
A< a5 OK IDLE completed
A< * SEARCH 1
A< a6 OK UID SEARCH completed
A>> a7 IDLE
A? idling
A< + idling
B> b3 APPEND INBOX {{m}}
B< b3 OK [APPENDUID V 2] APPEND completed
A? RECENT
A< * 2 EXISTS
A< * n RECENT
A>> DONE\r\na8 UID FETCH 2:* (FLAGS UID)\r\na9 IDLE
A? idling
A< a7 OK IDLE completed
A< * 2 FETCH (FLAGS () UID 2)
A< a8 OK UID FETCH completed
A< + idling
A>> DONE
A? a9 OK
A< a9 OK IDLE completed
# ESEARCH has what was asked for and nothing else.
A> c1 UID SEARCH RETURN (ALL) UNSEEN
A< * ESEARCH (TAG "c1") UID ALL 1:2
A< c1 OK UID SEARCH completed
A> c2 UID SEARCH RETURN (MIN MAX) UNSEEN
A< * ESEARCH (TAG "c2") UID MIN 1 MAX 2
A< c2 OK UID SEARCH completed
A> c3 UID SEARCH RETURN (COUNT) FLAGGED
A< * ESEARCH (TAG "c3") UID COUNT 0
A< c3 OK UID SEARCH completed
A> c4 UID SEARCH RETURN () UNSEEN
A< * ESEARCH (TAG "c4") UID ALL 1:2
A< c4 OK UID SEARCH completed
# It searches ten to fifteen times when it changes the mailbox.
A>> d1 UID SEARCH UNSEEN\r\nd2 UID SEARCH SEEN\r\nd3 UID SEARCH FLAGGED\r\nd4 UID SEARCH UNFLAGGED\r\nd5 UID SEARCH DELETED\r\nd6 UID SEARCH UNDELETED\r\nd7 UID SEARCH ANSWERED\r\nd8 UID SEARCH DRAFT\r\nd9 UID SEARCH KEYWORD $Junk\r\nd10 UID SEARCH 1:*\r\nd11 UID SEARCH SINCE 1-Jan-2020\r\nd12 UID SEARCH SUBJECT hello\r\nd13 UID SEARCH NOT SUBJECT hello\r\nd14 UID SEARCH LARGER 1\r\nd15 UID SEARCH ALL
A? d15 OK
A< * SEARCH 1 2
A< d1 OK UID SEARCH completed
A< * SEARCH
A< d2 OK UID SEARCH completed
A< * SEARCH
A< d3 OK UID SEARCH completed
A< * SEARCH 1 2
A< d4 OK UID SEARCH completed
A< * SEARCH
A< d5 OK UID SEARCH completed
A< * SEARCH 1 2
A< d6 OK UID SEARCH completed
A< * SEARCH
A< d7 OK UID SEARCH completed
A< * SEARCH
A< d8 OK UID SEARCH completed
A< * SEARCH
A< d9 OK UID SEARCH completed
A< * SEARCH 1 2
A< d10 OK UID SEARCH completed
A< * SEARCH 1 2
A< d11 OK UID SEARCH completed
A< * SEARCH 1 2
A< d12 OK UID SEARCH completed
A< * SEARCH
A< d13 OK UID SEARCH completed
A< * SEARCH 1 2
A< d14 OK UID SEARCH completed
A< * SEARCH 1 2
A< d15 OK UID SEARCH completed
# It does not look at what the first LIST says of uses, and makes its own.
A> e1 LIST "" "%"
A< * LIST (\HasNoChildren) "/" INBOX
A< * LIST (\HasNoChildren \Archive) "/" Archive
A< * LIST (\HasNoChildren \Drafts) "/" Drafts
A< * LIST (\HasNoChildren \Junk) "/" Junk
A< * LIST (\HasNoChildren \Sent) "/" Sent
A< * LIST (\HasNoChildren \Trash) "/" Trash
A< e1 OK LIST completed
A> e2 CREATE "Sent Messages"
A< e2 OK [MAILBOXID (F7)] CREATE completed
A> e3 CREATE "Deleted Messages"
A< e3 OK [MAILBOXID (F8)] CREATE completed
A> e4 APPEND "Sent Messages" (\Seen) {{m}}
A< e4 OK [APPENDUID V 1] APPEND completed
A> e5 UID MOVE 1 "Deleted Messages"
A< * OK [COPYUID V 1 1] Moved
A< * 1 EXPUNGE
A< e5 OK UID MOVE completed
A> e6 LIST "" "*Messages"
A< * LIST (\HasNoChildren) "/" "Deleted Messages"
A< * LIST (\HasNoChildren) "/" "Sent Messages"
A< e6 OK LIST completed
A> e7 LIST (SPECIAL-USE) "" "*"
A< * LIST (\HasNoChildren \Archive) "/" Archive
A< * LIST (\HasNoChildren \Drafts) "/" Drafts
A< * LIST (\HasNoChildren \Junk) "/" Junk
A< * LIST (\HasNoChildren \Sent) "/" Sent
A< * LIST (\HasNoChildren \Trash) "/" Trash
A< e7 OK LIST completed
