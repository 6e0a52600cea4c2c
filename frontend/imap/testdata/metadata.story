# RFC 5464 and RFC 9590.
server impatient
A> a1 GETMETADATA "" /shared/comment
A< * OK [CAPABILITY …] altmail ready
A< a1 BAD Log in first
A> a2 LOGIN alice@example.org secret
A< a2 OK [CAPABILITY …] Logged in
A> a3 GETMETADATA "" /shared/comment
A< * METADATA "" (/shared/comment NIL)
A< a3 OK GETMETADATA completed
A> a4 SETMETADATA INBOX (/private/comment "my own" /Shared/Comment {8+}\r\ntwo\r\nlin /private/vendor/x/y/z ~{3+}\r\na\x00b)
A< a4 OK SETMETADATA completed
A> a5 GETMETADATA inbox (/private/comment /shared/comment /private/none)
A< * METADATA INBOX (/private/comment "my own" /shared/comment {8}
A| two
A| lin /private/none NIL)
A< a5 OK GETMETADATA completed
A> a6 GETMETADATA INBOX (DEPTH infinity) /private
A< * METADATA INBOX (/private/comment "my own" /private/vendor/x/y/z ~{3}
A| a\x00b)
A< a6 OK GETMETADATA completed
A> a6a GETMETADATA INBOX (DEPTH 0) /private
A< a6a BAD No such name of an annotation is possible
A> a6b GETMETADATA INBOX (DEPTH 1) (/private /shared /private/vendor/x)
A< * METADATA INBOX (/private/comment "my own" /shared/comment {8}
A| two
A| lin)
A< a6b OK GETMETADATA completed
A> a6c GETMETADATA INBOX (DEPTH 1) /private/
A< a6c BAD No such name of an annotation is possible
A> a6d GETMETADATA INBOX (DEPTH 1) /other
A< a6d BAD No such name of an annotation is possible
A> a7 GETMETADATA (DEPTH 1) INBOX (/private/vendor/x/y)
A< * METADATA INBOX (/private/vendor/x/y/z ~{3}
A| a\x00b)
A< a7 OK GETMETADATA completed
A> a8 GETMETADATA (DEPTH 1) INBOX (/private/vendor/x/yy /shared/none)
A< a8 OK GETMETADATA completed
A> a9 GETMETADATA INBOX (MAXSIZE 6) (/private/comment /shared/comment)
A< * METADATA INBOX (/private/comment "my own")
A< a9 OK [METADATA LONGENTRIES 8] GETMETADATA completed
A> b1 GETMETADATA (MAXSIZE 0 DEPTH infinity) INBOX (/private/comment /private/comment)
A< b1 OK [METADATA LONGENTRIES 6] GETMETADATA completed
A> b2 SETMETADATA INBOX (/private/comment NIL /private/none NIL /shared/comment "")
A< b2 OK SETMETADATA completed
A> b3 GETMETADATA INBOX (/private/comment /shared/comment)
A< * METADATA INBOX (/private/comment NIL /shared/comment "")
A< b3 OK GETMETADATA completed
# The account has its own.
A> c1 SETMETADATA "" (/private/vendor/x/y "server" /shared/comment "c")
A< c1 OK SETMETADATA completed
A> c2 GETMETADATA "" (/private/vendor/x/y /shared/admin)
A< * METADATA "" (/private/vendor/x/y "server" /shared/admin NIL)
A< c2 OK GETMETADATA completed
A> c3 SETMETADATA "" (/shared/admin "mailto:me@example.org")
A< c3 NO [NOPERM] This one is set by the operator
A> c4 SETMETADATA INBOX (/shared/admin "just a name here")
A< c4 OK SETMETADATA completed
# Names that cannot be, and other errors.
A> d1 GETMETADATA INBOX /comment
A< d1 BAD No such name of an annotation is possible
A> d2 GETMETADATA INBOX /shared
A< d2 BAD No such name of an annotation is possible
A> d3 GETMETADATA INBOX "/shared/com*"
A< d3 BAD No such name of an annotation is possible
A> d4 GETMETADATA INBOX /shared//x
A< d4 BAD No such name of an annotation is possible
A> d5 SETMETADATA INBOX (/shared/x/ "y")
A< d5 BAD No such name of an annotation is possible
A> d6 SETMETADATA INBOX (/private/vendor/x "y")
A< d6 BAD No such name of an annotation is possible
A> d7 GETMETADATA nosuch /shared/comment
A< d7 NO [NONEXISTENT] No such mailbox
A> d8 SETMETADATA nosuch (/shared/comment "x")
A< d8 NO [NONEXISTENT] No such mailbox
A> d9 SETMETADATA INBOX (/shared/comment {32769}
A< d9 NO [METADATA MAXSIZE 32768] Annotation is too long
A> e1 SETMETADATA INBOX ()
A< e1 BAD Expected entries
A> e2 SETMETADATA INBOX (/shared/comment)
A< e2 BAD Expected a space
A> e3 GETMETADATA (DEPTH 3) INBOX /shared/comment
A< e3 BAD Unknown depth
# It goes where its mailbox goes.
A> f1 CREATE one
A< f1 OK [MAILBOXID (F7)] CREATE completed
A> f2 SETMETADATA one (/private/comment "of one")
A< f2 OK SETMETADATA completed
A> f3 RENAME one two
A< f3 OK RENAME completed
A> f4 GETMETADATA two /private/comment
A< * METADATA two (/private/comment "of one")
A< f4 OK GETMETADATA completed
A> f5 DELETE two
A< f5 OK DELETE completed
A> f6 CREATE two
A< f6 OK [MAILBOXID (F8)] CREATE completed
A> f7 GETMETADATA two /private/comment
A< * METADATA two (/private/comment NIL)
A< f7 OK GETMETADATA completed
A> f8 RENAME INBOX old
A< f8 OK RENAME completed
A> f9 GETMETADATA old (DEPTH infinity) /shared
A< * METADATA old (/shared/admin "just a name here" /shared/comment "")
A< f9 OK GETMETADATA completed
A> g1 GETMETADATA INBOX (DEPTH infinity) /shared
A< * METADATA INBOX (/shared/admin "just a name here" /shared/comment "")
A< g1 OK GETMETADATA completed
# With LIST.
A> h1 SETMETADATA Sent (/shared/vendor/x/color "#b71c1c")
A< h1 OK SETMETADATA completed
A> h2 LIST "" (INBOX Sent) RETURN (METADATA ("/shared/vendor/x/color" /shared/comment) STATUS (MESSAGES))
A< * LIST (\HasNoChildren) "/" INBOX
A< * STATUS INBOX (MESSAGES 0)
A< * METADATA INBOX (/shared/vendor/x/color NIL /shared/comment "")
A< * LIST (\HasNoChildren \Sent) "/" Sent
A< * STATUS Sent (MESSAGES 0)
A< * METADATA Sent (/shared/vendor/x/color "#b71c1c" /shared/comment NIL)
A< h2 OK LIST completed
A> h3 LIST "" INBOX RETURN (METADATA /Shared/Comment CHILDREN)
A< * LIST (\HasNoChildren) "/" INBOX
A< * METADATA INBOX (/shared/comment "")
A< h3 OK LIST completed
A> h4 LIST "" INBOX RETURN (METADATA (/nowhere/x))
A< h4 BAD No such name of an annotation is possible
A> h5 LIST "" INBOX RETURN (METADATA)
A< h5 BAD Expected a space
# Others are told, if they asked for it with NOTIFY.
B> i1 LOGIN alice@example.org secret
B< * OK [CAPABILITY …] altmail ready
B< i1 OK [CAPABILITY …] Logged in
B> i2 NOTIFY SET (MAILBOXES (INBOX Trash) (MailboxMetadataChange)) (PERSONAL (ServerMetadataChange))
B< i2 OK NOTIFY completed
A> i3 SETMETADATA Sent (/shared/comment "quiet")
A< i3 OK SETMETADATA completed
A> i4 SETMETADATA INBOX (/shared/comment "loud" /private/comment "x")
A< i4 OK SETMETADATA completed
B? METADATA
B< * METADATA INBOX /private/comment /shared/comment
A> i5 SETMETADATA "" (/private/vendor/x/y NIL)
A< i5 OK SETMETADATA completed
B? METADATA
B< * METADATA "" /private/vendor/x/y
B> i6 SETMETADATA INBOX (/private/comment "mine")
B< i6 OK SETMETADATA completed
A> i7 SETMETADATA INBOX (/shared/comment NIL)
A< i7 OK SETMETADATA completed
B? METADATA
B< * METADATA INBOX /shared/comment
B> i8 NOTIFY SET (SUBSCRIBED (ServerMetadataChange MailboxMetadataChange))
B< i8 OK NOTIFY completed
A> i9 SETMETADATA Trash (/private/comment "x")
A< i9 OK SETMETADATA completed
B? Trash
B< * METADATA Trash /private/comment
A> j1 SETMETADATA Drafts (/private/comment "x")
A< j1 OK SETMETADATA completed
B? Drafts
B< * METADATA Drafts /private/comment
store unavailable
A> k1 GETMETADATA INBOX /private/comment
A< k1 NO [UNAVAILABLE] Not available at this time, try again
A> k2 SETMETADATA INBOX (/private/comment "lost")
A< k2 NO [UNAVAILABLE] Not available at this time, try again
store available
A> k3 GETMETADATA INBOX /private/comment
A< * METADATA INBOX (/private/comment "mine")
A< k3 OK GETMETADATA completed
