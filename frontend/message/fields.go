package message

// The header fields a summary keeps, by number. The numbers and the order are
// part of the format (FORMAT.md): fields are added at the end, with a new
// fieldSet, and none is ever taken away.
const (
	fieldDate = iota + 1
	fieldSubject
	fieldFrom
	fieldSender
	fieldReplyTo
	fieldTo
	fieldCc
	fieldBcc
	fieldInReplyTo
	fieldMessageID
	lastEnvelope = fieldMessageID

	fieldReferences = lastEnvelope + 1
)

// fieldNames holds the usual spelling of each kept field. The first ten make
// the ENVELOPE; the rest is what mutt, Thunderbird, Apple Mail, K-9, mbsync
// and webmailers list besides, as far as it is short or rare.
var fieldNames = [...]string{
	"", "Date", "Subject", "From", "Sender", "Reply-To", "To", "Cc", "Bcc",
	"In-Reply-To", "Message-ID", "References", "Content-Type", "MIME-Version",
	"Content-Transfer-Encoding", "Content-Disposition", "Content-Description",
	"Content-Language", "List-Id", "List-Post", "List-Subscribe",
	"List-Unsubscribe", "List-Unsubscribe-Post", "X-Priority", "Priority",
	"Importance", "Newsgroups", "Lines", "X-Label", "X-Original-To", "X-TUID",
	"X-Uniform-Type-Identifier", "X-Universally-Unique-Identifier",
	"Disposition-Notification-To", "Auto-Submitted", "Precedence",
	"X-Spam-Flag", "X-Draft-Info", "X-Identity-Key", "X-K9mail-Identity",
}

// fieldSet is how many fields this version keeps.
const fieldSet = len(fieldNames) - 1

// fieldByLen lists the fields by the length of their names.
var fieldByLen = func() (t [40][]byte) {
	for id, n := range fieldNames {
		if id > 0 {
			t[len(n)] = append(t[len(n)], byte(id))
		}
	}
	return t
}()

// fieldID returns the number of a kept field, 0 for any other.
func fieldID[T string | []byte](name T) byte {
	if len(name) >= len(fieldByLen) {
		return 0
	}
next:
	for _, id := range fieldByLen[len(name)] {
		s := fieldNames[id]
		for i := range len(name) {
			if lower(name[i]) != lower(s[i]) {
				continue next
			}
		}
		return id
	}
	return 0
}
