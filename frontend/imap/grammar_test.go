package imap

import (
	"slices"
	"strings"
	"testing"
)

// rules are those of the grammars that clients write by: what is right by a
// rule is not BAD, what is wrong is. Commands without arguments follow in
// TestGrammar.
var rules = []struct {
	rule      string // with where it is from
	good, bad []string
}{
	{"astring, RFC 9051", []string{`SUBSCRIBE a`, `SUBSCRIBE a]b`, `SUBSCRIBE "a b"`, `SUBSCRIBE "q\"\\"`, "SUBSCRIBE {1+}\r\na", "SUBSCRIBE {3+}\r\na b", `SUBSCRIBE ""`, `SUBSCRIBE +`, `SUBSCRIBE a+b`},
		[]string{`SUBSCRIBE`, `SUBSCRIBE `, `SUBSCRIBE a b`, `SUBSCRIBE "a`, `SUBSCRIBE "a\x"`, `SUBSCRIBE a"b`, `SUBSCRIBE (a)`, `SUBSCRIBE a(b`, `SUBSCRIBE a*`, `SUBSCRIBE a%`, `SUBSCRIBE a\b`, "SUBSCRIBE ~{1+}\r\na", "SUBSCRIBE {2+}\r\na\x00", "SUBSCRIBE \"a\x00\"", "SUBSCRIBE a\x7f", "SUBSCRIBE {1+}\r\nab"}},
	{"mailbox, RFC 9051", []string{`STATUS INBOX (MESSAGES)`, `STATUS inbox (MESSAGES)`, `STATUS "InBox" (MESSAGES)`, "STATUS {5+}\r\ninbox (MESSAGES)", `SUBSCRIBE &AOQ-`, `SUBSCRIBE a&-b`},
		[]string{`SUBSCRIBE &`, `SUBSCRIBE &AOQ`, `SUBSCRIBE &AGE-`, "SUBSCRIBE {1+}\r\n\xff", `SUBSCRIBE &2D0-`}},
	{"append, RFC 9051", []string{"APPEND box {1+}\r\nx", "APPEND box () {1+}\r\nx", `APPEND box (\Seen $x kw) {1+}` + "\r\nx", `APPEND box "17-Jul-1996 02:44:25 -0700" {1+}` + "\r\nx", `APPEND box (\Seen) " 7-Jul-1996 02:44:25 +0000" {1+}` + "\r\nx", "APPEND box ~{2+}\r\nx\x00"},
		[]string{"APPEND box", "APPEND box x", `APPEND box "x"`, "APPEND {1+}\r\nx", "APPEND box \\Seen {1+}\r\nx", `APPEND box "17-Jul-1996" {1+}` + "\r\nx", `APPEND box "32-Jul-1996 02:44:25 -0700" {1+}` + "\r\nx", `APPEND box "17-Foo-1996 02:44:25 -0700" {1+}` + "\r\nx", `APPEND box "17-Jul-1996 02:44:25" {1+}` + "\r\nx",
			"APPEND box (\\Seen {1+}\r\nx", "APPEND box {1+}\r\nx y", "APPEND box {2+}\r\nx\x00", `APPEND box " 7-Jul-1996 02:44:25 +0000" (\Seen) {1+}` + "\r\nx", "APPEND box (\\) {1+}\r\nx"}},
	{"append, RFC 3502", []string{"APPEND box {1+}\r\nx {1+}\r\ny", "APPEND box (\\Seen) {1+}\r\nx () {1+}\r\ny"}, []string{"APPEND box {1+}\r\nx{1+}\r\ny", "APPEND box {1+}\r\nx (\\Seen)", "APPEND box {1+}\r\nx {1+}\r\ny z"}},
	{"append-data, RFC 6855", []string{"APPEND box UTF8 (~{1+}\r\nx)"}, []string{"APPEND box UTF8 ~{1+}\r\nx", "APPEND box UTF8 (~{1+}\r\nx", "APPEND box UTF8 ()"}},
	{"catenate, RFC 4469", []string{"APPEND box CATENATE (TEXT {1+}\r\nx)", "APPEND box CATENATE (TEXT {1+}\r\nx TEXT {1+}\r\ny)", `APPEND box (\Seen) CATENATE (URL "/nowhere")`, "APPEND box CATENATE (TEXT {1+}\r\nx URL {3+}\r\n/no)"},
		[]string{"APPEND box CATENATE ()", "APPEND box CATENATE", "APPEND box CATENATE TEXT {1+}\r\nx", "APPEND box CATENATE (TEXT x)", "APPEND box CATENATE (URL)", "APPEND box CATENATE (FILE x)", "APPEND box CATENATE (TEXT {1+}\r\nx", "APPEND box CATENATE (TEXT {1+}\r\nx) y"}},
	{"replace, RFC 8508", []string{"REPLACE 1 box {1+}\r\nx", "UID REPLACE 99 box (\\Seen) {1+}\r\nx", "REPLACE * box {1+}\r\nx"}, []string{"REPLACE 1 box", "REPLACE 0 box {1+}\r\nx", "REPLACE 1:2 box {1+}\r\nx", "REPLACE 1,2 box {1+}\r\nx", "REPLACE x box {1+}\r\nx", "REPLACE 1 box {1+}\r\nx {1+}\r\ny", "UID REPLACE 1", "REPLACE 1 {1+}\r\nx"}},
	{"create, RFC 9051 and 6154", []string{`CREATE box`, `CREATE new/`, `CREATE box (USE (\Junk))`, `CREATE box (USE ())`, `CREATE box (USE (\Junk \Trash))`}, []string{`CREATE`, `CREATE a b`, `CREATE box (USE)`, `CREATE box (USE \Junk)`, `CREATE box (FOO (\Junk))`, `CREATE box (USE (\Junk)`, `CREATE box USE (\Junk)`}},
	{"delete, rename, unsubscribe, RFC 9051", []string{`DELETE nowhere`, `RENAME nowhere there`, `UNSUBSCRIBE a`, `RENAME "a b" {1+}` + "\r\nc"}, []string{`DELETE`, `DELETE a b`, `RENAME a`, `RENAME a b c`, `RENAME`, `UNSUBSCRIBE`, `UNSUBSCRIBE a b`}},
	{"enable, RFC 5161", []string{`ENABLE X-UNKNOWN`, `ENABLE condstore`, `ENABLE X-A X-B`}, []string{`ENABLE`, `ENABLE (X)`, `ENABLE "X"`}},
	{"list, RFC 9051", []string{`LIST "" ""`, `LIST "" *`, `LIST "" %`, `LIST "" INBOX`, `LIST "" "a%b*"`, `LIST a {1+}` + "\r\n*", `LIST "" (* %)`, `LIST () "" *`, `LIST (SUBSCRIBED) "" *`, `LIST (SUBSCRIBED RECURSIVEMATCH) "" %`, `LIST (REMOTE) "" *`, `LIST "" * RETURN ()`, `LIST "" * RETURN (SUBSCRIBED CHILDREN)`, `LIST "" a]b`},
		[]string{`LIST`, `LIST ""`, `LIST "" * x`, `LIST "" ()`, `LIST (RECURSIVEMATCH) "" *`, `LIST (REMOTE RECURSIVEMATCH) "" *`, `LIST (FOO) "" *`, `LIST "" * RETURN`, `LIST "" * RETURN (FOO)`, `LIST "" * RETURN (CHILDREN`, `LIST (SUBSCRIBED "" *`, `LIST "" * RETURN CHILDREN`, `LIST "" (*`, `LIST "" * ()`}},
	{"list, RFC 5819, 6154, 9590", []string{`LIST "" * RETURN (STATUS (MESSAGES UNSEEN))`, `LIST (SPECIAL-USE) "" *`, `LIST "" * RETURN (SPECIAL-USE)`, `LIST "" * RETURN (METADATA (/private/comment))`, `LIST "" * RETURN (STATUS (MESSAGES) CHILDREN)`},
		[]string{`LIST "" * RETURN (STATUS)`, `LIST "" * RETURN (STATUS ())`, `LIST "" * RETURN (STATUS (FOO))`, `LIST "" * RETURN (STATUS MESSAGES)`, `LIST "" * RETURN (METADATA)`, `LIST "" * RETURN (METADATA ())`}},
	{"lsub, RFC 3501", []string{`LSUB "" *`, `LSUB a %`}, []string{`LSUB`, `LSUB ""`, `LSUB "" * x`}},
	{"status, RFC 9051 and extensions", []string{`STATUS INBOX (MESSAGES)`, `STATUS INBOX (messages recent uidnext uidvalidity unseen deleted size highestmodseq appendlimit mailboxid deleted-storage)`}, []string{`STATUS INBOX`, `STATUS INBOX ()`, `STATUS INBOX MESSAGES`, `STATUS INBOX (FOO)`, `STATUS (MESSAGES)`, `STATUS INBOX (MESSAGES`, `STATUS INBOX (MESSAGES) x`}},
	{"examine, RFC 7162", []string{`EXAMINE INBOX`, `EXAMINE INBOX ()`, `EXAMINE INBOX (CONDSTORE)`, `SELECT INBOX (condstore)`}, []string{`EXAMINE`, `EXAMINE INBOX x`, `EXAMINE INBOX (FOO)`, `EXAMINE INBOX (CONDSTORE`, `SELECT INBOX CONDSTORE`}},
	{"id, RFC 2971", []string{`ID NIL`, `ID ()`, `ID ("name" "x")`, `ID ("name" NIL "version" {1+}` + "\r\n1)", `ID nil`}, []string{`ID`, `ID x`, `ID ("name")`, `ID (name x)`, `ID ("name" "x"`, `ID (NIL "x" "y")`}},
	{"sequence-set, RFC 9051", []string{`FETCH 1 UID`, `FETCH 1:2 UID`, `FETCH 2:1 UID`, `FETCH * UID`, `FETCH 1:* UID`, `FETCH *:1 UID`, `FETCH 1,2:*,1 UID`, `FETCH $ UID`, `UID FETCH 4294967295 UID`},
		[]string{`FETCH 0 UID`, `FETCH 1: UID`, `FETCH :1 UID`, `FETCH 1, UID`, `FETCH ,1 UID`, `FETCH 1:2:3 UID`, `FETCH 4294967296 UID`, `FETCH -1 UID`, `FETCH 1,0 UID`, `FETCH $,1 UID`, `FETCH x UID`, `FETCH "1" UID`, `FETCH 99999 UID`}},
	{"fetch, RFC 9051", []string{`FETCH 1 ALL`, `FETCH 1 fast`, `FETCH 1 FULL`, `FETCH 1 FLAGS`, `FETCH 1 (FLAGS)`, `FETCH 1 (FLAGS UID ENVELOPE BODY BODYSTRUCTURE INTERNALDATE RFC822.SIZE)`, `FETCH 1 BODY`, `FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT)`},
		[]string{`FETCH`, `FETCH 1`, `FETCH 1 ()`, `FETCH 1 (ALL)`, `FETCH 1 FLAGS UID`, `FETCH 1 FOO`, `FETCH 1 (FLAGS`, `FETCH 1 (FLAGS,UID)`, `FETCH (FLAGS) 1`, `FETCH 1 RFC822.FOO`, `FETCH 1 ALLS`}},
	{"section, RFC 9051", []string{`FETCH 1 BODY[]`, `FETCH 1 BODY.PEEK[]`, `FETCH 1 body[header]`, `FETCH 1 BODY[TEXT]`, `FETCH 1 BODY[1]`, `FETCH 1 BODY[1.2.3]`, `FETCH 1 BODY[1.MIME]`, `FETCH 1 BODY[1.HEADER]`, `FETCH 1 BODY[1.TEXT]`, `FETCH 1 BODY[HEADER.FIELDS (A)]`, `FETCH 1 BODY[HEADER.FIELDS.NOT (A "b" {1+}` + "\r\nc)]", `FETCH 1 BODY[2.HEADER.FIELDS (A)]`},
		[]string{`FETCH 1 BODY[`, `FETCH 1 BODY[0]`, `FETCH 1 BODY[1.]`, `FETCH 1 BODY[1.0]`, `FETCH 1 BODY[.1]`, `FETCH 1 BODY[MIME]`, `FETCH 1 BODY[1TEXT]`, `FETCH 1 BODY[FOO]`, `FETCH 1 BODY[HEADER.FIELDS]`, `FETCH 1 BODY[HEADER.FIELDS ()]`, `FETCH 1 BODY[HEADER.FIELDS A]`, `FETCH 1 BODY[HEADER.FIELDS (A)`, `FETCH 1 BODY []`, `FETCH 1 BODY.PEEK`, `FETCH 1 BODY[HEADER (A)]`, `FETCH 1 BODY[1.FOO]`}},
	{"partial, RFC 9051", []string{`FETCH 1 BODY[]<0.1>`, `FETCH 1 BODY.PEEK[1]<9.100>`, `FETCH 1 BODY[HEADER.FIELDS (A)]<1.1>`, `FETCH 1 BODY[]<0.9223372036854775807>`}, []string{`FETCH 1 BODY[]<0>`, `FETCH 1 BODY[]<0.0>`, `FETCH 1 BODY[]<.1>`, `FETCH 1 BODY[]<0.1`, `FETCH 1 BODY[]<-1.1>`, `FETCH 1 BODY[]<0.9223372036854775808>`, `FETCH 1 BODY<0.1>`}},
	{"binary, RFC 3516", []string{`FETCH 1 BINARY[1]`, `FETCH 1 BINARY.PEEK[1]`, `FETCH 1 BINARY.SIZE[1]`, `FETCH 1 BINARY[]`, `FETCH 1 BINARY.PEEK[1]<0.5>`}, []string{`FETCH 1 BINARY`, `FETCH 1 BINARY[HEADER]`, `FETCH 1 BINARY[1.TEXT]`, `FETCH 1 BINARY.SIZE[1]<0.1>`, `FETCH 1 BINARY.SIZE`, `FETCH 1 BINARY[1.]`, `FETCH 1 BINARY[1]<0.0>`}},
	{"fetch of extensions, RFC 7162, 8474, 8514, 8970", []string{`FETCH 1 (MODSEQ EMAILID THREADID SAVEDATE PREVIEW)`, `FETCH 1 PREVIEW (LAZY)`, `FETCH 1 (PREVIEW (LAZY) UID)`, `FETCH 1 FLAGS (CHANGEDSINCE 1)`, `FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775807)`}, []string{`FETCH 1 FLAGS (CHANGEDSINCE)`, `FETCH 1 FLAGS (CHANGEDSINCE x)`, `FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)`, `FETCH 1 FLAGS (FOO)`, `FETCH 1 FLAGS CHANGEDSINCE 1`, `FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)`, `FETCH 1 PREVIEW (FOO)`, `FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)`}},
	{"partial-range, RFC 9394", []string{`UID FETCH 1:* UID (PARTIAL 1:2)`, `UID FETCH 1:* UID (PARTIAL -1:-2)`, `UID FETCH 1:* UID (PARTIAL 2:1)`, `SEARCH RETURN (PARTIAL 1:2) ALL`}, []string{`UID FETCH 1:* UID (PARTIAL 0:1)`, `UID FETCH 1:* UID (PARTIAL 1)`, `UID FETCH 1:* UID (PARTIAL 1:-1)`, `UID FETCH 1:* UID (PARTIAL -1:1)`, `UID FETCH 1:* UID (PARTIAL *:1)`, `SEARCH RETURN (PARTIAL) ALL`, `SEARCH RETURN (PARTIAL 1:2 ALL) ALL`, `UID FETCH 1:* UID (PARTIAL 1:2 PARTIAL 3:4)`}},
	{"store, RFC 9051", []string{`STORE 1 FLAGS ()`, `STORE 1 FLAGS (\Seen)`, `STORE 1 +FLAGS \Seen`, `STORE 1 -FLAGS \Seen kw`, `STORE 1 flags.silent (kw)`, `STORE 1 +FLAGS.SILENT (kw)`, `STORE 1 -FLAGS.SILENT (kw)`, `UID STORE 99 +FLAGS (\Deleted)`},
		[]string{`STORE 1`, `STORE 1 FLAGS`, `STORE 1 FOO (\Seen)`, `STORE 1 *FLAGS (\Seen)`, `STORE 1 +FLAGS (\Seen`, `STORE 1 +FLAGS (\)`, `STORE 1 +FLAGS ("kw")`, `STORE 1 + FLAGS (kw)`, `STORE 1 +FLAGS (kw) x`, `STORE 1 FLAGS.LOUD (kw)`, `STORE 1 +FLAGS (a]b`, `STORE FLAGS (kw)`}},
	{"store, RFC 7162", []string{`STORE 1 (UNCHANGEDSINCE 9) FLAGS ()`, `STORE 1 (unchangedsince 0) +FLAGS.SILENT (kw)`}, []string{`STORE 1 (UNCHANGEDSINCE) FLAGS ()`, `STORE 1 (UNCHANGEDSINCE x) FLAGS ()`, `STORE 1 (FOO 1) FLAGS ()`, `STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) FLAGS ()`, `STORE 1 UNCHANGEDSINCE 1 FLAGS ()`, `STORE 1 (UNCHANGEDSINCE 1)FLAGS ()`}},
	{"copy, move, RFC 9051", []string{`COPY 1 nowhere`, `UID COPY 99 box`, `MOVE 1 nowhere`, `UID MOVE 99 box`, `COPY $ box`}, []string{`COPY 1`, `COPY box 1`, `COPY 1 a b`, `COPY`, `MOVE 1`, `MOVE 1 a b`, `UID COPY 1`, `UID MOVE`, `COPY 99999 box`}},
	{"uid, RFC 9051 and 4315", []string{`UID EXPUNGE 99`, `UID EXPUNGE 1:99`, `UID EXPUNGE $`}, []string{`UID`, `UID FOO`, `UID NOOP`, `UID EXPUNGE`, `UID EXPUNGE x`, `UID EXPUNGE 99 x`, `UIDFETCH 1 UID`}},
	{"search keys without arguments, RFC 9051 and 8514", []string{`SEARCH ALL`, `UID SEARCH ALL`, `SEARCH ANSWERED DELETED DRAFT FLAGGED SEEN RECENT`, `SEARCH UNANSWERED UNDELETED UNDRAFT UNFLAGGED UNSEEN`, `SEARCH OLD NEW`, `SEARCH SAVEDATESUPPORTED`, `SEARCH all`}, []string{`SEARCH`, `SEARCH FOO`, `UID SEARCH`, `UID SEARCH FOO`, `SEARCH ALL FOO`, `SEARCH ALL,SEEN`, `SEARCH "ALL"`}},
	{"search keys with a text, RFC 9051", []string{`SEARCH FROM x`, `SEARCH TO "x y"`, `SEARCH CC ""`, "SEARCH BCC {3+}\r\na b", `SEARCH SUBJECT x BODY y TEXT z`, `SEARCH HEADER X-A ""`, `SEARCH HEADER "X-A" x`, `SEARCH EMAILID M1 THREADID T1`}, []string{`SEARCH FROM`, `SEARCH FROM (x)`, `SEARCH HEADER X-A`, `SEARCH HEADER`, `SEARCH BODY`, "SEARCH TEXT ~{1+}\r\nx", `SEARCH SUBJECT "x`, `SEARCH EMAILID`}},
	{"search keys with a date, RFC 9051 and 8514", []string{`SEARCH BEFORE 1-Feb-1994 ON "1-Feb-1994" SINCE 01-feb-1994`, `SEARCH SENTBEFORE 1-Feb-1994 SENTON 1-Feb-1994 SENTSINCE 1-Feb-1994`, `SEARCH SAVEDBEFORE 1-Feb-1994 SAVEDON 1-Feb-1994 SAVEDSINCE 1-Feb-1994`}, []string{`SEARCH BEFORE`, `SEARCH BEFORE 1-Feb-94`, `SEARCH BEFORE 1994-02-01`, `SEARCH BEFORE 32-Feb-1994`, `SEARCH BEFORE 1-Foo-1994`, `SEARCH BEFORE "1-Feb-1994`, `SEARCH SENTON x`, `SEARCH SAVEDON x`}},
	{"search keys with a number, RFC 9051, 5032, 7162", []string{`SEARCH LARGER 0 SMALLER 9223372036854775807`, `SEARCH YOUNGER 1 OLDER 1`, `SEARCH MODSEQ 0`, `SEARCH MODSEQ "/flags/\\draft" all 1`, `SEARCH MODSEQ "/flags/\\draft" priv 1`, `SEARCH MODSEQ "/flags/\\draft" shared 1`}, []string{`SEARCH LARGER`, `SEARCH LARGER x`, `SEARCH SMALLER -1`, `SEARCH SMALLER 9223372036854775808`, `SEARCH YOUNGER 0`, `SEARCH OLDER 0`, `SEARCH OLDER 4294967296`, `SEARCH MODSEQ`, `SEARCH MODSEQ x`, `SEARCH MODSEQ "/flags/x" 1`, `SEARCH MODSEQ "/flags/x" foo 1`}},
	{"search keys of flags and sets, RFC 9051", []string{`SEARCH KEYWORD kw UNKEYWORD $kw`, `SEARCH UID 1:*`, `SEARCH UID $`, `SEARCH 1:*`, `SEARCH $`, `SEARCH *`}, []string{`SEARCH KEYWORD`, `SEARCH KEYWORD \Seen`, `SEARCH UNKEYWORD`, `SEARCH KEYWORD "kw"`, `SEARCH UID`, `SEARCH UID x`, `SEARCH 0`, `SEARCH 1:`}},
	{"search keys that hold others, RFC 9051", []string{`SEARCH NOT SEEN`, `SEARCH OR SEEN FLAGGED`, `SEARCH (SEEN)`, `SEARCH (SEEN FLAGGED) ALL`, `SEARCH NOT (OR (SEEN) NOT FLAGGED)`, `SEARCH ((((ALL))))`, `SEARCH OR (ALL SEEN) 1:*`}, []string{`SEARCH NOT`, `SEARCH OR SEEN`, `SEARCH OR`, `SEARCH ()`, `SEARCH (SEEN`, `SEARCH SEEN)`, `SEARCH (SEEN)(FLAGGED)`, `SEARCH NOT()`, "SEARCH " + strings.Repeat("(", 60) + "ALL" + strings.Repeat(")", 60), "SEARCH " + strings.Repeat("NOT ", 60) + "ALL"}},
	{"charset, RFC 9051", []string{`SEARCH CHARSET UTF-8 ALL`, `SEARCH CHARSET "us-ascii" ALL`, `SEARCH CHARSET NONESUCH ALL`, "SEARCH CHARSET UTF-8 SUBJECT {2+}\r\nä"}, []string{`SEARCH CHARSET`, `SEARCH CHARSET UTF-8`, `SEARCH ALL CHARSET UTF-8`, "SEARCH CHARSET UTF-8 SUBJECT {1+}\r\n\xff"}},
	{"search-return-opts, RFC 4731, 5182, 5267", []string{`SEARCH RETURN () ALL`, `SEARCH RETURN (MIN MAX ALL COUNT) ALL`, `SEARCH RETURN (SAVE) ALL`, `SEARCH RETURN (COUNT) CHARSET UTF-8 ALL`, `SEARCH return (min) all`, `SEARCH RETURN (COUNT CONTEXT) ALL`}, []string{`SEARCH RETURN ALL`, `SEARCH RETURN (FOO) ALL`, `SEARCH RETURN (MIN`, `SEARCH RETURN ()`, `SEARCH RETURN`, `SEARCH ALL RETURN ()`, `SEARCH RETURN (MIN)ALL`}},
	{"cancelupdate, RFC 5267", nil, []string{`CANCELUPDATE`, `CANCELUPDATE "none such"`, `CANCELUPDATE x`, `CANCELUPDATE "x`}},
	{"esearch, RFC 7377", []string{`ESEARCH ALL`, `ESEARCH IN (PERSONAL) ALL`, `ESEARCH IN (INBOXES SUBSCRIBED) RETURN (COUNT) UNSEEN`, `ESEARCH IN (SUBTREE box MAILBOXES (INBOX box)) ALL`, `ESEARCH IN (subtree-one box) ALL`, `ESEARCH IN (SELECTED) RETURN (ALL) ALL`}, []string{`ESEARCH`, `ESEARCH IN () ALL`, `ESEARCH IN PERSONAL ALL`, `ESEARCH IN (FOO) ALL`, `ESEARCH IN (SUBTREE) ALL`, `ESEARCH IN (MAILBOXES ()) ALL`, `ESEARCH IN (PERSONAL)`, `ESEARCH IN (PERSONAL (x)) ALL`}},
	{"sort, RFC 5256, 5957, 5267", []string{`SORT (DATE) UTF-8 ALL`, `SORT (REVERSE ARRIVAL CC FROM SIZE SUBJECT TO) US-ASCII ALL`, `SORT (DISPLAYFROM REVERSE DISPLAYTO) "utf-8" SEEN`, `SORT RETURN (COUNT) (DATE) UTF-8 ALL`, `UID SORT (DATE) UTF-8 1:*`},
		[]string{`SORT`, `SORT (DATE) ALL`, `SORT () UTF-8 ALL`, `SORT (FOO) UTF-8 ALL`, `SORT (REVERSE) UTF-8 ALL`, `SORT (REVERSE REVERSE DATE) UTF-8 ALL`, `SORT DATE UTF-8 ALL`, `SORT (DATE UTF-8 ALL`, `SORT (DATE) UTF-8`, `SORT (DATE) "" ALL`, `SORT RETURN (FOO) (DATE) UTF-8 ALL`}},
	{"thread, RFC 5256", []string{`THREAD REFERENCES UTF-8 ALL`, `THREAD ORDEREDSUBJECT US-ASCII 1:*`, `UID THREAD refs UTF-8 SEEN`}, []string{`THREAD`, `THREAD REFERENCES`, `THREAD REFERENCES UTF-8`, `THREAD FOO UTF-8 ALL`, `THREAD (REFERENCES) UTF-8 ALL`, `THREAD REFERENCES ALL`}},
	{"getmetadata, RFC 5464", []string{`GETMETADATA "" /shared/comment`, `GETMETADATA INBOX (/private/comment /shared/comment)`, `GETMETADATA (MAXSIZE 10) INBOX /private/comment`, `GETMETADATA (DEPTH 1) "" (/shared)`, `GETMETADATA (DEPTH infinity MAXSIZE 0) "" /shared`, `GETMETADATA INBOX (DEPTH 0) /private/x`}, []string{`GETMETADATA`, `GETMETADATA INBOX`, `GETMETADATA INBOX ()`, `GETMETADATA (MAXSIZE) INBOX /x`, `GETMETADATA (DEPTH 2) INBOX /x`, `GETMETADATA () INBOX /x`, `GETMETADATA (FOO 1) INBOX /x`, `GETMETADATA (DEPTH 1 DEPTH 1) INBOX /x`, `GETMETADATA INBOX /x y`}},
	{"setmetadata, RFC 5464", []string{`SETMETADATA INBOX (/private/comment "x")`, `SETMETADATA INBOX (/private/comment NIL)`, "SETMETADATA INBOX (/private/comment {1+}\r\nx /private/x ~{1+}\r\n\x00)"}, []string{`SETMETADATA INBOX`, `SETMETADATA INBOX ()`, `SETMETADATA INBOX (/private/comment)`, `SETMETADATA INBOX /private/comment "x"`, `SETMETADATA INBOX (/private/comment x)`, `SETMETADATA INBOX (/private/comment "x"`}},
	{"quota, RFC 9208", []string{`GETQUOTA ""`, `GETQUOTAROOT INBOX`, `SETQUOTA "" (STORAGE 1)`, `SETQUOTA "" ()`}, []string{`GETQUOTA`, `GETQUOTA a b`, `GETQUOTAROOT`, `GETQUOTAROOT a b`, `SETQUOTA ""`, `SETQUOTA "" (STORAGE)`, `SETQUOTA "" (STORAGE x)`, `SETQUOTA "" STORAGE 1`}},
	{"acl, RFC 4314", []string{`GETACL box`, `MYRIGHTS box`, `LISTRIGHTS box bob@example.org`, `SETACL box bob@example.org lr`, `SETACL box bob@example.org +s`, `SETACL box bob@example.org "-s"`, `SETACL box bob@example.org ""`, `DELETEACL box bob@example.org`},
		[]string{`GETACL`, `GETACL a b`, `MYRIGHTS`, `MYRIGHTS a b`, `LISTRIGHTS box`, `LISTRIGHTS box a b`, `SETACL box`, `SETACL box a`, `SETACL box a lr x`, `SETACL`, `DELETEACL box`, `DELETEACL box a b`}},
	{"notify, RFC 5465", []string{`NOTIFY NONE`, `NOTIFY SET (PERSONAL (MessageNew MessageExpunge))`, `NOTIFY SET STATUS (INBOXES (MessageNew MessageExpunge FlagChange))`, `NOTIFY SET (SELECTED (MessageNew (UID FLAGS) MessageExpunge))`, `NOTIFY SET (SELECTED-DELAYED NONE)`, `NOTIFY SET (SUBTREE box (MailboxName)) (MAILBOXES (INBOX box) (SubscriptionChange))`},
		[]string{`NOTIFY`, `NOTIFY SET`, `NOTIFY FOO`, `NOTIFY SET ()`, `NOTIFY SET (PERSONAL)`, `NOTIFY SET (PERSONAL ())`, `NOTIFY SET (PERSONAL (MessageNew))`, `NOTIFY SET (PERSONAL (FlagChange))`, `NOTIFY SET (FOO NONE)`, `NOTIFY SET (SUBTREE (MailboxName))`, `NOTIFY SET (PERSONAL (MessageNew (UID) MessageExpunge))`, `NOTIFY SET (SELECTED (MailboxName))`, `NOTIFY NONE x`}},
	{"compress, RFC 4978", nil, []string{`COMPRESS`, `COMPRESS (DEFLATE)`, `COMPRESS DEFLATE x`}},
	{"login, authenticate, RFC 9051", nil, []string{`LOGIN`, `LOGIN a`, `LOGIN a b c`, `LOGIN (a) b`, `AUTHENTICATE`, `AUTHENTICATE (PLAIN)`, `AUTHENTICATE PLAIN = x`}},
	{"qresync-param, RFC 7162", []string{"EXAMINE INBOX (QRESYNC (1 1))", "EXAMINE INBOX (QRESYNC (1 1 1:5))", "EXAMINE INBOX (QRESYNC (1 1 1:5 (1 1)))", "EXAMINE INBOX (QRESYNC (1 1 (1,2 1,2)))", "EXAMINE INBOX (CONDSTORE QRESYNC (1 1))", "UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)"},
		[]string{"EXAMINE INBOX (QRESYNC)", "EXAMINE INBOX (QRESYNC ())", "EXAMINE INBOX (QRESYNC (1))", "EXAMINE INBOX (QRESYNC (0 1))", "EXAMINE INBOX (QRESYNC (1 0))", "EXAMINE INBOX (QRESYNC (1 1 *))", "EXAMINE INBOX (QRESYNC (1 1 $))", "EXAMINE INBOX (QRESYNC (1 1 1:5 (1)))", "EXAMINE INBOX (QRESYNC (1 1 (1,2 1)))", "EXAMINE INBOX (QRESYNC (1 1 (2,1 1,2)))", "EXAMINE INBOX (QRESYNC (1 1) QRESYNC (1 1))", "UID FETCH 1:* FLAGS (VANISHED)"}},
}

// TestGrammar holds the server against rules, and each command against having
// one: those without arguments are right alone and wrong with anything.
func TestGrammar(t *testing.T) {
	k := newKit(t, nil)
	var c *client
	fresh := func(rule string) {
		if c != nil {
			c.conn.Close()
		}
		if strings.HasPrefix(rule, "login") {
			c = k.dial()
			c.line()
			return
		}
		c = k.login("alice")
		if strings.HasPrefix(rule, "qresync") {
			c.ok("ENABLE QRESYNC")
		}
		c.do("CREATE box")
		for range 2 { // REPLACE and MOVE take them away
			c.ok("APPEND INBOX {4+}\r\na: b")
		}
		c.ok("SELECT INBOX")
	}
	judge := func(cmd string, bad bool) {
		t.Helper()
		if _, tagged := c.do(cmd); strings.HasPrefix(tagged, "BAD") != bad {
			t.Errorf("%q: %s", cmd, tagged)
		}
		// What a command did to the session is not the next one's matter.
		c.do("NOOP")
	}
	ruled := map[string]bool{"NOTIFY": true}
	name := func(cmd string) string {
		words := strings.Fields(strings.ToUpper(cmd))
		if len(words) > 1 && words[0] == "UID" {
			return "UID " + words[1]
		}
		return words[0]
	}
	for _, r := range rules {
		for i, cmd := range append(slices.Clone(r.good), r.bad...) {
			if i%4 == 0 {
				fresh(r.rule)
			}
			ruled[name(cmd)] = true
			judge(cmd, i >= len(r.good))
		}
	}
	for cmd, row := range commands {
		if !row.noArgs {
			if !ruled[cmd] {
				t.Errorf("no rule for %s", cmd)
			}
			continue
		}
		rule := ""
		if row.states == notAuthenticated {
			rule = "login"
		}
		for _, arg := range []string{" x", " ()", ` ""`} {
			fresh(rule)
			judge(cmd+arg, true)
		}
		fresh(rule)
		switch cmd {
		case "IDLE":
			c.send("i IDLE\r\nDONE\r\n")
			if _, tagged := c.until("i"); !strings.HasPrefix(tagged, "OK") {
				t.Error(tagged)
			}
		case "STARTTLS": // TestStartTLS
		default:
			_, tagged := c.do(cmd)
			if !strings.HasPrefix(tagged, "OK") {
				t.Errorf("%s: %s", cmd, tagged)
			}
		}
	}
	c.conn.Close()
}

// TestTags: a tag is what RFC 9051 section 9 says. What has none that could be
// answered is answered without.
func TestTags(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	for _, tag := range []string{"a", "A1", "]", "a.b", "1", "$", "~", "NIL", strings.Repeat("x", 60)} {
		c.send(tag + " NOOP\r\n")
		if s := c.line(); !strings.HasPrefix(s, tag+" OK") {
			t.Errorf("%q: %s", tag, s)
		}
	}
	for i, line := range []string{"", " NOOP", "+ NOOP", "* NOOP", "a+b NOOP", `"a" NOOP`, "(a) NOOP", "a{1} NOOP", "\x01 NOOP", "a", "%a NOOP"} {
		if i%3 == 0 {
			c.ok("NOOP")
		}
		c.send(line + "\r\n")
		if s := c.line(); !strings.HasPrefix(s, "* BAD") && !strings.HasPrefix(s, "a BAD") {
			t.Errorf("%q: %s", line, s)
		}
	}
	c.ok("NOOP")
}
