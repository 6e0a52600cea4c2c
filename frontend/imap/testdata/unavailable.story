server impatient
# H7, H8: without a quorum nothing is changed and nothing is said that may be
# old; open sessions read on.
message m
Subject: x

x
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 APPEND INBOX {{m}}
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
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
store unavailable
A> b1 FETCH 1 (FLAGS BODY.PEEK[])
A< * 1 FETCH (FLAGS () BODY[] {17}
A| Subject: x
A| 
A| x
A| )
A< b1 OK FETCH completed
A> b2 SEARCH TEXT x
A< * SEARCH 1
A< b2 OK SEARCH completed
A> b3 NOOP
A< b3 OK NOOP completed
A> b4 STORE 1 +FLAGS (\Flagged)
A< b4 NO [UNAVAILABLE] Not available at this time, try again
A> b5 APPEND INBOX {{m}}
A< b5 NO [UNAVAILABLE] Not available at this time, try again
A> b6 COPY 1 Trash
A< b6 NO [UNAVAILABLE] Not available at this time, try again
A> b7 FETCH 1 BODY[TEXT]
A< * 1 FETCH (BODY[TEXT] {3}
A| x
A| )
A< * NO [UNAVAILABLE] \Seen could not be stored at this time
A< b7 OK FETCH completed
A> b8 FETCH 1 FLAGS
A< * 1 FETCH (FLAGS ())
A< b8 OK FETCH completed
A> b9 CREATE x
A< b9 NO [UNAVAILABLE] Not available at this time, try again
B> b2 SELECT INBOX
B< b2 NO [UNAVAILABLE] Not available at this time, try again
B> b3 STATUS INBOX (MESSAGES)
B< b3 NO [UNAVAILABLE] Not available at this time, try again
B> b4 LIST "" *
B< b4 NO [UNAVAILABLE] Not available at this time, try again
B> b5 LSUB "" *
B< b5 NO [UNAVAILABLE] Not available at this time, try again
B> b6 APPEND nosuch {5}
B< b6 NO [UNAVAILABLE] Not available at this time, try again
B> b7 COPY 1 Trash
B< b7 BAD No mailbox is selected
C> c1 LOGIN alice@example.org secret
C< * OK [CAPABILITY …] altmail ready
C< c1 NO [UNAVAILABLE] Not available at this time, try again
A> c1 COPY 1 nosuch
A< c1 NO [UNAVAILABLE] Not available at this time, try again
store available
A> c2 STORE 1 +FLAGS (\Flagged)
A< * 1 FETCH (FLAGS (\Flagged))
A< c2 OK STORE completed
B> c3 SELECT INBOX
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 3] Highest
B< * OK [MAILBOXID (F1)] Object id
B< c3 OK [READ-WRITE] SELECT completed
