# Outlook, as its makers and others found it.
message m
Subject: x

x
.
# It sends literals that do not wait, in ID, before it logs in.
A> a1 ID ("name" {7+}\r\nOutlook "version" {2+}\r\n16)
A< * OK [CAPABILITY …] altmail ready
A< * ID ("name" "altmail" "support-url" "https://altmail.se/")
A< a1 OK ID completed
# AUTHENTICATE LOGIN asks for exactly "Username:" and "Password:".
A> a2 AUTHENTICATE LOGIN
A< + VXNlcm5hbWU6
A> YWxpY2VAZXhhbXBsZS5vcmc=
A< + UGFzc3dvcmQ6
A>> c2VjcmV0
A? a2 OK
A< a2 OK [CAPABILITY …] Logged in
# It breaks where UIDONLY can be had, so that is there for chosen accounts only.
A> a3 ENABLE UIDONLY
A< * ENABLED
A< a3 OK ENABLE completed
B> b1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< b1 OK [CAPABILITY …] Logged in
B> b2 SELECT INBOX
B< * 0 EXISTS
B< * n RECENT
B< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
B< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
B< * OK [UIDVALIDITY V] UIDs valid
B< * OK [UIDNEXT 1] Predicted next UID
B< * OK [HIGHESTMODSEQ 1] Highest
B< * OK [MAILBOXID (F1)] Object id
B< b2 OK [READ-WRITE] SELECT completed
A> a4 SELECT INBOX
A< * 0 EXISTS
A< * n RECENT
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded $MDNSent $Junk $NotJunk $Phishing \*)] Permitted
A< * OK [UIDVALIDITY V] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< * OK [HIGHESTMODSEQ 1] Highest
A< * OK [MAILBOXID (F1)] Object id
A< a4 OK [READ-WRITE] SELECT completed
# It stops showing new mail after an EXPUNGE of a message it was never told of.
A>> a5 IDLE
A? idling
A< + idling
A>> DONE
A? a5 OK
A< a5 OK IDLE completed
B> b3 APPEND INBOX {{m}}
B< * 1 EXISTS
B< * n RECENT
B< b3 OK [APPENDUID V 1] APPEND completed
B> b4 UID STORE 1 +FLAGS.SILENT (\Deleted)
B< b4 OK UID STORE completed
B> b5 EXPUNGE
B< * 1 EXPUNGE
B< b5 OK EXPUNGE completed
A> a6 NOOP
A< a6 OK NOOP completed
B> b6 APPEND INBOX {{m}}
B< * 1 EXISTS
B< * n RECENT
B< b6 OK [APPENDUID V 2] APPEND completed
A> a7 NOOP
A< * 1 EXISTS
A< * n RECENT
A< a7 OK NOOP completed
# The tag in ESEARCH is quoted.
A> a8 UID SEARCH RETURN (ALL) ALL
A< * ESEARCH (TAG "a8") UID ALL 2
A< a8 OK UID SEARCH completed
# Its folders have names of the user's language, beside those that say their use.
A> c1 CREATE "Gesendete Elemente"
A< c1 OK [MAILBOXID (F7)] CREATE completed
A> c2 CREATE "Verzonden items"
A< c2 OK [MAILBOXID (F8)] CREATE completed
A> c3 APPEND "Gesendete Elemente" (\Seen) {{m}}
A< c3 OK [APPENDUID V 1] APPEND completed
A> c4 LIST (SPECIAL-USE) "" "*"
A< * LIST (\HasNoChildren \Archive) "/" Archive
A< * LIST (\HasNoChildren \Drafts) "/" Drafts
A< * LIST (\HasNoChildren \Junk) "/" Junk
A< * LIST (\HasNoChildren \Sent) "/" Sent
A< * LIST (\HasNoChildren \Trash) "/" Trash
A< c4 OK LIST completed
A> c5 LIST "" "*" RETURN (SPECIAL-USE STATUS (MESSAGES))
A< * LIST (\HasNoChildren) "/" INBOX
A< * STATUS INBOX (MESSAGES 1)
A< * LIST (\HasNoChildren \Archive) "/" Archive
A< * STATUS Archive (MESSAGES 0)
A< * LIST (\HasNoChildren \Drafts) "/" Drafts
A< * STATUS Drafts (MESSAGES 0)
A< * LIST (\HasNoChildren) "/" "Gesendete Elemente"
A< * STATUS "Gesendete Elemente" (MESSAGES 1)
A< * LIST (\HasNoChildren \Junk) "/" Junk
A< * STATUS Junk (MESSAGES 0)
A< * LIST (\HasNoChildren \Sent) "/" Sent
A< * STATUS Sent (MESSAGES 0)
A< * LIST (\HasNoChildren \Trash) "/" Trash
A< * STATUS Trash (MESSAGES 0)
A< * LIST (\HasNoChildren) "/" "Verzonden items"
A< * STATUS "Verzonden items" (MESSAGES 0)
A< c5 OK LIST completed
