# RFC 4469.
server limit 600
message m
Subject: first
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

one
--b
Content-Type: text/plain

two
--b--
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND Drafts {{m}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a5 SELECT Drafts
A< * 1 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 2] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F2)] Object id
A< a5 OK [READ-WRITE] SELECT completed
A> a3 APPEND Drafts (\Seen \Draft) CATENATE (URL "/Drafts;UIDVALIDITY={{V}}/;UID=1/;section=HEADER" TEXT {7+}\r\n\r\n--b\r\n URL /Drafts/;UID=1/;SECTION=1.MIME URL /Drafts/;UID=1/;section=2 TEXT {9+}\r\n\r\n--b--\r\n)
A< * 2 EXISTS
A< * n RECENT
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND Drafts CATENATE (URL "/Drafts/;UID=1")
A< * 3 EXISTS
A< * n RECENT
A< a4 OK [APPENDUID V 3] APPEND completed
A> a6 FETCH 1:* (UID FLAGS RFC822.SIZE)
A< * 1 FETCH (UID 1 FLAGS () RFC822.SIZE 144)
A< * 2 FETCH (UID 2 FLAGS (\Seen \Draft) RFC822.SIZE 108)
A< * 3 FETCH (UID 3 FLAGS () RFC822.SIZE 144)
A< a6 OK FETCH completed
A> a7 FETCH 2 BODY.PEEK[]
A< * 2 FETCH (BODY[] {108}
A| Subject: first
A| Content-Type: multipart/mixed; boundary=b
A| 
A| 
A| --b
A| Content-Type: text/plain
A| 
A| two
A| --b--
A| )
A< a7 OK FETCH completed
# Relative to the selected mailbox, and parts of parts.
A> b1 APPEND INBOX CATENATE (TEXT {6+}\r\nx: y\r\n URL ";UID=1/;SECTION=1" TEXT {1+}\r\n! URL "/;UID=1/;SECTION=TEXT/;PARTIAL=0.3" URL ";UID=1/;PARTIAL=9.5" URL "drafts/;UID=1")
A< b1 NO [BADURL drafts/;UID=1] No such message
A> b2 APPEND INBOX CATENATE (TEXT {6+}\r\nx: y\r\n URL ";UID=1/;SECTION=1" TEXT {1+}\r\n! URL "/;UID=1/;SECTION=TEXT/;PARTIAL=0.3" URL ";UID=1/;PARTIAL=9.5" URL ";UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)") CATENATE (UTF8 (~{4+}\r\nabc\n) URL {12+}\r\n/INBOX/;UID=) {4+}\r\nabc\n
A< b2 NO [BADURL /INBOX/;UID=] Not the URL of a message here
A> b3 APPEND INBOX CATENATE (TEXT {6+}\r\nx: y\r\n URL ";UID=1/;SECTION=1" TEXT {1+}\r\n! URL "/;UID=1/;SECTION=TEXT/;PARTIAL=0.3" URL ";UID=1/;PARTIAL=9.5" URL ";UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)") CATENATE (UTF8 (~{4+}\r\nabc\n) URL {20+}\r\n;UID=1/;PARTIAL=0.12) {4+}\r\nabc\n
A< b3 OK [APPENDUID V 1:3] APPEND completed
A> b4 EXAMINE INBOX
A< * OK [CLOSED] Mailbox closed
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 5] Highest
A< * OK [MAILBOXID (F1)] Object id
A< b4 OK [READ-ONLY] EXAMINE completed
A> b5 FETCH 1:* (FLAGS BODY.PEEK[])
A< * 1 FETCH (FLAGS () BODY[] {36}
A| x: y
A| one!--bfirstSubject: first
A| 
A| )
A< * 2 FETCH (FLAGS () BODY[] {16}
A| abc\x0aSubject: fir)
A< * 3 FETCH (FLAGS () BODY[] {4}
A| abc\x0a)
A< b5 OK FETCH completed
# Replaced by itself with another field.
A> b6 SELECT Drafts
A< * OK [CLOSED] Mailbox closed
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 4] Highest
A< * OK [MAILBOXID (F2)] Object id
A< b6 OK [READ-WRITE] SELECT completed
A> b7 UID REPLACE 3 Drafts CATENATE (TEXT {6+}\r\nx: y\r\n URL ";UID=3")
A< * OK [APPENDUID V 4] Replacement is stored
A< * 3 EXPUNGE
A< * 3 EXISTS
A< * n RECENT
A< b7 OK UID REPLACE completed
A> b8 FETCH * (UID BODY.PEEK[HEADER])
A< * 3 FETCH (UID 4 BODY[HEADER] {67}
A| x: y
A| Subject: first
A| Content-Type: multipart/mixed; boundary=b
A| 
A| )
A< b8 OK FETCH completed
# What is no URL of a message here.
A> c1 APPEND INBOX CATENATE (URL "/Drafts/;UID=99")
A< c1 NO [BADURL /Drafts/;UID=99] No such message
A> c2 APPEND INBOX CATENATE (URL "/Drafts;UIDVALIDITY=1/;UID=1")
A< c2 NO [BADURL /Drafts;UIDVALIDITY=1/;UID=1] No such message
A> c3 APPEND INBOX CATENATE (URL "/nosuch/;UID=1")
A< c3 NO [BADURL /nosuch/;UID=1] No such message
A> c4 APPEND INBOX CATENATE (URL "/Drafts/;UID=1/;SECTION=3")
A< c4 NO [BADURL /Drafts/;UID=1/;SECTION=3] No such part
A> c5 APPEND INBOX CATENATE (URL "/Drafts/;UID=1/;SECTION=9.HEADER")
A< c5 NO [BADURL /Drafts/;UID=1/;SECTION=9.HEADER] No such part
A> c6 APPEND INBOX CATENATE (URL "imap://alice@example.org/Drafts/;UID=1")
A< c6 NO [BADURL imap://alice@example.org/Drafts/;UID=1] Not the URL of a message here
A> c7 APPEND INBOX CATENATE (URL "//example.org/Drafts/;UID=1")
A< c7 NO [BADURL //example.org/Drafts/;UID=1] Not the URL of a message here
A> c8 APPEND INBOX CATENATE (URL "/Dra]fts \"x\"/;UID=1")
A< c8 NO [BADURL /Dra%5Dfts%20"x"/;UID=1] No such message
A> c9 APPEND INBOX CATENATE (TEXT {3+}\r\nabc URL "/Drafts/;UID=1;URLAUTH=anonymous")
A< c9 NO [BADURL /Drafts/;UID=1;URLAUTH=anonymous] Not the URL of a message here
A> d1 UNSELECT
A< d1 OK UNSELECT completed
A> d2 APPEND INBOX CATENATE (URL ";UID=1")
A< d2 NO [BADURL ;UID=1] No such message
A> d3 APPEND INBOX CATENATE (URL "/Drafts/;UID=1/;SECTION=1/;PARTIAL=100.5")
A< d3 NO Message is empty
A> d4 APPEND INBOX CATENATE (TEXT {0+}\r\n)
A< d4 NO Message is empty
A> d5 APPEND INBOX CATENATE (TEXT {3+}\r\na\x00b)
A< d5 BAD NUL needs a binary literal
A> d6 APPEND INBOX CATENATE (TEXT ~{3+}\r\na\x00b)
A< d6 OK [APPENDUID V 4] APPEND completed
# Too big, before and behind.
A> e1 APPEND INBOX CATENATE (TEXT {601}
A< e1 NO [TOOBIG] A message may have at most 600 octets
A> e2 APPEND INBOX CATENATE (TEXT {7}
A< + Ready
A>> x: y\r\n\n)
A? e2
A< e2 OK [APPENDUID V 5] APPEND completed
A> e3 APPEND INBOX CATENATE (URL /Drafts/;UID=1 URL /Drafts/;UID=1 URL /Drafts/;UID=1 URL /Drafts/;UID=1 URL /Drafts/;UID=1)
A< e3 NO [TOOBIG] A message may have at most 600 octets
A> e4 APPEND nosuch CATENATE (URL /Drafts/;UID=1)
A< e4 NO [TRYCREATE] No such mailbox
A> e5 APPEND nosuch CATENATE (TEXT {10}
A< e5 NO [TRYCREATE] No such mailbox
A> f1 APPEND INBOX CATENATE ()
A< f1 BAD Unknown part
A> f2 APPEND INBOX CATENATE (TEXT "x")
A< f2 BAD Expected a literal
A> f3 APPEND INBOX CATENATE (FILE x)
A< f3 BAD Unknown part
