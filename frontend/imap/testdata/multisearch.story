# RFC 7377: one search in several mailboxes.
message one
Subject: apple

pear
.
message two
Subject: pear

plum
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 CREATE work
A< a2 OK [MAILBOXID (F7)] CREATE completed
A> a3 CREATE work/2025
A< a3 OK [MAILBOXID (F8)] CREATE completed
A> a4 CREATE work/2025/may
A< a4 OK [MAILBOXID (F9)] CREATE completed
A> a6 CREATE "home &AOU-"
A< a6 OK [MAILBOXID (F10)] CREATE completed
A> a7 APPEND INBOX {{one}} {{two}} {{one}}
A< a7 OK [APPENDUID V 1:3] APPEND completed
A> a8 APPEND work (\Seen) {{two}}
A< a8 OK [APPENDUID V 1] APPEND completed
A> a9 APPEND work {{one}}
A< a9 OK [APPENDUID V 2] APPEND completed
A> b1 APPEND work/2025 {{one}} {{one}}
A< b1 OK [APPENDUID V 1:2] APPEND completed
A> b2 APPEND work/2025/may (\Flagged) {{one}}
A< b2 OK [APPENDUID V 1] APPEND completed
A> b3 APPEND "home &AOU-" {{one}} {{two}}
A< b3 OK [APPENDUID V 1:2] APPEND completed
A> b4 SUBSCRIBE work/2025
A< b4 OK SUBSCRIBE completed
A> b5 SUBSCRIBE nowhere
A< b5 OK SUBSCRIBE completed
# Nothing needs to be selected.
A> c1 ESEARCH IN (personal) SUBJECT apple
A< * ESEARCH (TAG "c1" MAILBOX INBOX UIDVALIDITY V) UID ALL 1,3
A< * ESEARCH (TAG "c1" MAILBOX "home &AOU-" UIDVALIDITY V) UID ALL 1
A< * ESEARCH (TAG "c1" MAILBOX work UIDVALIDITY V) UID ALL 2
A< * ESEARCH (TAG "c1" MAILBOX work/2025 UIDVALIDITY V) UID ALL 1:2
A< * ESEARCH (TAG "c1" MAILBOX work/2025/may UIDVALIDITY V) UID ALL 1
A< c1 OK ESEARCH completed
A> c2 ESEARCH IN (inboxes) RETURN (COUNT) SUBJECT apple
A< * ESEARCH (TAG "c2" MAILBOX INBOX UIDVALIDITY V) UID COUNT 2
A< * ESEARCH (TAG "c2" MAILBOX "home &AOU-" UIDVALIDITY V) UID COUNT 1
A< * ESEARCH (TAG "c2" MAILBOX work UIDVALIDITY V) UID COUNT 1
A< * ESEARCH (TAG "c2" MAILBOX work/2025 UIDVALIDITY V) UID COUNT 2
A< * ESEARCH (TAG "c2" MAILBOX work/2025/may UIDVALIDITY V) UID COUNT 1
A< c2 OK ESEARCH completed
A> c3 ESEARCH IN (subscribed) RETURN (MIN MAX ALL COUNT) ALL
A< * ESEARCH (TAG "c3" MAILBOX INBOX UIDVALIDITY V) UID MIN 1 MAX 3 ALL 1:3 COUNT 3
A< * ESEARCH (TAG "c3" MAILBOX work/2025 UIDVALIDITY V) UID MIN 1 MAX 2 ALL 1:2 COUNT 2
A< c3 OK ESEARCH completed
A> c4 ESEARCH IN (subtree work) ALL
A< * ESEARCH (TAG "c4" MAILBOX work UIDVALIDITY V) UID ALL 1:2
A< * ESEARCH (TAG "c4" MAILBOX work/2025 UIDVALIDITY V) UID ALL 1:2
A< * ESEARCH (TAG "c4" MAILBOX work/2025/may UIDVALIDITY V) UID ALL 1
A< c4 OK ESEARCH completed
A> c5 ESEARCH IN (subtree-one work) ALL
A< * ESEARCH (TAG "c5" MAILBOX work UIDVALIDITY V) UID ALL 1:2
A< * ESEARCH (TAG "c5" MAILBOX work/2025 UIDVALIDITY V) UID ALL 1:2
A< c5 OK ESEARCH completed
A> c6 ESEARCH IN (subtree (work/2025 "home &AOU-") mailboxes inbox) RETURN (COUNT) ALL
A< * ESEARCH (TAG "c6" MAILBOX INBOX UIDVALIDITY V) UID COUNT 3
A< * ESEARCH (TAG "c6" MAILBOX "home &AOU-" UIDVALIDITY V) UID COUNT 2
A< * ESEARCH (TAG "c6" MAILBOX work/2025 UIDVALIDITY V) UID COUNT 2
A< * ESEARCH (TAG "c6" MAILBOX work/2025/may UIDVALIDITY V) UID COUNT 1
A< c6 OK ESEARCH completed
A> c7 ESEARCH IN (mailboxes (work work INBOX)) TEXT plum
A< * ESEARCH (TAG "c7" MAILBOX INBOX UIDVALIDITY V) UID ALL 2
A< * ESEARCH (TAG "c7" MAILBOX work UIDVALIDITY V) UID ALL 1
A< c7 OK ESEARCH completed
# Where nothing is found, nothing is told; what does not exist is passed over.
A> d1 ESEARCH IN (personal) SUBJECT banana
A< d1 OK ESEARCH completed
A> d2 ESEARCH IN (mailboxes (nosuch Trash)) ALL
A< d2 OK ESEARCH completed
A> d3 ESEARCH IN (personal) RETURN (COUNT MIN) FLAGGED
A< * ESEARCH (TAG "d3" MAILBOX work/2025/may UIDVALIDITY V) UID MIN 1 COUNT 1
A< d3 OK ESEARCH completed
A> d4 ESEARCH IN (personal) UID *
A< * ESEARCH (TAG "d4" MAILBOX INBOX UIDVALIDITY V) UID ALL 3
A< * ESEARCH (TAG "d4" MAILBOX "home &AOU-" UIDVALIDITY V) UID ALL 2
A< * ESEARCH (TAG "d4" MAILBOX work UIDVALIDITY V) UID ALL 2
A< * ESEARCH (TAG "d4" MAILBOX work/2025 UIDVALIDITY V) UID ALL 2
A< * ESEARCH (TAG "d4" MAILBOX work/2025/may UIDVALIDITY V) UID ALL 1
A< d4 OK ESEARCH completed
A> d5 ESEARCH IN (mailboxes work) RETURN (PARTIAL -1:-1) ALL
A< * ESEARCH (TAG "d5" MAILBOX work UIDVALIDITY V) UID PARTIAL (-1:-1 2)
A< d5 OK ESEARCH completed
A> d6 ESEARCH IN (personal) RETURN (COUNT) MODSEQ 1
A< * ESEARCH (TAG "d6" MAILBOX INBOX UIDVALIDITY V) UID COUNT 3 MODSEQ 6
A< * ESEARCH (TAG "d6" MAILBOX "home &AOU-" UIDVALIDITY V) UID COUNT 2 MODSEQ 11
A< * ESEARCH (TAG "d6" MAILBOX work UIDVALIDITY V) UID COUNT 2 MODSEQ 8
A< * ESEARCH (TAG "d6" MAILBOX work/2025 UIDVALIDITY V) UID COUNT 2 MODSEQ 9
A< * ESEARCH (TAG "d6" MAILBOX work/2025/may UIDVALIDITY V) UID COUNT 1 MODSEQ 10
A< d6 OK ESEARCH completed
# What is of the selected mailbox alone.
A> e1 ESEARCH ALL
A< e1 BAD No mailbox is selected
A> e2 ESEARCH IN (selected) ALL
A< e2 BAD No mailbox is selected
A> e3 ESEARCH IN (selected personal) ALL
A< e3 BAD No mailbox is selected
A> e4 ESEARCH IN (personal) RETURN (SAVE) ALL
A< e4 BAD SAVE is for the selected mailbox
A> e5 ESEARCH IN (personal) 1:*
A< e5 BAD Only UIDs mean anything in several mailboxes
A> e6 ESEARCH IN (personal) $
A< e6 BAD Only UIDs mean anything in several mailboxes
A> e7 ESEARCH IN (personal) RETURN (ALL UPDATE) FLAGGED
A< * NO [NOUPDATE "e7"] Only for the selected mailbox
A< * ESEARCH (TAG "e7" MAILBOX work/2025/may UIDVALIDITY V) UID ALL 1
A< e7 OK ESEARCH completed
A> e8 ESEARCH IN (personal) CHARSET NOSUCH SUBJECT x
A< e8 NO [BADCHARSET (US-ASCII UTF-8)] Charset is not known
# Selected.
A> f1 EXAMINE work
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 2] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 8] Highest
A< * OK [MAILBOXID (F7)] Object id
A< f1 OK [READ-ONLY] EXAMINE completed
A> f2 ESEARCH ALL
A< * ESEARCH (TAG "f2" MAILBOX work UIDVALIDITY V) UID ALL 1:2
A< f2 OK ESEARCH completed
A> f3 ESEARCH IN (selected) RETURN (SAVE COUNT) UNSEEN
A< * ESEARCH (TAG "f3" MAILBOX work UIDVALIDITY V) UID COUNT 1
A< f3 OK ESEARCH completed
A> f4 ESEARCH RETURN (ALL) $
A< * ESEARCH (TAG "f4" MAILBOX work UIDVALIDITY V) UID ALL 2
A< f4 OK ESEARCH completed
A> f5 UID FETCH $ FLAGS
A< * 2 FETCH (UID 2 FLAGS ())
A< f5 OK UID FETCH completed
A> f6 ESEARCH 2
A< * ESEARCH (TAG "f6" MAILBOX work UIDVALIDITY V) UID ALL 2
A< f6 OK ESEARCH completed
A> f7 ESEARCH IN (selected mailboxes INBOX) ALL
A< * ESEARCH (TAG "f7" MAILBOX INBOX UIDVALIDITY V) UID ALL 1:3
A< * ESEARCH (TAG "f7" MAILBOX work UIDVALIDITY V) UID ALL 1:2
A< f7 OK ESEARCH completed
A> f8 ESEARCH IN (selected) RETURN (UPDATE ALL) FLAGGED
A< f8 OK ESEARCH completed
A> f9 ESEARCH RETURN (SAVE) SUBJECT banana
A< f9 OK ESEARCH completed
A> g1 ESEARCH $
A< g1 OK ESEARCH completed
# The update is of this mailbox. What is not announced yet is not found in it,
# elsewhere it is.
B> g2 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< g2 OK [CAPABILITY …] Logged in
B> g3 SELECT work
B< * 2 EXISTS
B< * n RECENT
B< * OK [UNSEEN 2] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 3] Predicted next UID
B< * OK [HIGHESTMODSEQ 8] Highest
B< * OK [MAILBOXID (F7)] Object id
B< g3 OK [READ-WRITE] SELECT completed
B> g4 STORE 2 +FLAGS (\Flagged)
B< * 2 FETCH (FLAGS (\Flagged))
B< g4 OK STORE completed
A> g5 NOOP
A< * 2 FETCH (UID 2 FLAGS (\Flagged) MODSEQ (14))
A< * ESEARCH (TAG "f8" MAILBOX work UIDVALIDITY V) UID ADDTO (0 2)
A< g5 OK NOOP completed
A> g6 CANCELUPDATE "f8"
A< g6 OK CANCELUPDATE completed
B> g7 STORE 1 +FLAGS (\Deleted)
B< * 1 FETCH (FLAGS (\Deleted \Seen))
B< g7 OK STORE completed
B> g8 EXPUNGE
B< * 1 EXPUNGE
B< g8 OK EXPUNGE completed
A> h1 ESEARCH IN (personal) RETURN (COUNT) ALL
A< * ESEARCH (TAG "h1" MAILBOX INBOX UIDVALIDITY V) UID COUNT 3
A< * ESEARCH (TAG "h1" MAILBOX "home &AOU-" UIDVALIDITY V) UID COUNT 2
A< * ESEARCH (TAG "h1" MAILBOX work UIDVALIDITY V) UID COUNT 1
A< * ESEARCH (TAG "h1" MAILBOX work/2025 UIDVALIDITY V) UID COUNT 2
A< * ESEARCH (TAG "h1" MAILBOX work/2025/may UIDVALIDITY V) UID COUNT 1
A< * 1 EXPUNGE
A< h1 OK ESEARCH completed
A> h2 ESEARCH IN (selected) ALL
A< * ESEARCH (TAG "h2" MAILBOX work UIDVALIDITY V) UID ALL 2
A< h2 OK ESEARCH completed
# In IMAP4rev2 names are UTF-8.
A> i1 ENABLE IMAP4rev2
A< * ENABLED IMAP4rev2
A< i1 OK ENABLE completed
A> i2 ESEARCH IN (subtree "home å") ALL
A< * ESEARCH (TAG "i2" MAILBOX "home å" UIDVALIDITY V) UID ALL 1:2
A< i2 OK ESEARCH completed
# \Recent is left to the next SELECT.
C> j1 LOGIN alice@example.org secret
C< * OK [CAPABILITY …] altmail ready
C< j1 OK [CAPABILITY …] Logged in
C> j2 APPEND Trash {{one}}
C< j2 OK [APPENDUID V 1] APPEND completed
C> j3 ESEARCH IN (mailboxes Trash) RECENT
C< * ESEARCH (TAG "j3" MAILBOX Trash UIDVALIDITY V) UID ALL 1
C< j3 OK ESEARCH completed
C> j4 ESEARCH IN (mailboxes Trash) NEW
C< * ESEARCH (TAG "j4" MAILBOX Trash UIDVALIDITY V) UID ALL 1
C< j4 OK ESEARCH completed
C> j5 STATUS Trash (MESSAGES)
C< * STATUS Trash (MESSAGES 1)
C< j5 OK STATUS completed
D> k1 ESEARCH IN (personal) ALL
D< * OK [CAPABILITY …] altmail ready
D< k1 BAD Log in first
