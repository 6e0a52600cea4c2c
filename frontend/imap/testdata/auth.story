# AUTHENTICATE, with and without an initial response.
A> a1 AUTHENTICATE PLAIN
A< * OK [CAPABILITY …] altmail ready
A< + 
A>> *
A? a1
A< a1 BAD Authentication cancelled
A> a2 AUTHENTICATE PLAIN
A< + 
A>> !!!
A? a2
A< a2 BAD Malformed base64
A> a3 AUTHENTICATE NOSUCH
A< a3 NO [CANNOT] No such mechanism
A> a4 AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
A< a4 OK [CAPABILITY …] Logged in
A> a5 NOOP
A< a5 OK NOOP completed
# LOGIN asks with the words that Outlook waits for ("Username:").
B> b1 AUTHENTICATE LOGIN
B< * OK [CAPABILITY …] altmail ready
B< + VXNlcm5hbWU6
B> Ym9iQGV4YW1wbGUub3Jn
B< + UGFzc3dvcmQ6
B>> c2VjcmV0
B? b1
B< b1 OK [CAPABILITY …] Logged in
C> c1 AUTHENTICATE PLAIN =
C< * OK [CAPABILITY …] altmail ready
C< c1 NO Malformed response
# RFC 9051 section 6.2.2: an empty challenge is "+ ", nothing else.
C> c2 AUTHENTICATE plain
C< + 
C>> AGFsaWNlQGV4YW1wbGUub3JnAHdyb25n
C? c2
C< c2 NO [AUTHENTICATIONFAILED] Wrong user or password
C> c3 LOGIN alice@example.org nope
C< c3 NO [AUTHENTICATIONFAILED] Wrong user or password
C> c4 LOGIN alice@example.org nope
C< c4 NO [AUTHENTICATIONFAILED] Wrong user or password
C> c5 NOOP
C< * BYE Too many failed logins
C< (closed)
