//go:build e2e

package clients

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// thunderbird keeps the INBOX offline, as files of a Maildir. Its node is
// killed while it downloads; then new mail comes by IDLE, and what is flagged
// is seen by another client.
func thunderbird(s *seat) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		s.Fatal(err)
	}
	s.prefs("profile/user.js", map[string]any{
		"marionette.port":                             port,
		"mail.serverDefaultStoreContractID":           "@mozilla.org/msgstore/maildirstore;1",
		"mail.server.default.use_condstore":           true,
		"mail.imap.use_status_for_biff":               true,
		"mailnews.database.global.indexer.enabled":    false,
		"mailnews.start_page.enabled":                 false,
		"mail.provider.suppress_dialog_on_startup":    true,
		"mail.shell.checkDefaultClient":               false,
		"mail.spotlight.firstRunDone":                 true,
		"mail.chat.enabled":                           false,
		"mail.prompt_purge_threshhold":                false,
		"datareporting.policy.dataSubmissionEnabled":  false,
		"toolkit.telemetry.enabled":                   false,
		"app.update.enabled":                          false,
		"extensions.update.enabled":                   false,
		"network.captive-portal-service.enabled":      false,
		"network.connectivity-service.enabled":        false,
		"services.settings.server":                    "",
		"mailnews.auto_config.fetchFromISP.enabled":   false,
		"mail.inappnotifications.enabled":             false,
		"mail.server.default.timeout":                 240,
		"mailnews.tcptimeout":                         240,
		"mail.imap.offline_download.autosync.enabled": true,
	})
	p := s.start("thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", s.dir+"/profile")
	m := s.drive(p, port)

	size := 0
	for _, x := range s.want {
		size += len(x.Raw)
	}
	held := s.relay.hold(int64(size / 2))
	m.js(nil, `
let [port, user, password, ca] = args;
Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(ca, "C,,");
let login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
login.init("imap://localhost", null, "imap://localhost", user, password, "", "");
await Services.logins.addLoginAsync(login);
let server = MailServices.accounts.createIncomingServer(user, "localhost", "imap");
server.port = port;
server.socketType = Ci.nsMsgSocketType.SSL;
server.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
server.QueryInterface(Ci.nsIImapIncomingServer).offlineDownload = true;
let account = MailServices.accounts.createAccount();
account.incomingServer = server;
let identity = MailServices.accounts.createIdentity();
identity.email = user;
account.addIdentity(identity);
server.performExpand(null);
`, atoi(s, s.relay.port), s.account.Address, s.account.Password, der64(s, s.h.ca))
	patience := time.Minute + time.Duration(len(s.want))*50*time.Millisecond
	s.until(patience, "it does not list the messages", func() bool { return m.follow() == len(s.want) })
	s.until(patience, "it does not come to the middle", func() bool {
		select {
		case <-held:
			return true
		default:
			m.download()
			return false
		}
	})
	before := m.inbox()
	if before.Offline >= len(s.want) {
		s.Errorf("%d messages were offline before the kill", before.Offline)
	}
	s.fall()

	begun := time.Now()
	var now inbox
	s.until(playTime, "it does not sync", func() bool {
		if now = m.inbox(); !now.Busy && now.Offline < len(s.want) {
			m.follow()
			m.download()
		}
		return now.Offline == len(s.want)
	})
	s.Logf("%d of %d messages were offline before the kill, all %.1f s after it", before.Offline, len(s.want), time.Since(begun).Seconds())
	store := strings.TrimPrefix(now.Path, s.dir+"/")
	// A download that was cut off before it was noted may have left its file.
	if err := compare(onDisk(s, store), raws(s.want), 2); err != nil {
		s.Errorf("thunderbird: INBOX: %v", err)
	}

	// Told by IDLE: nobody asks it to look. It fetches what it hears of.
	s.deliver("From: a@example.org\r\nSubject: heard by idle\r\nMessage-ID: <idle@example.org>\r\n\r\nnew\r\n")
	delivered := time.Now()
	s.until(time.Minute, "it does not hear of new mail", func() bool { return m.inbox().Total == len(s.want)+1 })
	s.Logf("it showed new mail %d ms after the 250", time.Since(delivered).Milliseconds())

	// A flag and a label set here are seen by another client at another node.
	m.js(nil, inboxFolder+`
let found = [...folder.messages].filter(h => h.messageKey == args[0]);
folder.markMessagesRead(found, true);
folder.addKeywordsToMessages(found, "$label1");
`, s.want[8].UID)
	s.until(time.Minute, "a flag set here does not arrive", func() bool {
		_, seen := s.look("INBOX")
		f := flagsOf(seen, s.want[8].UID)
		return slices.Contains(f, `\Seen`) && slices.ContainsFunc(f, func(f string) bool { return strings.EqualFold(f, "$label1") })
	})
	s.until(time.Minute, "what IDLE told of is not on disk", func() bool {
		return bytes.Contains(bytes.Join(s.maildir(store), nil), []byte("Subject: heard by idle"))
	})
	_, seen := s.look("INBOX")
	if err := compare(onDisk(s, store), raws(seen), 2); err != nil {
		s.Errorf("thunderbird: INBOX in the end: %v", err)
	}
	m.js(nil, `Services.startup.quit(Ci.nsIAppStartup.eForceQuit);`)
	if err := p.end(); err != nil {
		s.Errorf("it ended with %v\n%s", err, p.out.String())
	}
}

// onDisk are the messages of a store without the lines that Thunderbird puts
// before them.
func onDisk(s *seat, store string) [][]byte {
	s.Helper()
	out := s.maildir(store)
	for i := range out {
		out[i] = mozillaLines.ReplaceAll(out[i], nil)
	}
	return out
}

var mozillaLines = regexp.MustCompile(`^(?:X-Mozilla-(?:Status2?|Keys): .*\r?\n)+`)

// inboxFolder finds the INBOX in a script.
const inboxFolder = `
let server = MailServices.accounts.accounts.map(a => a.incomingServer).find(s => s.type == "imap");
let folder = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
`

// inbox is what Thunderbird knows of its INBOX.
type inbox struct {
	Total   int
	Offline int // messages on disk
	Path    string
	Busy    bool
}

// follow has it look into the INBOX, as a click on it does, and tells how many
// messages it knows.
func (m *marionette) follow() int {
	m.s.Helper()
	m.js(nil, inboxFolder+`if (folder && !folder.locked) folder.updateFolder(null);`)
	return m.inbox().Total
}

// download has it fetch what is not on disk, as "Download now" does, unless it
// is at something already.
func (m *marionette) download() {
	m.s.Helper()
	m.js(nil, inboxFolder+`
const busy = 0x8055000a; // NS_MSG_FOLDER_BUSY
try {
	folder.downloadAllForOffline(null, null);
} catch (err) {
	if (err.result != busy) throw err;
}`)
}

func (m *marionette) inbox() inbox {
	m.s.Helper()
	var v inbox
	m.js(&v, inboxFolder+`
let v = { total: 0, offline: 0, path: "", busy: false };
if (!folder)
	return v;
v.busy = folder.locked;
v.path = folder.filePath.path;
for (let h of folder.messages) {
	v.total++;
	if (h.flags & Ci.nsMsgMessageFlags.Offline) v.offline++;
}
return v;`)
	return v
}

// prefs writes preferences of a program of Mozilla's.
func (s *seat) prefs(name string, prefs map[string]any) {
	s.Helper()
	var b strings.Builder
	for k, v := range prefs {
		text, err := json.Marshal(v)
		if err != nil {
			s.Fatal(err)
		}
		fmt.Fprintf(&b, "user_pref(%q, %s);\n", k, text)
	}
	s.file(name, b.String())
}

// der64 is a PEM certificate as base64 of its DER.
func der64(s *seat, path string) string {
	s.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		s.Fatal("no PEM")
	}
	return base64.StdEncoding.EncodeToString(block.Bytes)
}

func atoi(s *seat, text string) int {
	s.Helper()
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		s.Fatal(err)
	}
	return n
}
