# RFC 4314. alice is A, bob B, carol C.
message one
From: alice@example.org
Subject: one
Message-ID: <one@example.org>

First line.
.
message two
From: bob@example.org
Subject: two

Second.
.
A> a0 SETACL INBOX bob@example.org lr
A< * OK [CAPABILITY …] altmail ready
A< a0 BAD Log in first
A> a1 LOGIN alice@example.org secret
A< a1 OK [CAPABILITY …] Logged in
A> a2 NAMESPACE
A< * NAMESPACE (("" "/")) (("Other Users/" "/")) NIL
A< a2 OK NAMESPACE completed
A> a3 MYRIGHTS INBOX
A< * MYRIGHTS INBOX lrswipkxteacd
A< a3 OK MYRIGHTS completed
A> a4 GETACL INBOX
A< * ACL INBOX alice@example.org lrswipkxteacd
A< a4 OK GETACL completed
A> a5 LISTRIGHTS INBOX bob@example.org
A< * LISTRIGHTS INBOX bob@example.org "" l r s w i p k x t e a c d
A< a5 OK LISTRIGHTS completed
A> a6 LISTRIGHTS INBOX alice@example.org
A< * LISTRIGHTS INBOX alice@example.org lrswipkxteacd
A< a6 OK LISTRIGHTS completed
A> a7 LISTRIGHTS INBOX anyone
A< * LISTRIGHTS INBOX anyone ""
A< a7 OK LISTRIGHTS completed
A> a8 CREATE Team
A< a8 OK [MAILBOXID (F7)] CREATE completed
A> a9 APPEND Team (\Seen word) {{one}}
A< a9 OK [APPENDUID V 1] APPEND completed
# What cannot be.
A> b1 SETACL Team bob@example.org lRs
A< b1 BAD No such right
A> b2 SETACL Team bob@example.org lq
A< b2 BAD No such right
A> b3 SETACL Team "" lr
A< b3 BAD Expected an identifier
A> b4 SETACL Team anyone lr
A< b4 NO [NOPERM] Nothing can be shared with anyone
A> b5 SETACL Team -bob@example.org lr
A< b5 NO [NOPERM] There are no negative rights here
A> b6 SETACL Team nobody@example.org lr
A< b6 NO [CANNOT] No such user
A> b7 SETACL Team bob lr
A< b7 NO [CANNOT] An identifier is the address of a user
A> b8 SETACL nosuch bob@example.org lr
A< b8 NO [NONEXISTENT] No such mailbox
A> b9 SETACL Team alice@example.org lr
A< b9 NO [NOPERM] The owner keeps all rights
A> c1 SETACL Team alice@example.org -l
A< c1 NO [NOPERM] The owner keeps all rights
A> c2 SETACL Team alice@example.org +l
A< c2 OK SETACL completed
A> c3 SETACL Team alice@example.org lrswipkxtea
A< c3 OK SETACL completed
A> c4 DELETEACL Team alice@example.org
A< c4 NO [NOPERM] The owner keeps all rights
A> c5 SETACL Team bob@example.org
A< c5 BAD Expected a space
A> c6 SETACL Team bob@example.org lr x
A< c6 BAD Unexpected text at the end
A> c7 SETACL Team bob@example.org "l\x01"
A< c7 BAD No such right
A> c8 GETACL
A< c8 BAD Expected a space
A> c9 GETACL nosuch
A< c9 NO [NONEXISTENT] No such mailbox
A> d1 MYRIGHTS nosuch
A< d1 NO [NONEXISTENT] No such mailbox
A> d2 LISTRIGHTS Team nobody@example.org
A< d2 NO [CANNOT] No such user
A> d3 LISTRIGHTS Team
A< d3 BAD Expected a space
A> d4 DELETEACL Team bob@example.org
A< d4 OK DELETEACL completed
# Nothing is shared yet: it is not there.
B> e1 LOGIN bob@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< e1 OK [CAPABILITY …] Logged in
B> e2 LIST "" *
B< * LIST (\HasNoChildren) "/" INBOX
B< * LIST (\HasNoChildren \Archive) "/" Archive
B< * LIST (\HasNoChildren \Drafts) "/" Drafts
B< * LIST (\HasNoChildren \Junk) "/" Junk
B< * LIST (\HasNoChildren \Sent) "/" Sent
B< * LIST (\HasNoChildren \Trash) "/" Trash
B< e2 OK LIST completed
B> e3 SELECT "Other Users/alice@example.org/Team"
B< e3 NO [NONEXISTENT] No such mailbox
B> e4 SELECT "Other Users/nobody@example.org/Team"
B< e4 NO [NONEXISTENT] No such mailbox
B> e5 SELECT "Other Users/alice@example.org"
B< e5 NO [NONEXISTENT] No such mailbox
B> e6 SELECT "Other Users"
B< e6 NO [NONEXISTENT] No such mailbox
B> e7 SELECT "Other Users/bob@example.org/INBOX"
B< e7 NO [NONEXISTENT] No such mailbox
B> e8 STATUS "Other Users/alice@example.org/Team" (MESSAGES)
B< e8 NO [NONEXISTENT] No such mailbox
B> e9 MYRIGHTS "Other Users/alice@example.org/Team"
B< e9 NO [NONEXISTENT] No such mailbox
B> f1 GETACL "Other Users/alice@example.org/Team"
B< f1 NO [NONEXISTENT] No such mailbox
B> f2 SETACL "Other Users/alice@example.org/Team" bob@example.org +r
B< f2 NO [NONEXISTENT] No such mailbox
B> f3 APPEND "Other Users/alice@example.org/Team" {{two}}
B< f3 NO [TRYCREATE] No such mailbox
B> f4 CREATE "Other Users/alice@example.org/Team/Sub"
B< f4 NO [NOPERM] Not permitted
B> f5 CREATE "Other Users/alice@example.org/New"
B< f5 NO [NOPERM] Not permitted
B> f6 CREATE "Other Users/nobody@example.org/New"
B< f6 NO [NOPERM] Not permitted
B> f7 CREATE "Other Users"
B< f7 NO [CANNOT] The name is for mailboxes of other users
B> f8 CREATE "Other Users/x"
B< f8 NO [NOPERM] Not permitted
B> f9 DELETE "Other Users/alice@example.org/Team"
B< f9 NO [NONEXISTENT] No such mailbox
B> g1 RENAME "Other Users/alice@example.org/Team" "Other Users/alice@example.org/New"
B< g1 NO [NONEXISTENT] No such mailbox
B> g2 GETMETADATA "Other Users/alice@example.org/Team" /shared/comment
B< g2 NO [NONEXISTENT] No such mailbox
B> g3 GETQUOTAROOT "Other Users/alice@example.org/Team"
B< g3 NO [NONEXISTENT] No such mailbox
B> g4 GETQUOTA "Other Users/alice@example.org"
B< g4 NO [NONEXISTENT] No such quota root
# Lookup alone shows it, and its name is all that is shown.
A> h1 SETACL Team bob@example.org l
A< h1 OK SETACL completed
B> h2 LIST "" *
B< * LIST (\HasNoChildren) "/" INBOX
B< * LIST (\HasNoChildren \Archive) "/" Archive
B< * LIST (\HasNoChildren \Drafts) "/" Drafts
B< * LIST (\HasNoChildren \Junk) "/" Junk
B< * LIST (\Noselect \HasChildren) "/" "Other Users"
B< * LIST (\Noselect \HasChildren) "/" "Other Users/alice@example.org"
B< * LIST (\HasNoChildren) "/" "Other Users/alice@example.org/Team"
B< * LIST (\HasNoChildren \Sent) "/" Sent
B< * LIST (\HasNoChildren \Trash) "/" Trash
B< h2 OK LIST completed
B> h3 LIST "" "Other Users/%"
B< * LIST (\Noselect \HasChildren) "/" "Other Users/alice@example.org"
B< h3 OK LIST completed
B> h4 LIST "" "Other Users/alice@example.org/%" RETURN (STATUS (MESSAGES) MYRIGHTS)
B< * LIST (\HasNoChildren) "/" "Other Users/alice@example.org/Team"
B< * MYRIGHTS "Other Users/alice@example.org/Team" l
B< h4 OK LIST completed
B> h5 LIST "" % RETURN (MYRIGHTS)
B< * LIST (\HasNoChildren) "/" INBOX
B< * MYRIGHTS INBOX lrswipkxteacd
B< * LIST (\HasNoChildren \Archive) "/" Archive
B< * MYRIGHTS Archive lrswipkxteacd
B< * LIST (\HasNoChildren \Drafts) "/" Drafts
B< * MYRIGHTS Drafts lrswipkxteacd
B< * LIST (\HasNoChildren \Junk) "/" Junk
B< * MYRIGHTS Junk lrswipkxteacd
B< * LIST (\NonExistent \HasChildren) "/" "Other Users"
B< * LIST (\HasNoChildren \Sent) "/" Sent
B< * MYRIGHTS Sent lrswipkxteacd
B< * LIST (\HasNoChildren \Trash) "/" Trash
B< * MYRIGHTS Trash lrswipkxteacd
B< h5 OK LIST completed
B> h6 SELECT "Other Users/alice@example.org/Team"
B< h6 NO [NOPERM] Not permitted
B> h7 STATUS "Other Users/alice@example.org/Team" (MESSAGES)
B< h7 NO [NOPERM] Not permitted
B> h8 MYRIGHTS "Other Users/alice@example.org/Team"
B< * MYRIGHTS "Other Users/alice@example.org/Team" l
B< h8 OK MYRIGHTS completed
B> h9 SELECT "Other Users/alice@example.org/INBOX"
B< h9 NO [NONEXISTENT] No such mailbox
B> i1 APPEND "Other Users/alice@example.org/Team" {{two}}
B< i1 NO [NOPERM] Not permitted
B> i2 GETACL "Other Users/alice@example.org/Team"
B< i2 NO [NOPERM] Not permitted
B> i3 SETACL "Other Users/alice@example.org/Team" bob@example.org +r
B< i3 NO [NOPERM] Not permitted
B> i4 DELETE "Other Users/alice@example.org/Team"
B< i4 NO [NOPERM] Not permitted
B> i5 SUBSCRIBE "Other Users/alice@example.org/Team"
B< i5 OK SUBSCRIBE completed
B> i6 LSUB "" "Other Users/*"
B< * LSUB () "/" "Other Users/alice@example.org/Team"
B< i6 OK LSUB completed
B> i7 LIST (SUBSCRIBED) "" "Other*"
B< * LIST (\Subscribed \HasNoChildren) "/" "Other Users/alice@example.org/Team"
B< i7 OK LIST completed
# Reading: nothing can be changed.
A> j1 SETACL Team bob@example.org +r
A< j1 OK SETACL completed
B> j2 SELECT "Other Users/alice@example.org/Team"
B< * 1 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing word)
B< * OK [PERMANENTFLAGS ()] Read-only
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 3] Highest
B< * OK [MAILBOXID (F7-…)] Object id
B< j2 OK [READ-ONLY] SELECT completed
B> j3 MYRIGHTS "Other Users/alice@example.org/Team"
B< * MYRIGHTS "Other Users/alice@example.org/Team" lr
B< j3 OK MYRIGHTS completed
B> j4 FETCH 1 (FLAGS BODY[TEXT])
B< * 1 FETCH (FLAGS (\Seen word) BODY[TEXT] {13}
B| First line.
B| )
B< j4 OK FETCH completed
B> j5 STORE 1 +FLAGS (\Flagged)
B< j5 NO [READ-ONLY] Mailbox is open read-only
B> j6 EXPUNGE
B< j6 NO [READ-ONLY] Mailbox is open read-only
B> j7 STATUS "Other Users/ALICE@example.org/Team" (MESSAGES UIDNEXT MAILBOXID)
B< * STATUS "Other Users/alice@example.org/Team" (MESSAGES 1 UIDNEXT 2 MAILBOXID (F7-…))
B< j7 OK STATUS completed
# Rights that are given while it is selected.
A> k1 SETACL Team bob@example.org +sw
A< k1 OK SETACL completed
B> k2 NOOP
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing word)
B< * OK [PERMANENTFLAGS ()] Read-only
B< k2 OK NOOP completed
B> k3 CLOSE
B< k3 OK CLOSE completed
B> k4 SELECT "Other Users/alice@example.org/Team"
B< * 1 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing word)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing word \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 3] Highest
B< * OK [MAILBOXID (F7-…)] Object id
B< k4 OK [READ-WRITE] SELECT completed
B> k5 STORE 1 -FLAGS.SILENT (\Seen)
B< k5 OK STORE completed
B> k6 STORE 1 FLAGS (\Deleted \Answered)
B< * 1 FETCH (FLAGS (\Answered))
B< k6 OK STORE completed
B> k7 STORE 1 FLAGS.SILENT (\Deleted)
B< * 1 FETCH (FLAGS ())
B< k7 OK STORE completed
B> k8 STORE 1 +FLAGS (\Deleted)
B< k8 NO [NOPERM] Not permitted
B> k9 FETCH 1 BODY[TEXT]
B< * 1 FETCH (BODY[TEXT] {13}
B| First line.
B| )
B< * 1 FETCH (FLAGS (\Seen))
B< k9 OK FETCH completed
A> l1 SELECT Team
A< * 1 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing word)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing word \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 2] Predicted next UID
A< * OK [HIGHESTMODSEQ 10] Highest
A< * OK [MAILBOXID (F7)] Object id
A< l1 OK [READ-WRITE] SELECT completed
A> l2 FETCH 1 FLAGS
A< * 1 FETCH (FLAGS (\Seen))
A< l2 OK FETCH completed
B> l3 EXPUNGE
B< l3 NO [NOPERM] Not permitted
B> l4 CLOSE
B< l4 OK CLOSE completed
# APPEND and COPY take flags as far as the rights go.
A> m1 SETACL Team bob@example.org lrsi
A< m1 OK SETACL completed
B> m2 APPEND "Other Users/alice@example.org/Team" (\Seen \Flagged \Deleted word) {{two}}
B< m2 OK [APPENDUID V 2] APPEND completed
A> m3 NOOP
A< * 2 EXISTS
A< * n RECENT
A< m3 OK NOOP completed
B> m4 SELECT INBOX
B< * 0 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 1] Predicted next UID
B< * OK [HIGHESTMODSEQ 1] Highest
B< * OK [MAILBOXID (F1)] Object id
B< m4 OK [READ-WRITE] SELECT completed
B> m5 APPEND INBOX (\Answered \Seen) {{two}}
B< * 1 EXISTS
B< * n RECENT
B< m5 OK [APPENDUID V 1] APPEND completed
B> m6 COPY 1 "Other Users/alice@example.org/Team"
B< m6 OK [COPYUID V 1 3] COPY completed
B> m7 COPY 1 "Other Users/alice@example.org/Team/No"
B< m7 NO [TRYCREATE] No such mailbox
B> m8 COPY 1 "Other Users/alice@example.org/Sent"
B< m8 NO [TRYCREATE] No such mailbox
A> m9 NOOP
A< * 3 EXISTS
A< * n RECENT
A< m9 OK NOOP completed
A> m10 FETCH 2:3 (FLAGS ENVELOPE)
A< * 2 FETCH (FLAGS (\Seen) ENVELOPE (NIL "two" ((NIL NIL "bob" "example.org")) ((NIL NIL "bob" "example.org")) ((NIL NIL "bob" "example.org")) NIL NIL NIL NIL NIL))
A< * 3 FETCH (FLAGS (\Seen) ENVELOPE (NIL "two" ((NIL NIL "bob" "example.org")) ((NIL NIL "bob" "example.org")) ((NIL NIL "bob" "example.org")) NIL NIL NIL NIL NIL))
A< m10 OK FETCH completed
# MOVE into it, and out of it with the rights for that.
B> n1 MOVE 1 "Other Users/alice@example.org/Team"
B< * OK [COPYUID V 1 4] Moved
B< * 1 EXPUNGE
B< n1 OK MOVE completed
B> n2 SELECT "Other Users/alice@example.org/Team"
B< * OK [CLOSED] Mailbox closed
B< * 4 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Seen)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 5] Predicted next UID
B< * OK [HIGHESTMODSEQ 14] Highest
B< * OK [MAILBOXID (F7-…)] Object id
B< n2 OK [READ-WRITE] SELECT completed
B> n3 MOVE 1 INBOX
B< n3 NO [NOPERM] Not permitted
A> n4 SETACL Team bob@example.org +te
A< * 4 EXISTS
A< * n RECENT
A< n4 OK SETACL completed
B> n5 UID MOVE 1,3 INBOX
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Deleted \Seen)] Permitted
B< * OK [COPYUID V 1,3 2:3] Moved
B< * 3 EXPUNGE
B< * 1 EXPUNGE
B< n5 OK UID MOVE completed
B> n6 STATUS INBOX (MESSAGES)
B< * STATUS INBOX (MESSAGES 2)
B< n6 OK STATUS completed
A> n7 NOOP
A< * 3 EXPUNGE
A< * 1 EXPUNGE
A< n7 OK NOOP completed
B> n8 STORE 1 +FLAGS (\Deleted)
B< * 1 FETCH (FLAGS (\Deleted \Seen))
B< n8 OK STORE completed
B> n9 EXPUNGE
B< * 1 EXPUNGE
B< n9 OK EXPUNGE completed
# IDLE hears of what is in another's mailbox.
B> o1 IDLE
B< + idling
A> o2 APPEND Team {{one}}
A< * 1 EXPUNGE
A< * 2 EXISTS
A< * n RECENT
A< o2 OK [APPENDUID V 5] APPEND completed
B? EXISTS
B< * 2 EXISTS
A> o3 STORE 2 +FLAGS (\Flagged)
A< * 2 FETCH (FLAGS (\Flagged))
A< o3 OK STORE completed
B? Flagged
B< * n RECENT
B< * 2 FETCH (FLAGS (\Flagged))
B>> DONE
B? o1 OK
B< o1 OK IDLE completed
# The owner's other mailboxes.
B> p1 CREATE "Other Users/alice@example.org/Team/Sub"
B< p1 NO [NOPERM] Not permitted
A> p2 SETACL Team bob@example.org lrswipkxtea
A< p2 OK SETACL completed
B> p2a CREATE "Other Users/alice@example.org/Team/Own" (USE (\Sent))
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< p2a NO [USEATTR] What a mailbox is for is its owner's to say
B> p3 CREATE "Other Users/alice@example.org/Team/Sub/Deep"
B< p3 OK [MAILBOXID (F9-…)] CREATE completed
B> p4 LIST "" "Other Users/*" RETURN (MYRIGHTS)
B< * LIST (\NonExistent \HasChildren) "/" "Other Users/alice@example.org"
B< * LIST (\HasChildren) "/" "Other Users/alice@example.org/Team"
B< * MYRIGHTS "Other Users/alice@example.org/Team" lrswipkxteacd
B< * LIST (\HasChildren) "/" "Other Users/alice@example.org/Team/Sub"
B< * MYRIGHTS "Other Users/alice@example.org/Team/Sub" lrswipkxteacd
B< * LIST (\HasNoChildren) "/" "Other Users/alice@example.org/Team/Sub/Deep"
B< * MYRIGHTS "Other Users/alice@example.org/Team/Sub/Deep" lrswipkxteacd
B< p4 OK LIST completed
B> p5 GETACL "Other Users/alice@example.org/Team/Sub"
B< * ACL "Other Users/alice@example.org/Team/Sub" alice@example.org lrswipkxteacd bob@example.org lrswipkxteacd
B< p5 OK GETACL completed
B> p6 RENAME "Other Users/alice@example.org/Team/Sub" "Other Users/alice@example.org/Team/Renamed"
B< p6 OK RENAME completed
B> p7 RENAME "Other Users/alice@example.org/Team/Renamed" Mine
B< p7 NO [CANNOT] A mailbox stays in its account
B> p8 RENAME INBOX "Other Users/alice@example.org/Team/Inbox"
B< p8 NO [CANNOT] A mailbox stays in its account
B> p9 DELETE "Other Users/alice@example.org/Team/Renamed/Deep"
B< p9 OK DELETE completed
B> q1 COPY 1 "Other Users/alice@example.org/Team/Renamed"
B< q1 OK [COPYUID V 4 1] COPY completed
B> q2 SETMETADATA "Other Users/alice@example.org/Team" (/shared/comment "of all")
B< q2 OK SETMETADATA completed
B> q3 SETMETADATA "Other Users/alice@example.org/Team" (/private/comment "of bob")
B< q3 NO [METADATA NOPRIVATE] Private annotations are for the owner of a mailbox
A> q4 SETMETADATA Team (/private/comment "of alice")
A< q4 OK SETMETADATA completed
B> q5 GETMETADATA "Other Users/alice@example.org/Team" (/shared/comment /private/comment)
B< * METADATA "Other Users/alice@example.org/Team" (/shared/comment "of all" /private/comment NIL)
B< q5 OK GETMETADATA completed
A> q6 GETMETADATA Team (/shared/comment /private/comment)
A< * METADATA Team (/shared/comment "of all" /private/comment "of alice")
A< q6 OK GETMETADATA completed
store quota 1000000 50
B> q7 GETQUOTAROOT "Other Users/alice@example.org/Team"
B< * QUOTAROOT "Other Users/alice@example.org/Team" "Other Users/alice@example.org"
B< * QUOTA "Other Users/alice@example.org" (STORAGE 1 976 MESSAGE 3 50)
B< q7 OK GETQUOTAROOT completed
B> q8 GETQUOTA "Other Users/alice@example.org"
B< * QUOTA "Other Users/alice@example.org" (STORAGE 1 976 MESSAGE 3 50)
B< q8 OK GETQUOTA completed
B> q9 GETQUOTAROOT INBOX
B< * QUOTAROOT INBOX
B< q9 OK GETQUOTAROOT completed
# An administrator shares it further, under any address of the other.
B> r1 SETACL "Other Users/alice@example.org/Team" CAROL@example.org lr
B< r1 OK SETACL completed
A> r2 GETACL Team
A< * ACL Team alice@example.org lrswipkxteacd bob@example.org lrswipkxteacd carol@example.org lr
A< r2 OK GETACL completed
C> r3 LOGIN carol@example.org secret
C< * OK [CAPABILITY …] altmail ready
C< r3 OK [CAPABILITY …] Logged in
C> r4 LIST "" "Other Users/*"
C< * LIST (\Noselect \HasChildren) "/" "Other Users/alice@example.org"
C< * LIST (\HasNoChildren) "/" "Other Users/alice@example.org/Team"
C< r4 OK LIST completed
C> r5 EXAMINE "Other Users/alice@example.org/Team"
C< * 2 EXISTS
C< * n RECENT
C< * OK [UNSEEN 2] First unseen
C< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
C< * OK [PERMANENTFLAGS ()] Read-only
C< * OK [UIDVALIDITY V] UIDs valid
C< * OK [UIDNEXT 6] Predicted next UID
C< * OK [HIGHESTMODSEQ 20] Highest
C< * OK [MAILBOXID (F7-…)] Object id
C< r5 OK [READ-ONLY] EXAMINE completed
C> r6 ESEARCH IN (personal) SUBJECT one
C< r6 OK ESEARCH completed
C> r7 ESEARCH IN (subtree "Other Users") ALL
C< * ESEARCH (TAG "r7" MAILBOX "Other Users/alice@example.org/Team" UIDVALIDITY V) UID ALL 4:5
C< r7 OK ESEARCH completed
C> r8 SEARCH SUBJECT one
C< * SEARCH 2
C< r8 OK SEARCH completed
C> r9 SORT (SUBJECT) UTF-8 ALL
C< * SORT 2 1
C< r9 OK SORT completed
# Rights that are taken while it is selected end the session.
A> s1 DELETEACL Team carol@example.org
A< s1 OK DELETEACL completed
C> s2 NOOP
C< * BYE Selected mailbox is gone, connect again
C< (closed)
A> s3 SETACL Team bob@example.org l
A< s3 OK SETACL completed
B> s4 FETCH 1 FLAGS
B< * BYE Selected mailbox is gone, connect again
B< (closed)
A> s5 DELETE Team
A< * OK [CLOSED] Selected mailbox was deleted
A< s5 OK DELETE completed
A> s6 GETACL Team/Renamed
A< * ACL Team/Renamed alice@example.org lrswipkxteacd bob@example.org lrswipkxteacd
A< s6 OK GETACL completed
