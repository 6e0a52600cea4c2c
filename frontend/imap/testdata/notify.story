# RFC 5465.
message m
Subject: x
From: a@example.org

x
.
A> a1 NOTIFY NONE
A< * OK [CAPABILITY …] altmail ready
A< a1 BAD Log in first
A> a2 LOGIN alice@example.org secret
A< a2 OK [CAPABILITY …] Logged in
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
B> b2 CREATE Lists/one
B< b2 OK [MAILBOXID (F8)] CREATE completed
B> b3 CREATE Lists/two
B< b3 OK [MAILBOXID (F9)] CREATE completed
# What cannot be told, and what is wrong.
A> c1 NOTIFY SET (PERSONAL (AnnotationChange MessageNew MessageExpunge))
A< c1 NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)] Not all of these events can be told
A> c2 NOTIFY SET (PERSONAL (X-Future))
A< c2 NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)] Not all of these events can be told
A> c3 NOTIFY SET (PERSONAL (MessageNew))
A< c3 BAD MessageNew and MessageExpunge go together, and FlagChange with both
A> c4 NOTIFY SET (SELECTED (MailboxName))
A< c4 BAD Only events of messages are of the selected mailbox
A> c5 NOTIFY SET (SELECTED NONE) (SELECTED-DELAYED NONE)
A< c5 BAD The selected mailbox is given twice
A> c6 NOTIFY SOME
A< c6 BAD Expected SET or NONE
# The selected mailbox at once, others by STATUS.
A> d1 SELECT INBOX
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 1] Highest
A< * OK [MAILBOXID (F1)] Object id
A< d1 OK [READ-WRITE] SELECT completed
A> d2 NOTIFY SET STATUS (SELECTED (MessageNew (UID BODY[HEADER.FIELDS (Subject)]) MessageExpunge FlagChange)) (SUBTREE Lists (MessageNew MessageExpunge))
A< * STATUS Lists (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V)
A< * STATUS Lists/one (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V)
A< * STATUS Lists/two (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V)
A< d2 OK NOTIFY completed
B> d3 APPEND INBOX {{m}}
B< d3 OK [APPENDUID V 1] APPEND completed
A? FETCH
A< * 1 EXISTS
A< * n RECENT
A< * 1 FETCH (UID 1 BODY[HEADER.FIELDS (Subject)] {14}
A| Subject: x
A| 
A| )
B> d4 SELECT INBOX
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 5] Highest
B< * OK [MAILBOXID (F1)] Object id
B< d4 OK [READ-WRITE] SELECT completed
B> d5 STORE 1 +FLAGS (\Deleted)
B< * 1 FETCH (FLAGS (\Deleted))
B< d5 OK STORE completed
A? FETCH
A< * 1 FETCH (UID 1 FLAGS (\Deleted))
B> d6 EXPUNGE
B< * 1 EXPUNGE
B< d6 OK EXPUNGE completed
A? EXPUNGE
A< * 1 EXPUNGE
B> d7 APPEND Lists/one {{m}}
B< d7 OK [APPENDUID V 1] APPEND completed
A? STATUS
A< * STATUS Lists/one (MESSAGES 1 UIDNEXT 2)
B> d8 APPEND Trash {{m}}
B< d8 OK [APPENDUID V 1] APPEND completed
B> d9 APPEND Lists/two {{m}}
B< d9 OK [APPENDUID V 1] APPEND completed
A? STATUS
A< * STATUS Lists/two (MESSAGES 1 UIDNEXT 2)
# One's own is not told again.
A> e1 APPEND INBOX {{m}}
A< * 1 EXISTS
A< * n RECENT
A< e1 OK [APPENDUID V 2] APPEND completed
B> e2 SELECT Lists/one
B< * OK [CLOSED] Mailbox closed
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 8] Highest
B< * OK [MAILBOXID (F8)] Object id
B< e2 OK [READ-WRITE] SELECT completed
# FlagChange was not asked for there; an expunge is.
B> e3 STORE 1 +FLAGS (\Seen \Deleted)
B< * 1 FETCH (FLAGS (\Deleted \Seen))
B< e3 OK STORE completed
B> e4 EXPUNGE
B< * 1 EXPUNGE
B< e4 OK EXPUNGE completed
A? STATUS
A< * STATUS Lists/one (MESSAGES 0 UIDNEXT 2)
# SELECTED-DELAYED: EXPUNGE waits for a command that allows it.
A> f1 NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge FlagChange)) (MAILBOXES (Lists/two nosuch) (MessageNew MessageExpunge FlagChange)) (SUBSCRIBED (MessageNew MessageExpunge))
A< f1 OK NOTIFY completed
B> f2 SELECT INBOX
B< * OK [CLOSED] Mailbox closed
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 3] Predicted next UID
B< * OK [HIGHESTMODSEQ 11] Highest
B< * OK [MAILBOXID (F1)] Object id
B< f2 OK [READ-WRITE] SELECT completed
B> f3 STORE 1 +FLAGS.SILENT (\Deleted \Seen)
B< f3 OK STORE completed
A? FETCH
A< * 1 FETCH (UID 2 FLAGS (\Deleted \Seen))
B> f4 EXPUNGE
B< * 1 EXPUNGE
B< f4 OK EXPUNGE completed
B> f5 APPEND INBOX {{m}}
B< * 1 EXISTS
B< * n RECENT
B< f5 OK [APPENDUID V 3] APPEND completed
A? EXISTS
A< * 2 EXISTS
A> f6 FETCH * UID
A< * n RECENT
A< * 2 FETCH (UID 3)
A< f6 OK FETCH completed
A> f7 NOOP
A< * 1 EXPUNGE
A< f7 OK NOOP completed
B> f8 SELECT Lists/two
B< * OK [CLOSED] Mailbox closed
B< * 1 EXISTS
B< * n RECENT
B< * OK [UNSEEN 1] First unseen
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 2] Predicted next UID
B< * OK [HIGHESTMODSEQ 10] Highest
B< * OK [MAILBOXID (F9)] Object id
B< f8 OK [READ-WRITE] SELECT completed
B> f9 STORE 1 +FLAGS (\Flagged)
B< * 1 FETCH (FLAGS (\Flagged))
B< f9 OK STORE completed
B> g1 STORE 1 +FLAGS (\Seen)
B< * 1 FETCH (FLAGS (\Flagged \Seen))
B< g1 OK STORE completed
A? STATUS
A< * STATUS Lists/two (UIDVALIDITY V UNSEEN 0)
A> g2 ENABLE CONDSTORE
A< * OK [HIGHESTMODSEQ 16] Highest
A< * ENABLED CONDSTORE
A< g2 OK ENABLE completed
B> g3 STORE 1 -FLAGS (\Flagged)
B< * 1 FETCH (FLAGS (\Seen))
B< g3 OK STORE completed
A? STATUS
A< * STATUS Lists/two (UIDVALIDITY V HIGHESTMODSEQ 19)
# The same while in IDLE.
A> g4 IDLE
A< + idling
B> g5 STORE 1 +FLAGS (\Answered)
B< * 1 FETCH (FLAGS (\Answered \Seen))
B< g5 OK STORE completed
A? STATUS
A< * STATUS Lists/two (UIDVALIDITY V HIGHESTMODSEQ 20)
B> g6 APPEND INBOX {{m}}
B< g6 OK [APPENDUID V 4] APPEND completed
A? RECENT
A< * 2 EXISTS
A< * n RECENT
A>> DONE
A? g4
A< g4 OK IDLE completed
# Names.
A> h1 NOTIFY SET (PERSONAL (MailboxName)) (SUBTREE Lists (SubscriptionChange))
A< h1 OK NOTIFY completed
B> h2 CREATE new
B< h2 OK [MAILBOXID (F10)] CREATE completed
A? new
A< * LIST (\HasNoChildren) "/" new
B> h3 CREATE new/inferior
B< h3 OK [MAILBOXID (F11)] CREATE completed
A? new/inferior
A< * LIST (\HasChildren) "/" new
A< * LIST (\HasNoChildren) "/" new/inferior
B> h4 RENAME new newer
B< h4 OK RENAME completed
A? OLDNAME
A< * LIST (\HasChildren) "/" newer ("OLDNAME" (new))
B> h5 SUBSCRIBE Lists/one
B< h5 OK SUBSCRIBE completed
A? Lists/one
A< * LIST (\Subscribed \HasNoChildren) "/" Lists/one
B> h6 SUBSCRIBE newer
B< h6 OK SUBSCRIBE completed
B> h7 UNSUBSCRIBE Lists/one
B< h7 OK UNSUBSCRIBE completed
A? Lists/one
A< * LIST (\HasNoChildren) "/" Lists/one
B> h8 DELETE newer/inferior
B< h8 OK DELETE completed
A? newer/inferior
A< * LIST (\Subscribed \HasNoChildren) "/" newer
A< * LIST (\NonExistent \HasNoChildren) "/" newer/inferior
B> h9 DELETE newer
B< h9 OK DELETE completed
A? NonExistent
A< * LIST (\NonExistent \Subscribed \HasNoChildren) "/" newer
# One's own names are not told.
A> i1 CREATE mine
A< i1 OK [MAILBOXID (F12)] CREATE completed
A> i2 DELETE mine
A< i2 OK DELETE completed
A> i3 NOOP
A< i3 OK NOOP completed
# Nothing at all.
A> j1 NOTIFY NONE
A< j1 OK NOTIFY completed
B> j2 APPEND INBOX {{m}}
B< j2 OK [APPENDUID V 5] APPEND completed
B> j3 CREATE quiet
B< j3 OK [MAILBOXID (F13)] CREATE completed
A> j4 NOOP
A< j4 OK NOOP completed
A> j5 NOTIFY SET (SELECTED NONE)
A< * 3 EXISTS
A< * n RECENT
A< j5 OK NOTIFY completed
B> j6 APPEND INBOX {{m}}
B< j6 OK [APPENDUID V 6] APPEND completed
A> j7 NOOP
A< j7 OK NOOP completed
A> j8 NOTIFY SET (SELECTED (MessageNew MessageExpunge))
A< * 4 EXISTS
A< * n RECENT
A< j8 OK NOTIFY completed
# Without a selected mailbox.
A> k1 UNSELECT
A< k1 OK UNSELECT completed
A> k2 NOTIFY SET STATUS (INBOXES (MessageNew MessageExpunge FlagChange))
A< * STATUS INBOX (MESSAGES 4 UIDNEXT 7 UIDVALIDITY V HIGHESTMODSEQ 34)
A< * STATUS Archive (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V HIGHESTMODSEQ 1)
A< * STATUS Drafts (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V HIGHESTMODSEQ 1)
A< * STATUS Junk (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V HIGHESTMODSEQ 1)
A< * STATUS Lists (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V HIGHESTMODSEQ 2)
A< * STATUS Lists/one (MESSAGES 0 UIDNEXT 2 UIDVALIDITY V HIGHESTMODSEQ 13)
A< * STATUS Lists/two (MESSAGES 1 UIDNEXT 2 UIDVALIDITY V HIGHESTMODSEQ 20)
A< * STATUS Sent (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V HIGHESTMODSEQ 1)
A< * STATUS Trash (MESSAGES 1 UIDNEXT 2 UIDVALIDITY V HIGHESTMODSEQ 9)
A< * STATUS quiet (MESSAGES 0 UIDNEXT 1 UIDVALIDITY V HIGHESTMODSEQ 33)
A< k2 OK NOTIFY completed
B> k3 APPEND INBOX {{m}}
B< k3 OK [APPENDUID V 7] APPEND completed
A? INBOX
A< * STATUS INBOX (MESSAGES 5 UIDNEXT 8 UIDVALIDITY V UNSEEN 5 HIGHESTMODSEQ 35)
A> k4 LOGOUT
A< * BYE Logging out
A< k4 OK LOGOUT completed
