// Package config is a node's configuration: one TOML file, unknown keys
// refused, with a sample generated from the same structure that reads it.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Config is everything a node is told by its operator. Secrets are never in
// it, only the paths of files that hold them.
type Config struct {
	// Name is what people call the node, in status tables and logs.
	Name string `toml:"name" comment:"What people call this node; unique in the cluster."`
	// DataDir holds everything the node stores.
	DataDir string `toml:"data_dir" comment:"Directory of everything this node stores. Never guessed."`
	// Hostname is what SMTP and IMAP greet with and Received says.
	Hostname string `toml:"hostname" comment:"Name in SMTP and IMAP greetings and in Received. Empty: the system's host name."`
	// StaleReads lets SELECT open read-only without a majority.
	StaleReads bool `toml:"stale_reads" comment:"Without a majority, open mailboxes read-only with an ALERT instead of refusing. Sync clients may delete local mail they no longer see."`

	Key         Key     `toml:"key" comment:"Where the key that opens this node's keyring comes from."`
	Cluster     Cluster `toml:"cluster" comment:"The one port between nodes (TLS 1.3, mutual certificates)."`
	TLS         TLS     `toml:"tls" comment:"Certificate for mail clients. Empty: a self-signed one kept in the keyring."`
	SMTP        Listen  `toml:"smtp" comment:"Mail from other servers (MX)."`
	Submission  Listen  `toml:"submission" comment:"Mail from clients, STARTTLS."`
	Submissions Listen  `toml:"submissions" comment:"Mail from clients, implicit TLS."`
	LMTP        Listen  `toml:"lmtp" comment:"Mail from a local MTA: host:port or unix:/path."`
	IMAP        Listen  `toml:"imap" comment:"IMAP, STARTTLS."`
	IMAPS       Listen  `toml:"imaps" comment:"IMAP, implicit TLS."`
	Admin       Admin   `toml:"admin" comment:"The operator's socket, health checks and metrics."`
	Proxy       Proxy   `toml:"proxy" comment:"Load balancers in front of the mail ports that tell the client's address (PROXY protocol, version 1 or 2)."`
	Limits      Limits  `toml:"limits" comment:"What one client or message may use."`
	Store       Store   `toml:"store" comment:"The stores on this node's disk."`
}

// Key says where the unlock key comes from.
type Key struct {
	Source     string `toml:"source" comment:"file, passphrase or credential (a systemd credential)."`
	File       string `toml:"file" comment:"For file: the key file, best on another device than data_dir. cluster init and join make it when it is missing."`
	Credential string `toml:"credential" comment:"For credential: its name in $CREDENTIALS_DIRECTORY."`
}

// Cluster is the port between nodes.
type Cluster struct {
	Listen    string `toml:"listen" comment:"host:port to listen on."`
	Advertise string `toml:"advertise" comment:"host:port other nodes reach it by. Empty: listen."`
}

// TLS is the certificate shown to mail clients.
type TLS struct {
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
}

// Listen is a list of addresses of one service; none turns it off.
type Listen struct {
	Listen []string `toml:"listen"`
}

// Admin is how operators reach the node.
type Admin struct {
	Socket string `toml:"socket" comment:"Unix socket of the admin API. Empty: admin.sock in data_dir."`
	HTTP   string `toml:"http" comment:"host:port for /livez, /readyz, /metrics and pprof; loopback only. Empty: on the socket alone."`
}

// Proxy says who speaks for clients.
type Proxy struct {
	From []string `toml:"from" comment:"Their addresses or networks: 192.0.2.7, 2001:db8::/64. Each connection from one must begin with a header, on every port but lmtp; from anyone else none is taken."`
}

// Prefixes returns the networks of the proxies.
func (p Proxy) Prefixes() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, f := range p.From {
		if a, err := netip.ParseAddr(f); err == nil && a.Zone() == "" {
			a = a.Unmap()
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		n, err := netip.ParsePrefix(f)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is no address and no network (192.0.2.7, 2001:db8::/64)", f)
		case n.Bits() == 0:
			return nil, fmt.Errorf("%q: with it any client could choose its address", f)
		case n.Addr().Is4In6():
			return nil, fmt.Errorf("%q: write it as a network of IPv4", f)
		}
		out = append(out, n.Masked())
	}
	return out, nil
}

// Limits bound what clients can use.
type Limits struct {
	MessageSize        Size `toml:"message_size" comment:"Largest message accepted."`
	Recipients         int  `toml:"recipients" comment:"Recipients of one SMTP transaction."`
	ConnectionsPerIP   int  `toml:"connections_per_ip" comment:"SMTP connections, and IMAP connections before login, from one address (a /64 of IPv6). IMAP does not count loopback."`
	SessionsPerAccount int  `toml:"sessions_per_account" comment:"IMAP sessions of one account."`
	MessagesPerCommand int  `toml:"messages_per_command" comment:"Messages that one IMAP command may be about, told to clients as MESSAGELIMIT (RFC 9738); one account's own: altmail account mask. 0: any number."`
	MemoryInFlight     Size `toml:"memory_in_flight" comment:"Bytes of messages being received at one time."`
	// AllowPlaintext lets clients log in without TLS: for tests on loopback.
	AllowPlaintext bool `toml:"allow_plaintext_login" comment:"Let clients log in without TLS. For tests on loopback only."`
}

// Store sizes the stores.
type Store struct {
	Cache       Size     `toml:"cache" comment:"Block cache of the state database."`
	LogEntries  int      `toml:"log_entries" comment:"Log entries kept for nodes that were away; one that missed more gets a whole state."`
	EraseWithin Duration `toml:"erase_within" comment:"Deleted mail has left this node's disk after this much running time."`
}

// Size is a number of bytes, written 64MiB, 500k or plain.
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(b []byte) error {
	t := strings.TrimSpace(string(b))
	units := []struct {
		suffix string
		mul    int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}, {"B", 1}, {"", 1}}
	for _, u := range units {
		if num, ok := strings.CutSuffix(t, u.suffix); ok {
			var n int64
			if _, err := fmt.Sscanf(num+"\x00", "%d\x00", &n); err != nil || n < 0 || n > (1<<62)/u.mul {
				return fmt.Errorf("%q is not a size (64MiB, 500k, 1000)", t)
			}
			*s = Size(n * u.mul)
			return nil
		}
	}
	return fmt.Errorf("%q is not a size", t)
}

// MarshalText writes a size in the largest unit that divides it.
func (s Size) MarshalText() ([]byte, error) {
	switch {
	case s != 0 && s%(1<<30) == 0:
		return fmt.Appendf(nil, "%dGiB", s>>30), nil
	case s != 0 && s%(1<<20) == 0:
		return fmt.Appendf(nil, "%dMiB", s>>20), nil
	case s != 0 && s%(1<<10) == 0:
		return fmt.Appendf(nil, "%dKiB", s>>10), nil
	}
	return fmt.Appendf(nil, "%d", s), nil
}

// Duration is a time span, written as Go writes them, with d for days.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	t := string(b)
	if days, ok := strings.CutSuffix(t, "d"); ok {
		var n int64
		if _, err := fmt.Sscanf(days+"\x00", "%d\x00", &n); err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("%q is not a duration (10s, 3h, 7d)", t)
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(t)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration (10s, 3h, 7d)", t)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) {
	v := time.Duration(d)
	if v != 0 && v%(24*time.Hour) == 0 {
		return fmt.Appendf(nil, "%dd", v/(24*time.Hour)), nil
	}
	return []byte(v.String()), nil
}

// Default returns the values a file need not name.
func Default() *Config {
	return &Config{
		Key:         Key{Source: "file", File: "/etc/altmail/unlock.key"},
		Cluster:     Cluster{Listen: ":7190"},
		SMTP:        Listen{[]string{":25"}},
		Submission:  Listen{[]string{":587"}},
		Submissions: Listen{[]string{":465"}},
		LMTP:        Listen{},
		IMAP:        Listen{[]string{":143"}},
		IMAPS:       Listen{[]string{":993"}},
		Proxy:       Proxy{From: []string{}},
		Limits: Limits{
			MessageSize: 50 << 20, Recipients: 1000, ConnectionsPerIP: 100,
			SessionsPerAccount: 128, MemoryInFlight: 256 << 20,
		},
		Store: Store{Cache: 128 << 20, LogEntries: 200_000, EraseWithin: Duration(7 * 24 * time.Hour)},
	}
}

// Load reads and checks a file. Unknown keys are errors that name the line.
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := Default()
	dec := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("%s: unknown key:\n%s", path, strict.String())
		}
		var de *toml.DecodeError
		if errors.As(err, &de) {
			row, col := de.Position()
			return nil, fmt.Errorf("%s:%d:%d: %w", path, row, col, err)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Check reports the first thing that cannot work.
func (c *Config) Check() error {
	if c.Name == "" || len(c.Name) > 63 || strings.ContainsAny(c.Name, " \t\r\n/") {
		return errors.New("name: a node needs a short name without spaces")
	}
	if !filepath.IsAbs(c.DataDir) {
		return errors.New("data_dir: must be an absolute path")
	}
	switch c.Key.Source {
	case "file":
		if !filepath.IsAbs(c.Key.File) {
			return errors.New("key.file: must be an absolute path")
		}
	case "passphrase":
	case "credential":
		if c.Key.Credential == "" {
			return errors.New("key.credential: needs a name")
		}
	default:
		return fmt.Errorf("key.source: %q is none of file, passphrase, credential", c.Key.Source)
	}
	if err := hostPort("cluster.listen", c.Cluster.Listen); err != nil {
		return err
	}
	adv := c.Cluster.AdvertiseAddr()
	host, _, err := net.SplitHostPort(adv)
	if err != nil {
		return fmt.Errorf("cluster.advertise: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return errors.New("cluster.advertise: other nodes can't reach an unspecified address; name this host")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return errors.New("tls: cert_file and key_file go together")
	}
	for _, l := range []struct {
		key   string
		addrs []string
		unix  bool
	}{
		{"smtp", c.SMTP.Listen, false}, {"submission", c.Submission.Listen, false},
		{"submissions", c.Submissions.Listen, false}, {"lmtp", c.LMTP.Listen, true},
		{"imap", c.IMAP.Listen, false}, {"imaps", c.IMAPS.Listen, false},
	} {
		for _, a := range l.addrs {
			if p, ok := strings.CutPrefix(a, "unix:"); ok && l.unix {
				if !filepath.IsAbs(p) {
					return fmt.Errorf("%s.listen: %q: the socket's path must be absolute", l.key, a)
				}
				continue
			}
			if err := hostPort(l.key+".listen", a); err != nil {
				return err
			}
		}
	}
	if _, err := c.Proxy.Prefixes(); err != nil {
		return fmt.Errorf("proxy.from: %w", err)
	}
	if a := c.Admin.HTTP; a != "" {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return fmt.Errorf("admin.http: %w", err)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return errors.New("admin.http: loopback only; put a proxy in front of it for anything else")
		}
	}
	switch l := c.Limits; {
	case l.MessageSize < 64<<10 || l.MessageSize > 128<<20:
		return errors.New("limits.message_size: between 64KiB and 128MiB")
	case l.Recipients < 100:
		return errors.New("limits.recipients: at least 100 (RFC 5321 section 4.5.3.1.8)")
	case l.ConnectionsPerIP < 1 || l.SessionsPerAccount < 1:
		return errors.New("limits: connections_per_ip and sessions_per_account must be positive")
	case l.MessagesPerCommand < 0 || l.MessagesPerCommand > 1<<31-1 || l.MessagesPerCommand > 0 && l.MessagesPerCommand < 100:
		return errors.New("limits.messages_per_command: 0, or 100 at least")
	case l.MemoryInFlight < l.MessageSize:
		return errors.New("limits.memory_in_flight: less than one message")
	}
	if c.Store.Cache < 8<<20 {
		return errors.New("store.cache: at least 8MiB")
	}
	if c.Store.LogEntries < 64 || c.Store.LogEntries > 10_000_000 {
		return errors.New("store.log_entries: between 64 and 10000000")
	}
	if time.Duration(c.Store.EraseWithin) < time.Minute {
		return errors.New("store.erase_within: at least 1m")
	}
	return nil
}

// AdvertiseAddr is the address other nodes reach this one by.
func (c Cluster) AdvertiseAddr() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	return c.Listen
}

// AdminSocket is the path of the admin socket.
func (c *Config) AdminSocket() string {
	if c.Admin.Socket != "" {
		return c.Admin.Socket
	}
	return filepath.Join(c.DataDir, "admin.sock")
}

// Host is the name for greetings.
func (c *Config) Host() string {
	if c.Hostname != "" {
		return c.Hostname
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		return h
	}
	return "localhost"
}

// Sample returns a commented file that Load accepts.
func Sample() ([]byte, error) {
	c := Default()
	c.Name = "node1"
	c.DataDir = "/var/lib/altmail"
	c.Cluster.Advertise = "node1.example.net:7190"
	return c.Encode()
}

// Encode writes the configuration as a file.
func (c *Config) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := toml.NewEncoder(&b)
	enc.SetArraysMultiline(false)
	if err := enc.Encode(c); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func hostPort(key, a string) error {
	_, port, err := net.SplitHostPort(a)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", key, a)
	}
	return nil
}
