# RFC 5267 section 4.
message m1
Date: Mon, 7 Feb 2000 12:00:00 +0000
Subject: b

x
.
message m2
Date: Mon, 7 Feb 2000 11:00:00 +0000
Subject: a

x
.
message m3
Date: Mon, 7 Feb 2000 13:00:00 +0000
Subject: aa

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{m1}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX (\Flagged) {{m2}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 SELECT INBOX
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 3] Predicted next UID
A< * OK [HIGHESTMODSEQ 3] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a4 OK [READ-WRITE] SELECT completed
A> b1 UID SEARCH RETURN (UPDATE COUNT) UNDELETED UNFLAGGED
A< * ESEARCH (TAG "b1") UID COUNT 1
A< b1 OK UID SEARCH completed
A> b2 UID SORT RETURN (UPDATE ALL CONTEXT) (SUBJECT) UTF-8 UNDELETED
A< * ESEARCH (TAG "b2") UID ALL 2,1
A< b2 OK UID SORT completed
A> b3 SEARCH RETURN (UPDATE MIN) SUBJECT a
A< * ESEARCH (TAG "b3") MIN 2
A< b3 OK SEARCH completed
A> b4 SEARCH RETURN (CONTEXT) ALL
A< * ESEARCH (TAG "b4") ALL 1:2
A< b4 OK SEARCH completed
A> b1 SEARCH RETURN (UPDATE) ALL
A< b1 BAD Tag is in use by an update
A> b5 SEARCH RETURN (UPDATE) TEXT x
A< * NO [NOUPDATE "b5"] Not for searches of bodies
A< * ESEARCH (TAG "b5") ALL 1:2
A< b5 OK SEARCH completed
A> b6 SEARCH RETURN (UPDATE) HEADER X-Y z
A< * ESEARCH (TAG "b6")
A< b6 OK SEARCH completed
# A flag: one result loses a message, another gets it back.
A> c1 STORE 1 +FLAGS \Flagged
A< * 1 FETCH (FLAGS (\Flagged))
A< * ESEARCH (TAG "b1") UID REMOVEFROM (0 1)
A< c1 OK STORE completed
A> c2 UID STORE 1,2 -FLAGS (\Flagged)
A< * 1 FETCH (UID 1 FLAGS ())
A< * 2 FETCH (UID 2 FLAGS ())
A< * ESEARCH (TAG "b1") UID ADDTO (0 1:2)
A< c2 OK UID STORE completed
# A new message, told in IDLE, after its EXISTS.
B> a1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< a1 OK [CAPABILITY …] Logged in
B> a2 SELECT INBOX
B< * 2 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 3] Predicted next UID
B< * OK [HIGHESTMODSEQ 5] Highest
B< * OK [MAILBOXID (F1)] Object id
B< a2 OK [READ-WRITE] SELECT completed
A>> d1 IDLE
A? idling
A< + idling
B> a3 APPEND INBOX {{m3}}
B< * 3 EXISTS
B< * n RECENT
B< a3 OK [APPENDUID V 3] APPEND completed
A? "b3"
A< * 3 EXISTS
A< * n RECENT
A< * ESEARCH (TAG "b1") UID ADDTO (0 3)
A< * ESEARCH (TAG "b2") UID ADDTO (2 3)
A< * ESEARCH (TAG "b3") ADDTO (0 3)
B> a4 STORE 2 +FLAGS.SILENT \Deleted
B< a4 OK STORE completed
A? "b2"
A< * 2 FETCH (FLAGS (\Deleted))
A< * ESEARCH (TAG "b1") UID REMOVEFROM (0 2)
A< * ESEARCH (TAG "b2") UID REMOVEFROM (1 2)
B> a5 EXPUNGE
B< * 2 EXPUNGE
B< a5 OK EXPUNGE completed
A? EXPUNGE
A< * ESEARCH (TAG "b3") REMOVEFROM (0 2)
A< * 2 EXPUNGE
A>> DONE
A? d1 OK
A< d1 OK IDLE completed
A> e1 UID SEARCH RETURN (ALL) UNDELETED UNFLAGGED
A< * ESEARCH (TAG "e1") UID ALL 1,3
A< e1 OK UID SEARCH completed
A> e2 UID SORT RETURN (ALL) (SUBJECT) UTF-8 UNDELETED
A< * ESEARCH (TAG "e2") UID ALL 3,1
A< e2 OK UID SORT completed
A> f1 CANCELUPDATE "b1" "b3"
A< f1 OK CANCELUPDATE completed
A> f2 CANCELUPDATE "b1"
A< f2 BAD No update has that tag
A> f3 CANCELUPDATE b2
A< f3 BAD Expected a quoted tag
A> f4 CANCELUPDATE
A< f4 BAD Expected a quoted tag
A> f5 CANCELUPDATE "b2"b
A< f5 BAD Expected a space
A> f6 STORE 1 +FLAGS.SILENT \Deleted
A< * ESEARCH (TAG "b2") UID REMOVEFROM (2 1)
A< f6 OK STORE completed
A> f7 CANCELUPDATE "b2"
A< f7 OK CANCELUPDATE completed
A> f8 STORE 1 -FLAGS.SILENT \Deleted
A< f8 OK STORE completed
# Nothing is followed beyond the mailbox.
A> g1 SEARCH RETURN (UPDATE COUNT) ALL
A< * ESEARCH (TAG "g1") COUNT 2
A< g1 OK SEARCH completed
A> g2 UNSELECT
A< g2 OK UNSELECT completed
A> g3 CANCELUPDATE "g1"
A< g3 BAD No mailbox is selected
A> g4 SELECT INBOX
A< * 2 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 10] Highest
A< * OK [MAILBOXID (F1)] Object id
A< g4 OK [READ-WRITE] SELECT completed
A> g5 CANCELUPDATE "g1"
A< g5 BAD No update has that tag
