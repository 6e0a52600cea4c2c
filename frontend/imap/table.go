package imap

import (
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
)

// command is one row of the table of commands. An extension that brings a
// command adds a row and nothing else here.
type command struct {
	run    func(*call) error
	states state
	// noArgs is set for commands that have no arguments.
	noArgs bool
	// writes is set for commands that change the selected mailbox: they are
	// refused when it was opened with EXAMINE.
	writes bool
	// sequence is set for commands during which no message may be expunged
	// from the client's view, unless they are UID commands.
	sequence bool
	uid      bool
	// numbers is set for commands that name or return messages by their
	// sequence numbers: those that have a UID twin.
	numbers bool
	// quiet is set for commands after which nothing is announced, because
	// they leave no mailbox selected or told all of it.
	quiet bool
	// literal decides about literals; nil takes them under the usual limits.
	literal func(*session, *imapwire.Frame, *imapwire.Literal) error
}

var commands map[string]*command

func init() {
	commands = map[string]*command{
		// RFC 9051 section 6.1
		"CAPABILITY": {run: cmdCapability, states: anyState, noArgs: true},
		"NOOP":       {run: cmdNoop, states: anyState, noArgs: true},
		"LOGOUT":     {run: cmdLogout, states: anyState, noArgs: true, quiet: true},
		"ID":         {run: cmdID, states: anyState}, // RFC 2971
		// 6.2
		"STARTTLS":       {run: cmdStartTLS, states: notAuthenticated, noArgs: true},
		"AUTHENTICATE":   {run: cmdAuthenticate, states: notAuthenticated},
		"LOGIN":          {run: cmdLogin, states: notAuthenticated},
		"UNAUTHENTICATE": {run: cmdUnauthenticate, states: loggedIn, noArgs: true, quiet: true}, // RFC 8437
		// 6.3
		"ENABLE":      {run: cmdEnable, states: loggedIn},
		"SELECT":      {run: cmdSelect, states: loggedIn, quiet: true},
		"EXAMINE":     {run: cmdExamine, states: loggedIn, quiet: true},
		"CREATE":      {run: cmdCreate, states: loggedIn},
		"DELETE":      {run: cmdDelete, states: loggedIn},
		"RENAME":      {run: cmdRename, states: loggedIn},
		"SUBSCRIBE":   {run: cmdSubscribe, states: loggedIn},
		"UNSUBSCRIBE": {run: cmdUnsubscribe, states: loggedIn},
		"LIST":        {run: cmdList, states: loggedIn},
		"LSUB":        {run: cmdLsub, states: loggedIn},     // RFC 3501 section 6.3.9
		"COMPRESS":    {run: cmdCompress, states: loggedIn}, // RFC 4978
		"NAMESPACE":   {run: cmdNamespace, states: loggedIn, noArgs: true},
		"STATUS":      {run: cmdStatus, states: loggedIn},
		"APPEND":      {run: cmdAppend, states: loggedIn, literal: appendLiteral},
		"IDLE":        {run: cmdIdle, states: loggedIn, noArgs: true},
		"NOTIFY":      {run: cmdNotify, states: loggedIn},                                 // RFC 5465
		"ESEARCH":     {run: cmdMultiSearch, states: loggedIn, sequence: true, uid: true}, // RFC 7377
		// RFC 5464
		"GETMETADATA": {run: cmdGetMetadata, states: loggedIn},
		"SETMETADATA": {run: cmdSetMetadata, states: loggedIn, literal: metadataLiteral},
		// RFC 4314
		"SETACL":     {run: cmdSetACL, states: loggedIn},
		"DELETEACL":  {run: cmdDeleteACL, states: loggedIn},
		"GETACL":     {run: cmdGetACL, states: loggedIn},
		"LISTRIGHTS": {run: cmdListRights, states: loggedIn},
		"MYRIGHTS":   {run: cmdMyRights, states: loggedIn},
		// RFC 9208
		"GETQUOTA":     {run: cmdGetQuota, states: loggedIn},
		"GETQUOTAROOT": {run: cmdGetQuotaRoot, states: loggedIn},
		"SETQUOTA":     {run: cmdSetQuota, states: loggedIn},
		// 6.4
		"CHECK":        {run: cmdNoop, states: selected, noArgs: true}, // RFC 3501 section 6.4.1
		"CLOSE":        {run: cmdClose, states: selected, noArgs: true, quiet: true},
		"UNSELECT":     {run: cmdUnselect, states: selected, noArgs: true, quiet: true},
		"EXPUNGE":      {run: cmdExpunge, states: selected, noArgs: true, writes: true},
		"SEARCH":       {run: cmdSearch, states: selected, sequence: true},
		"CANCELUPDATE": {run: cmdCancelUpdate, states: selected},         // RFC 5267
		"SORT":         {run: cmdSort, states: selected, sequence: true}, // RFC 5256
		"THREAD":       {run: cmdThread, states: selected, sequence: true},
		"UID SORT":     {run: cmdSort, states: selected, sequence: true, uid: true},
		"UID THREAD":   {run: cmdThread, states: selected, sequence: true, uid: true},
		"FETCH":        {run: cmdFetch, states: selected, sequence: true},
		"STORE":        {run: cmdStore, states: selected, sequence: true, writes: true},
		"COPY":         {run: cmdCopy, states: selected},
		"MOVE":         {run: cmdMove, states: selected, writes: true},
		"UID SEARCH":   {run: cmdSearch, states: selected, sequence: true, uid: true},
		"UID FETCH":    {run: cmdFetch, states: selected, sequence: true, uid: true},
		"UID STORE":    {run: cmdStore, states: selected, sequence: true, writes: true, uid: true},
		"UID COPY":     {run: cmdCopy, states: selected, uid: true},
		"UID MOVE":     {run: cmdMove, states: selected, writes: true, uid: true},
		"REPLACE":      {run: cmdReplace, states: selected, writes: true, literal: replaceLiteral}, // RFC 8508
		"UID REPLACE":  {run: cmdReplace, states: selected, writes: true, uid: true, literal: replaceLiteral},
		"UID EXPUNGE":  {run: cmdUIDExpunge, states: selected, writes: true, uid: true}, // RFC 4315
	}
	for name, c := range commands {
		// EXPUNGE has no arguments, and UID EXPUNGE is something else.
		c.numbers = !c.noArgs && commands["UID "+name] != nil
	}
}

// command returns what a name stands for if it is allowed now. This is asked
// before anything of the arguments is looked at.
func (s *session) command(name string) (*command, error) {
	c, ok := commands[name]
	switch {
	case !ok:
		return nil, &imapwire.SyntaxError{Text: "Unknown command"}
	case c.states&s.state() == 0:
		switch {
		case s.account == nil:
			return nil, bad("Log in first")
		case c.states == selected:
			return nil, bad("No mailbox is selected")
		}
		return nil, bad("Logged in already")
	case c.numbers && s.uidonly:
		return nil, errUIDRequired
	case c.writes && s.box.readOnly:
		return nil, no("READ-ONLY", "Mailbox is open read-only")
	}
	return c, nil
}

func accountID(n uint64) mailstore.AccountID { return mailstore.AccountID(n) }
