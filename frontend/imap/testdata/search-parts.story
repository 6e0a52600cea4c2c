# RFC 9051 section 6.4.4: TEXT is the header, MIME fields too, and the body.
message bounce
Subject: undeliverable
Content-Type: multipart/report; report-type=delivery-status; boundary=r

--r

It could not be delivered.
--r
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
Final-Recipient: rfc822; nobody@example.net
--r
Content-Type: message/rfc822

From: alice@example.org
Subject: what was sent
Content-Type: multipart/mixed; boundary=i

--i

dear nobody
--i
Content-Type: application/pdf; name="yearly figures.pdf"
Content-Transfer-Encoding: base64

eWVhcg==
--i--
--r--
.
# No boundary is where it should be: what there is can be read all the same.
message cut
Subject: cut
Content-Type: multipart/mixed; boundary=lost

still readable
.
message split
Subject: split
Content-Type: application/pdf;
 name*0="a rather long ";
 name*1="name.pdf"
Content-Disposition: attachment; filename*0*=utf-8''%C3%A5r; filename*1=" 2026.pdf"

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{bounce}}
A< a2 OK [APPENDUID V 1] APPEND completed
A> a3 APPEND INBOX {{cut}}
A< a3 OK [APPENDUID V 2] APPEND completed
A> a4 APPEND INBOX {{split}}
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
A> b1 SEARCH TEXT "yearly figures"
A< * SEARCH 1
A< b1 OK SEARCH completed
A> b2 SEARCH BODY "yearly figures"
A< * SEARCH
A< b2 OK SEARCH completed
A> b3 SEARCH TEXT "what was sent"
A< * SEARCH 1
A< b3 OK SEARCH completed
A> b4 SEARCH BODY "what was sent"
A< * SEARCH 1
A< b4 OK SEARCH completed
A> b5 SEARCH BODY Final-Recipient
A< * SEARCH
A< b5 OK SEARCH completed
A> b6 SEARCH TEXT nobody@example.net
A< * SEARCH
A< b6 OK SEARCH completed
A> b7 SEARCH BODY "dear nobody"
A< * SEARCH 1
A< b7 OK SEARCH completed
A> b8 SEARCH TEXT undeliverable
A< * SEARCH 1
A< b8 OK SEARCH completed
A> b9 SEARCH BODY undeliverable
A< * SEARCH
A< b9 OK SEARCH completed
A> b10 SEARCH BODY "still readable"
A< * SEARCH
A< b10 OK SEARCH completed
A> b11 SEARCH TEXT report-type
A< * SEARCH 1
A< b11 OK SEARCH completed
A> c1 FETCH 2 (BODYSTRUCTURE BODY.PEEK[1])
A< * 2 FETCH (BODYSTRUCTURE (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 16 1 NIL NIL NIL NIL) "mixed" ("boundary" "lost") NIL NIL NIL) BODY[1] {16}
A| still readable
A| )
A< c1 OK FETCH completed
# RFC 2231 section 6.
A> c2 FETCH 3 BODYSTRUCTURE
A< * 3 FETCH (BODYSTRUCTURE ("application" "pdf" ("name" "a rather long name.pdf") NIL NIL "7bit" 3 NIL ("attachment" ("filename*" "utf-8''%C3%A5r%202026.pdf")) NIL NIL))
A< c2 OK FETCH completed
