package lookup

import "altmail.se/altmail/mailstore"

// Imported tells up to which UID of its source a mailbox has been imported, and
// whether its messages have the UIDs they had there. For a mailbox that is not
// imported it is 0 and false.
func (a *Account) Imported(box mailstore.MailboxID) (last mailstore.UID, kept bool, err error) {
	v := a.Read()
	defer v.Close()
	if err := v.exists(box); err != nil {
		return 0, false, err
	}
	last, kept, _, err = v.r.Imported(a.id, box)
	return last, kept, err
}
