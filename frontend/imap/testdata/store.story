message m
Subject: x

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{m}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX {{m}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND INBOX {{m}}
A< a4 OK [APPENDUID V 3] APPEND completed
A> a5 SELECT INBOX
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a5 OK [READ-WRITE] SELECT completed
A> b1 STORE 1 +FLAGS (\Seen $Forwarded Custom)
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing Custom)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing Custom \*)] Permitted
A< * 1 FETCH (FLAGS (\Seen $Forwarded Custom))
A< b1 OK STORE completed
A> b2 STORE 1:2 +FLAGS \Seen \Answered
A< * 1 FETCH (FLAGS (\Answered \Seen $Forwarded Custom))
A< * 2 FETCH (FLAGS (\Answered \Seen))
A< b2 OK STORE completed
A> b3 STORE 1 -FLAGS.SILENT (\Seen)
A< b3 OK STORE completed
A> b4 STORE 1:* FLAGS (\Draft)
A< * 1 FETCH (FLAGS (\Draft))
A< * 2 FETCH (FLAGS (\Draft))
A< * 3 FETCH (FLAGS (\Draft))
A< b4 OK STORE completed
# Nothing changes, and it is told all the same.
A> b5 STORE 1:* FLAGS (\Draft)
A< * 1 FETCH (FLAGS (\Draft))
A< * 2 FETCH (FLAGS (\Draft))
A< * 3 FETCH (FLAGS (\Draft))
A< b5 OK STORE completed
A> b6 UID STORE 2,3 -FLAGS (\Draft)
A< * 2 FETCH (UID 2 FLAGS ())
A< * 3 FETCH (UID 3 FLAGS ())
A< b6 OK UID STORE completed
A> b7 STORE 1 +FLAGS (CUSTOM)
A< * 1 FETCH (FLAGS (\Draft Custom))
A< b7 OK STORE completed
A> b8 STORE 1 +FLAGS (custom)
A< * 1 FETCH (FLAGS (\Draft Custom))
A< b8 OK STORE completed
A> b9 STORE 1 FLAGS ()
A< * 1 FETCH (FLAGS ())
A< b9 OK STORE completed
A> c1 STORE 1 +FLAGS (\Recent)
A< c1 BAD No such system flag
A> c2 STORE 1 +FLAGS (\Nosuch)
A< c2 BAD No such system flag
A> c3 STORE 9 +FLAGS (\Seen)
A< c3 BAD No message has that sequence number
A> c4 UID STORE 99 +FLAGS (\Seen)
A< c4 OK UID STORE completed
A> c5 STORE 1 +FLAGS (bad(flag))
A< c5 BAD Expected a space
A> c6 UID FETCH 1:* FLAGS
A< * 1 FETCH (UID 1 FLAGS ())
A< * 2 FETCH (UID 2 FLAGS ())
A< * 3 FETCH (UID 3 FLAGS ())
A< c6 OK UID FETCH completed
