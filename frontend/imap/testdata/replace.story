# RFC 8508.
server impatient
message m
Subject: x

draft
.
message n
Subject: x

draft, longer than before
.
A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 REPLACE 1 Drafts {{m}}
A< a2 BAD No mailbox is selected
A> a3 APPEND Drafts (\Draft \Flagged) {{m}} {{m}} {{m}}
A< a3 OK [APPENDUID V 1:3] APPEND completed
A> a4 SELECT Drafts
A< * 3 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 4] Predicted next UID
A< * OK [HIGHESTMODSEQ 2] Highest
A< * OK [MAILBOXID (F2)] Object id
A< a4 OK [READ-WRITE] SELECT completed
# The flags of the old message are not those of the new one.
A> b1 REPLACE 1 Drafts (\Seen) " 5-Nov-2026 01:02:03 +0100" {{n}}
A< * OK [APPENDUID V 4] Replacement is stored
A< * 1 EXPUNGE
A< * 3 EXISTS
A< * n RECENT
A< b1 OK REPLACE completed
A> b2 FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)
A< * 1 FETCH (UID 2 FLAGS () INTERNALDATE "…" RFC822.SIZE 21)
A< * 2 FETCH (UID 3 FLAGS () INTERNALDATE "…" RFC822.SIZE 21)
A< * 3 FETCH (UID 4 FLAGS (\Seen) INTERNALDATE "…" RFC822.SIZE 41)
A< b2 OK FETCH completed
A> b3 UID REPLACE 3 drafts ({{m}}
A< b3 BAD Expected an atom
A> b4 UID REPLACE 3 Drafts {{n}}
A< * OK [APPENDUID V 5] Replacement is stored
A< * 2 EXPUNGE
A< * 3 EXISTS
A< * n RECENT
A< b4 OK UID REPLACE completed
# Into another mailbox: sent.
A> b5 UID REPLACE 5 Sent (\Seen) {{m}}
A< * OK [APPENDUID V 1] Replacement is stored
A< * 3 EXPUNGE
A< b5 OK UID REPLACE completed
A> b6 STATUS Sent (MESSAGES)
A< * STATUS Sent (MESSAGES 1)
A< b6 OK STATUS completed
A> b7 REPLACE * Drafts UTF8 (~{4+}\r\nabc\n)
A< * OK [APPENDUID V 6] Replacement is stored
A< * 2 EXPUNGE
A< * 2 EXISTS
A< * n RECENT
A< b7 OK REPLACE completed
# Refused before the literal is sent.
A> c1 UID REPLACE 99 Drafts {100}
A< c1 NO [NONEXISTENT] No such message
A> c2 REPLACE 9 Drafts {100}
A< c2 BAD No message has that sequence number
A> c3 REPLACE 1 nosuch {100}
A< c3 NO [TRYCREATE] No such mailbox
A> c4 REPLACE 1 Drafts {99999999999}
A< c4 NO [TOOBIG] A message may have at most 67108864 octets
A> c5 REPLACE 1:2 Drafts {100}
A< c5 BAD Expected a space
A> c6 REPLACE $ Drafts {100}
A< c6 BAD Expected a number
A> c7 REPLACE 0 Drafts {100}
A< c7 BAD Number must not be zero
A> c8 REPLACE 1 Drafts {{m}} {{m}}
A< c8 BAD Unexpected text at the end
A> c9 REPLACE 1 Drafts {0+}\r\n
A< c9 NO Message is empty
A> d1 REPLACE 1 Drafts
A< d1 BAD Expected a space
A> d2 REPLACE 1 Drafts (\Recentx) {{m}}
A< d2 BAD No such system flag
# Only what it is larger counts.
store quota 48
A> e1 FETCH 1:* (UID RFC822.SIZE)
A< * 1 FETCH (UID 2 RFC822.SIZE 21)
A< * 2 FETCH (UID 6 RFC822.SIZE 4)
A< e1 OK FETCH completed
A> e2 REPLACE 1 Drafts {{m}}
A< * OK [APPENDUID V 7] Replacement is stored
A< * 1 EXPUNGE
A< * 2 EXISTS
A< * n RECENT
A< e2 OK REPLACE completed
A> e3 REPLACE 1 Drafts {{n}}
A< e3 NO [OVERQUOTA] Account is over its quota
A> e4 REPLACE 1 Drafts {2000}
A< e4 NO [OVERQUOTA] Account is over its quota
store quota 0 3
A> e5 UID REPLACE 7 Drafts {{n}}
A< * OK [APPENDUID V 8] Replacement is stored
A< * 2 EXPUNGE
A< * 2 EXISTS
A< * n RECENT
A< e5 OK UID REPLACE completed
store quota 0 0
# Another client was faster.
B> f1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< f1 OK [CAPABILITY …] Logged in
B> f2 SELECT Drafts
B< * 2 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 9] Predicted next UID
B< * OK [HIGHESTMODSEQ 8] Highest
B< * OK [MAILBOXID (F2)] Object id
B< f2 OK [READ-WRITE] SELECT completed
A> f3 ENABLE QRESYNC
A< * OK [HIGHESTMODSEQ 8] Highest
A< * ENABLED QRESYNC
A< f3 OK ENABLE completed
A> f4 NOOP
A< f4 OK NOOP completed
B> f5 UID STORE 8 +FLAGS.SILENT (\Deleted)
B< f5 OK UID STORE completed
B> f6 EXPUNGE
B< * 2 EXPUNGE
B< f6 OK EXPUNGE completed
A> f7 UID REPLACE 8 Drafts {{m}}
A< f7 NO [EXPUNGEISSUED] Message was expunged
A> f8 REPLACE 2 Drafts {{m}}
A< f8 NO [EXPUNGEISSUED] Message was expunged
A> f9 NOOP
A< * VANISHED 8
A< f9 OK NOOP completed
B> g1 NOOP
B< g1 OK NOOP completed
A> g2 EXAMINE Drafts
A< * OK [CLOSED] Mailbox closed
A< * 1 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS ()] Read-only
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 9] Predicted next UID
A< * OK [HIGHESTMODSEQ 10] Highest
A< * OK [MAILBOXID (F2)] Object id
A< g2 OK [READ-ONLY] EXAMINE completed
A> g3 REPLACE 1 Drafts {100}
A< g3 NO [READ-ONLY] Mailbox is open read-only
# The target, then the mailbox itself.
A> h1 SELECT Drafts
A< * OK [CLOSED] Mailbox closed
A< * 1 EXISTS
A< * n RECENT
A< * OK [UNSEEN 1] First unseen
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 9] Predicted next UID
A< * OK [HIGHESTMODSEQ 10] Highest
A< * OK [MAILBOXID (F2)] Object id
A< h1 OK [READ-WRITE] SELECT completed
A> h2 UID REPLACE 9 Drafts {{m}}
A< h2 NO [NONEXISTENT] No such message
store unavailable
A> h3 REPLACE 1 Drafts {{m}}
A< h3 NO [UNAVAILABLE] Not available at this time, try again
store available
A> h4 FETCH 1:* UID
A< * 1 FETCH (UID 6)
A< h4 OK FETCH completed
B> h5 DELETE Drafts
B< * OK [CLOSED] Selected mailbox was deleted
B< h5 OK DELETE completed
A> h6 REPLACE 1 INBOX {{m}}
A< * BYE Selected mailbox is gone, connect again
A< (closed)
