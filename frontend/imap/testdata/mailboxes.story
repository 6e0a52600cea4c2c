A> a1 LOGIN alice@example.org secret
A< * OK [CAPABILITY …] altmail ready
A< a1 OK [CAPABILITY …] Logged in
A> a2 LIST "" ""
A< * LIST (\Noselect) "/" ""
A< a2 OK LIST completed
A> a3 LIST "" *
A< * LIST (\HasNoChildren) "/" INBOX
A< * LIST (\HasNoChildren \Archive) "/" Archive
A< * LIST (\HasNoChildren \Drafts) "/" Drafts
A< * LIST (\HasNoChildren \Junk) "/" Junk
A< * LIST (\HasNoChildren \Sent) "/" Sent
A< * LIST (\HasNoChildren \Trash) "/" Trash
A< a3 OK LIST completed
A> a4 CREATE foo/bar/baz
A< a4 OK [MAILBOXID (F9)] CREATE completed
A> a5 CREATE foo/
A< a5 NO [ALREADYEXISTS] Mailbox exists already
A> a6 CREATE INBOX
A< a6 NO [ALREADYEXISTS] Mailbox exists already
A> a7 CREATE inbox/Sub
A< a7 OK [MAILBOXID (F10)] CREATE completed
A> a8 CREATE Sent2 (USE (\Sent))
A< a8 OK [MAILBOXID (F11)] CREATE completed
A> a9 CREATE x (USE (\Nosuch))
A< a9 NO [USEATTR] No such special use
A> b1 CREATE "R&-D"
A< b1 OK [MAILBOXID (F12)] CREATE completed
A> b2 CREATE "bad//name"
A< b2 NO [CANNOT] Name is not allowed
A> b3 CREATE "bad\x01name"
A< b3 NO [CANNOT] Name is not allowed
A> b4 LIST "" "%"
A< * LIST (\HasChildren) "/" INBOX
A< * LIST (\HasNoChildren \Archive) "/" Archive
A< * LIST (\HasNoChildren \Drafts) "/" Drafts
A< * LIST (\HasNoChildren \Junk) "/" Junk
A< * LIST (\HasNoChildren) "/" R&-D
A< * LIST (\HasNoChildren \Sent) "/" Sent
A< * LIST (\HasNoChildren \Sent) "/" Sent2
A< * LIST (\HasNoChildren \Trash) "/" Trash
A< * LIST (\HasChildren) "/" foo
A< b4 OK LIST completed
A> b5 LIST "" "foo/%"
A< * LIST (\HasChildren) "/" foo/bar
A< b5 OK LIST completed
A> b6 LIST "foo/" "%"
A< * LIST (\HasChildren) "/" foo/bar
A< b6 OK LIST completed
A> b7 LIST "" "INBOX/*"
A< * LIST (\HasNoChildren) "/" INBOX/Sub
A< b7 OK LIST completed
A> b8 LIST "" "inbox"
A< * LIST (\HasChildren) "/" INBOX
A< b8 OK LIST completed
A> c1 SUBSCRIBE foo/bar/baz
A< c1 OK SUBSCRIBE completed
A> c2 SUBSCRIBE gone
A< c2 OK SUBSCRIBE completed
A> c3 UNSUBSCRIBE Trash
A< c3 OK UNSUBSCRIBE completed
A> c4 LSUB "" *
A< * LSUB () "/" INBOX
A< * LSUB () "/" Archive
A< * LSUB () "/" Drafts
A< * LSUB () "/" Junk
A< * LSUB () "/" Sent
A< * LSUB () "/" foo/bar/baz
A< * LSUB (\Noselect) "/" gone
A< c4 OK LSUB completed
A> c5 LSUB "" "f%"
A< * LSUB (\Noselect) "/" foo
A< c5 OK LSUB completed
A> c6 LIST (SUBSCRIBED) "" "*"
A< * LIST (\Subscribed \HasChildren) "/" INBOX
A< * LIST (\Subscribed \HasNoChildren \Archive) "/" Archive
A< * LIST (\Subscribed \HasNoChildren \Drafts) "/" Drafts
A< * LIST (\Subscribed \HasNoChildren \Junk) "/" Junk
A< * LIST (\Subscribed \HasNoChildren \Sent) "/" Sent
A< * LIST (\Subscribed \HasNoChildren) "/" foo/bar/baz
A< * LIST (\NonExistent \Subscribed \HasNoChildren) "/" gone
A< c6 OK LIST completed
A> c7 LIST (SUBSCRIBED RECURSIVEMATCH) "" "foo"
A< * LIST (\HasChildren) "/" foo (CHILDINFO ("SUBSCRIBED"))
A< c7 OK LIST completed
A> c8 LIST (SPECIAL-USE) "" "*" RETURN (SUBSCRIBED)
A< * LIST (\Subscribed \HasNoChildren \Archive) "/" Archive
A< * LIST (\Subscribed \HasNoChildren \Drafts) "/" Drafts
A< * LIST (\Subscribed \HasNoChildren \Junk) "/" Junk
A< * LIST (\Subscribed \HasNoChildren \Sent) "/" Sent
A< * LIST (\HasNoChildren \Sent) "/" Sent2
A< * LIST (\HasNoChildren \Trash) "/" Trash
A< c8 OK LIST completed
A> c9 LIST "" ("INBOX" "Dra%") RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES UIDNEXT))
A< * LIST (\Subscribed \HasChildren) "/" INBOX
A< * STATUS INBOX (MESSAGES 0 UIDNEXT 1)
A< * LIST (\Subscribed \HasNoChildren \Drafts) "/" Drafts
A< * STATUS Drafts (MESSAGES 0 UIDNEXT 1)
A< c9 OK LIST completed
A> d1 RENAME foo quux
A< d1 OK RENAME completed
A> d2 LIST "" "quux*"
A< * LIST (\HasChildren) "/" quux
A< * LIST (\HasChildren) "/" quux/bar
A< * LIST (\HasNoChildren) "/" quux/bar/baz
A< d2 OK LIST completed
A> d3 DELETE quux/bar
A< d3 OK DELETE completed
A> d4 LIST "" "quux*"
A< * LIST (\HasChildren) "/" quux
A< * LIST (\Noselect \HasChildren) "/" quux/bar
A< * LIST (\HasNoChildren) "/" quux/bar/baz
A< d4 OK LIST completed
A> d5 LIST "" "quux*" RETURN (CHILDREN)
A< * LIST (\HasChildren) "/" quux
A< * LIST (\NonExistent \HasChildren) "/" quux/bar
A< * LIST (\HasNoChildren) "/" quux/bar/baz
A< d5 OK LIST completed
A> d6 DELETE INBOX
A< d6 NO [CANNOT] INBOX cannot be deleted
A> d7 DELETE nosuch
A< d7 NO [NONEXISTENT] No such mailbox
A> d8 RENAME nosuch other
A< d8 NO [NONEXISTENT] No such mailbox
A> d9 RENAME quux Trash
A< d9 NO [ALREADYEXISTS] Mailbox exists already
A> e1 RENAME INBOX old
A< e1 OK RENAME completed
A> e2 LIST "" (old INBOX)
A< * LIST (\HasChildren) "/" INBOX
A< * LIST (\HasNoChildren) "/" old
A< e2 OK LIST completed
A> e3 STATUS nosuch (MESSAGES)
A< e3 NO [NONEXISTENT] No such mailbox
A> e4 STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ APPENDLIMIT MAILBOXID DELETED-STORAGE)
A< * STATUS INBOX (MESSAGES n RECENT 0 UIDNEXT 1 UIDVALIDITY V UNSEEN 0 DELETED 0 SIZE 0 HIGHESTMODSEQ 1 APPENDLIMIT 67108864 MAILBOXID (F1) DELETED-STORAGE 0)
A< e4 OK STATUS completed
A> e5 LIST "" "********************************************************************x"
A< e5 NO [LIMIT] Pattern is too complicated
