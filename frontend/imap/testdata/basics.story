# RFC 9051 section 6.1 and 6.2: what works in which state.
A> a1 CAPABILITY
A< * OK [CAPABILITY …] altmail ready
A< * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN
A< a1 OK CAPABILITY completed
A> a2 NOOP
A< a2 OK NOOP completed
A> a3 ID ("name" "story" "version" NIL)
A< * ID ("name" "altmail" "support-url" "https://altmail.se/")
A< a3 OK ID completed
A> a4 SELECT INBOX
A< a4 BAD Log in first
A> a5 SEARCH ALL
A< a5 BAD Log in first
A> a6 NOSUCH
A< a6 BAD Unknown command
A> a7 LOGIN alice@example.org wrong
A< a7 NO [AUTHENTICATIONFAILED] Wrong user or password
A> a8 LOGIN nobody@example.org secret
A< a8 NO [AUTHENTICATIONFAILED] Wrong user or password
A> a9 LOGIN "alice@example.org" {6+}\r\nsecret
A< a9 OK [CAPABILITY …] Logged in
A> b1 LOGIN alice@example.org secret
A< b1 BAD Logged in already
A> b2 CAPABILITY
A< * CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE UIDPLUS MOVE NAMESPACE CHILDREN UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS ESEARCH SEARCHRES BINARY CONDSTORE QRESYNC STATUS=SIZE OBJECTID SAVEDATE WITHIN MULTIAPPEND UTF8=ACCEPT SORT SORT=DISPLAY ESORT CONTEXT=SEARCH CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS PARTIAL I18NLEVEL=1 INPROGRESS QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE PREVIEW REPLACE CATENATE UNAUTHENTICATE NOTIFY COMPRESS=DEFLATE APPENDLIMIT=67108864
A< b2 OK CAPABILITY completed
A> b3 NAMESPACE
A< * NAMESPACE (("" "/")) NIL NIL
A< b3 OK NAMESPACE completed
A> b4 FETCH 1 FLAGS
A< b4 BAD No mailbox is selected
A> b5 ENABLE CONDSTORE X-NOSUCH
A< * ENABLED CONDSTORE
A< b5 OK ENABLE completed
A> b6 STARTTLS
A< b6 BAD Logged in already
A> b7 CHECK
A< b7 BAD No mailbox is selected
A> b8 NOOP x
A< b8 BAD Unexpected text at the end
A> b9 ID NIL
A< * ID ("name" "altmail" "support-url" "https://altmail.se/")
A< b9 OK ID completed
A> c1 LOGOUT
A< * BYE Logging out
A< c1 OK LOGOUT completed
