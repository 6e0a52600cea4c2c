# What of a message is searched: HTML as it is shown, and with TEXT the headers
# of parts and the names of attachments (RFC 9051 section 6.4.4).
message m1
Subject: letter
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8

<style>.hidden { color: red }</style><p class="outer">Sm&ouml;rg&aring;s<b>bord</b> f&ouml;r
alla</p><!-- a comment --><a href="http://example.org/link">here</a>
--b
Content-Type: application/pdf; name="plain-name.pdf"
Content-Disposition: attachment; filename*=utf-8''m%C3%B6te%20ett.pdf
X-Own-Field: marked

abc
--b
Content-Type: message/rfc822
X-Wrapping: wrapped

Subject: inner letter

text
--b--
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{m1}}
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
A> b1 SEARCH CHARSET UTF-8 BODY "smörgåsbord för alla"
A< * SEARCH 1
A< b1 OK SEARCH completed
A> b2 SEARCH BODY hidden
A< * SEARCH
A< b2 OK SEARCH completed
A> b3 SEARCH BODY outer
A< * SEARCH
A< b3 OK SEARCH completed
A> b4 SEARCH BODY comment
A< * SEARCH
A< b4 OK SEARCH completed
A> b5 SEARCH BODY "alla here"
A< * SEARCH
A< b5 OK SEARCH completed
A> b6 SEARCH BODY ALLA
A< * SEARCH 1
A< b6 OK SEARCH completed
A> c1 SEARCH CHARSET UTF-8 TEXT "möte ett.pdf"
A< * SEARCH 1
A< c1 OK SEARCH completed
A> c2 SEARCH TEXT plain-name
A< * SEARCH 1
A< c2 OK SEARCH completed
A> c3 SEARCH TEXT "x-own-field: marked"
A< * SEARCH 1
A< c3 OK SEARCH completed
A> c4 SEARCH BODY marked
A< * SEARCH
A< c4 OK SEARCH completed
A> c5 SEARCH TEXT wrapped
A< * SEARCH 1
A< c5 OK SEARCH completed
A> c6 SEARCH TEXT "inner letter"
A< * SEARCH 1
A< c6 OK SEARCH completed
A> c7 SEARCH BODY "inner letter"
A< * SEARCH 1
A< c7 OK SEARCH completed
A> c8 SEARCH BODY pdf
A< * SEARCH
A< c8 OK SEARCH completed
