package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "altmail.toml")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(p)
}

func TestSampleLoads(t *testing.T) {
	b, err := Sample()
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(t, string(b))
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	again, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(b) {
		t.Errorf("sample does not survive a round trip:\n%s\n---\n%s", b, again)
	}
	want := Default()
	want.Name, want.DataDir, want.Cluster.Advertise = c.Name, c.DataDir, c.Cluster.Advertise
	c.LMTP.Listen = want.LMTP.Listen
	if !reflect.DeepEqual(c, want) {
		t.Errorf("sample differs from the defaults:\n%+v\n%+v", c, want)
	}
}

func TestRefused(t *testing.T) {
	const ok = "name='n1'\ndata_dir='/d'\n[cluster]\nadvertise='h:1'\n"
	if _, err := load(t, ok); err != nil {
		t.Fatalf("the base of the table must load: %v", err)
	}
	for _, c := range []struct{ text, says string }{
		{"data_dir='/d'\n[cluster]\nadvertise='h:1'\n", "name"},
		{"name='n1'\ndata_dir='d'\n[cluster]\nadvertise='h:1'\n", "absolute"},
		{"name='n1'\ndata_dir='/d'\n", "advertise"},
		{"name='n1'\ndata_dir='/d'\n[cluster]\nadvertise='0.0.0.0:1'\n", "unspecified"},
		{"nmae='n1'\n" + ok, "nmae"},
		{ok + "[key]\nsource='cloud'\n", "key.source"},
		{ok + "[tls]\ncert_file='/c'\n", "go together"},
		{ok + "[imap]\nlisten=['143']\n", "imap.listen"},
		{ok + "[imap]\nlisten=['unix:/x']\n", "imap.listen"},
		{ok + "[lmtp]\nlisten=['unix:x']\n", "absolute"},
		{ok + "[admin]\nhttp='10.0.0.1:80'\n", "loopback"},
		{ok + "[limits]\nmessage_size='1k'\n", "message_size"},
		{ok + "[limits]\nmessage_size='lots'\n", "not a size"},
		{ok + "[limits]\nmessages_per_command=5\n", "messages_per_command"},
		{ok + "[limits]\nmemory_in_flight='1MiB'\n", "memory_in_flight"},
		{ok + "[store]\nlog_entries=3\n", "log_entries"},
		{ok + "[store]\nerase_within='1'\n", "duration"},
		{ok + "[proxy]\nfrom=['lb1']\n", "proxy.from"},
		{ok + "[proxy]\nfrom=['192.0.2.1', '10.0.0.0/33']\n", "proxy.from"},
		{ok + "[proxy]\nfrom=['::/0']\n", "choose its address"},
		{ok + "[proxy]\nfrom=['::ffff:10.0.0.0/104']\n", "IPv4"},
		{ok + "[proxy]\nfrom=['fe80::1%eth0']\n", "proxy.from"},
		{ok + "[limits\n", ""},
	} {
		_, err := load(t, c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: got %v, want an error that says %q", c.text, err, c.says)
		}
	}
}

func TestProxies(t *testing.T) {
	got, err := Proxy{From: []string{"192.0.2.7", "10.1.2.3/8", "2001:db8::1", "2001:db8:1::/48", "::ffff:192.0.2.8"}}.Prefixes()
	if want := "[192.0.2.7/32 10.0.0.0/8 2001:db8::1/128 2001:db8:1::/48 192.0.2.8/32]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
}

func TestSizeAndDuration(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "17": 17, "17B": 17, "5k": 5000, "64MiB": 64 << 20, "2GiB": 2 << 30, "3M": 3e6} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err != nil || int64(s) != want {
			t.Errorf("%q = %d, %v; want %d", in, s, err, want)
		}
	}
	for _, in := range []string{"", "-1", "x", "1.5G", "9999999999999999GiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is no size, got %d", in, s)
		}
	}
	for _, in := range []string{"7d", "90s", "1h30m"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
}
