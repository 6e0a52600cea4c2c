package lawtest

import (
	"slices"
	"strings"
	"testing"
)

// rule forbids imports. Arrows in the house go down only: cmd, frontend,
// mailstore, cluster, crypto.
type rule struct {
	name   string
	from   []string          // packages below the module; "x/..." is x and all under it
	never  []string          // what they may not import, in the same way; ours begin with "./"
	why    string            // what would break
	but    []string          // what of that they may import all the same
	except map[string]string // "from -> to": why it may all the same
	tests  bool              // also holds for _test.go files
}

// simulates is why the simulation of whole nodes may see them whole: it has
// only tests.
const simulates = "tests that put a node's parts together, as cmd/altmail does"

var law = []rule{
	{
		name:  "crypto imports nothing of ours",
		from:  []string{"crypto/..."},
		never: []string{"./..."},
		why:   "what seals the mail is read and judged alone",
		tests: true,
	},
	{
		name:  "the vocabulary of cluster stands on nothing",
		from:  []string{"cluster"},
		never: []string{"./..."},
		why:   "every room speaks it",
		tests: true,
	},
	{
		name:  "cluster knows no mail",
		from:  []string{"cluster/..."},
		never: []string{"./mailstore/...", "./frontend/..."},
		why:   "it moves bytes; consensus must not depend on what they mean",
		tests: true,
	},
	{
		name:  "a group knows neither its host nor its members' lives",
		from:  []string{"cluster/group/...", "cluster/logstore/...", "cluster/snapshot/...", "cluster/transport/..."},
		never: []string{"./cluster/node/...", "./cluster/member/..."},
		why:   "membership stands on groups; a circle would tie the two",
		tests: true,
	},
	{
		name:  "mailstore knows no protocol",
		from:  []string{"mailstore/..."},
		never: []string{"./frontend/..."},
		why:   "SMTP and IMAP come and go, the store stays",
		tests: true,
	},
	{
		name:  "mailstore knows the cluster by its interfaces",
		from:  []string{"mailstore/..."},
		never: []string{"./cluster/group/...", "./cluster/logstore/...", "./cluster/snapshot/...", "./cluster/transport/...", "./cluster/node/...", "./cluster/member/..."},
		why:   "consensus can be exchanged without touching the store",
		except: map[string]string{
			"mailstore/roster -> cluster/member": "it keeps the member rows in the directory group, behind member's interface",

			"mailstore/sim -> cluster/group":           simulates,
			"mailstore/sim -> cluster/group/grouptest": simulates,
			"mailstore/sim -> cluster/logstore":        simulates,
			"mailstore/sim -> cluster/transport":       simulates,
		},
		tests: true,
	},
	{
		name:  "the vocabulary of mailstore stands on cluster's alone",
		from:  []string{"mailstore"},
		never: []string{"./mailstore/...", "./crypto/..."},
		why:   "every room above speaks it",
		tests: true,
	},
	{
		name:  "stores do not know the doors",
		from:  []string{"mailstore/command/...", "mailstore/state/...", "mailstore/body/...", "mailstore/search/..."},
		never: []string{"./mailstore/commit/...", "./mailstore/lookup/...", "./mailstore/change/...", "./mailstore/roster/..."},
		why:   "doors stand on stores",
		tests: true,
	},
	{
		name:  "the read door and the feed do not write",
		from:  []string{"mailstore/lookup/...", "mailstore/change/..."},
		never: []string{"./mailstore/commit/..."},
		why:   "the write door reads through the read door, never the other way",
	},
	{
		name:  "frontend reaches mail by its doors",
		from:  []string{"frontend/..."},
		never: []string{"./mailstore/state/...", "./mailstore/body/...", "./mailstore/command/...", "./mailstore/search/..."},
		why:   "an answer is a promise only when it came through commit, lookup or change",
		tests: true,
	},
	{
		name:  "frontend knows the cluster by its words",
		from:  []string{"frontend/..."},
		never: []string{"./cluster/group/...", "./cluster/logstore/...", "./cluster/snapshot/...", "./cluster/transport/...", "./cluster/node/...", "./cluster/member/..."},
		why:   "protocols must not see how mail is replicated",
		except: map[string]string{
			"frontend/admin -> cluster/member": "operators manage members; it is the frontend of that room",
		},
		tests: true,
	},
	{
		name:  "parsers and policy stand below the protocols",
		from:  []string{"frontend/imapwire/...", "frontend/message/...", "frontend/sasl/...", "frontend/policy/...", "frontend/sieve/..."},
		never: []string{"./frontend/smtp/...", "./frontend/imap/...", "./frontend/managesieve/...", "./frontend/relay/...", "./frontend/admin/...", "./frontend/auth/..."},
		why:   "the protocols share them",
		tests: true,
	},
	{
		name:  "IMAP and SMTP do not know each other",
		from:  []string{"frontend/imap/...", "frontend/imapwire/..."},
		never: []string{"./frontend/smtp/..."},
		why:   "they meet in the store",
		tests: true,
	},
	{
		name:  "SMTP and IMAP do not know each other",
		from:  []string{"frontend/smtp/...", "frontend/relay/..."},
		never: []string{"./frontend/imap/...", "./frontend/imapwire/..."},
		why:   "they meet in the store",
		tests: true,
	},
	{
		name:  "the state is deterministic",
		from:  []string{"mailstore/state/..."},
		never: []string{"time", "math/rand/...", "net/...", "os/...", "crypto/rand"},
		why:   "every replica must apply an entry alike: no clock, no chance, no machine",
	},
	{
		name:  "the command schema is deterministic",
		from:  []string{"mailstore/command"},
		never: []string{"time", "math/rand/...", "net/...", "os/...", "crypto/rand"},
		why:   "apply decodes with it",
	},
	{
		name:  "the fault harness speaks only SMTP, IMAP and the command line",
		from:  []string{"bench/faults/..."},
		never: []string{"./..."},
		but:   []string{"./bench/faults/..."},
		why:   "it judges what clients see; knowing our code it would judge our beliefs",
		tests: true,
	},
	{
		name:  "nobody sees cmd",
		from:  []string{"crypto/...", "cluster/...", "mailstore/...", "frontend/...", "bench/..."},
		never: []string{"./cmd/..."},
		why:   "it is the wiring of everything else",
		tests: true,
	},
	{
		name:  "bench is seen by nobody but cmd",
		from:  []string{"crypto/...", "cluster/...", "mailstore/...", "frontend/..."},
		never: []string{"./bench/..."},
		why:   "a server must not carry what measures it",
		tests: true,
	},
	{
		name:  "test helpers stay in tests",
		from:  []string{"cmd/...", "frontend/...", "bench/..."},
		never: []string{"./mailstore/storetest/...", "./cluster/group/grouptest/..."},
		why:   "they open stores without the guards of a node",
	},
	{
		name:  "test helpers stay in tests (stores)",
		from:  []string{"mailstore/...", "cluster/..."},
		never: []string{"./mailstore/storetest/...", "./cluster/group/grouptest/..."},
		why:   "they open stores without the guards of a node",
	},
}

// in tells whether a path is covered by a pattern.
func in(pattern, path string) bool {
	tree, all := strings.CutSuffix(pattern, "...")
	if !all {
		return pattern == path
	}
	return tree == "" || tree == "./" && strings.HasPrefix(path, "./") || path+"/" == tree || strings.HasPrefix(path, tree)
}

// ours writes an import path as the rules do: ours begin with "./".
func ours(path string) string {
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return "./" + rest
	}
	return path
}

// forbids tells whether a rule forbids a package to import another, and the
// exception it would need.
func (r rule) forbids(from, to string, test bool) (key string, bad bool) {
	if test && !r.tests || !slices.ContainsFunc(r.from, func(p string) bool { return in(p, from) }) {
		return "", false
	}
	to = ours(to)
	covers := func(p string) bool { return in(p, to) }
	if !slices.ContainsFunc(r.never, covers) || slices.ContainsFunc(r.but, covers) || to == "./"+from {
		return "", false
	}
	return from + " -> " + strings.TrimPrefix(to, "./"), true
}

func TestImports(t *testing.T) {
	seen := make([]int, len(law))
	used := make([]map[string]bool, len(law))
	for _, f := range source(t) {
		for i, r := range law {
			if slices.ContainsFunc(r.from, func(p string) bool { return in(p, f.pkg) }) {
				seen[i]++
			}
			for _, to := range f.imports() {
				key, bad := r.forbids(f.pkg, to, f.test)
				if !bad {
					continue
				}
				if _, ok := r.except[key]; ok {
					if used[i] == nil {
						used[i] = map[string]bool{}
					}
					used[i][key] = true
					continue
				}
				t.Errorf("%s imports %s\n\tthe law: %s\n\tbecause %s", f.path, to, r.name, r.why)
			}
		}
	}
	for i, r := range law {
		if seen[i] == 0 {
			t.Errorf("%s: the rule is about no file at all", r.name)
		}
		for key := range r.except {
			if !used[i][key] {
				t.Errorf("%s: the exception %s is needed no more", r.name, key)
			}
		}
	}
}

// TestLawBites shows that each rule would notice.
func TestLawBites(t *testing.T) {
	for _, c := range []struct {
		from, to string
		test     bool
		bad      bool
	}{
		{"crypto/seal", module + "/crypto/keyring", false, true},
		{"crypto/seal", module + "/cluster", true, true},
		{"crypto/seal", "crypto/rand", false, false},
		{"cluster", module + "/crypto/pki", false, true},
		{"cluster/group", module + "/mailstore", false, true},
		{"cluster/group", module + "/cluster/node", false, true},
		{"cluster/node", module + "/cluster/group", false, false},
		{"cluster/transport", module + "/cmd/altmail/config", false, true},
		{"mailstore", module + "/mailstore/command", false, true},
		{"mailstore", module + "/cluster", false, false},
		{"mailstore/state", "time", false, true},
		{"mailstore/state", "time", true, false},
		{"mailstore/state", "math/rand/v2", false, true},
		{"mailstore/state", "net/netip", false, true},
		{"mailstore/state", "os", false, true},
		{"mailstore/state", "crypto/rand", false, true},
		{"mailstore/state", "crypto/sha256", false, false},
		{"mailstore/state", module + "/mailstore/lookup", false, true},
		{"mailstore/lookup", module + "/mailstore/commit", false, true},
		{"mailstore/lookup", module + "/cluster/group", false, true},
		{"mailstore/roster", module + "/cluster/member", false, false},
		{"mailstore/commit", module + "/cluster/member", false, true},
		{"mailstore/commit", module + "/frontend/message", true, true},
		{"mailstore/commit", module + "/mailstore/storetest", true, false},
		{"mailstore/commit", module + "/mailstore/storetest", false, true},
		{"frontend/imap", module + "/mailstore/command/commandpb", false, true},
		{"frontend/imap", module + "/mailstore/state", true, true},
		{"frontend/imap", module + "/mailstore/change", false, false},
		{"frontend/imap", module + "/frontend/smtp", false, true},
		{"frontend/smtp", module + "/frontend/imapwire", false, true},
		{"frontend/message", module + "/frontend/smtp", false, true},
		{"frontend/admin", module + "/cluster/member", false, false},
		{"frontend/smtp", module + "/cluster/member", false, true},
		{"frontend/smtp", module + "/mailstore/storetest", false, true},
		{"bench/faults", module + "/frontend/message", true, true},
		{"bench/faults", module + "/cluster", false, true},
		{"bench/faults", module + "/bench/faults/disk", false, false},
		{"bench/faults/disk", module + "/cluster/logstore", true, true},
		{"bench/load", module + "/cmd/altmail", false, true},
		{"mailstore/body", module + "/bench/corpus", true, true},
		{"cmd/altmail", module + "/mailstore/state", false, false},
	} {
		bad := false
		for _, r := range law {
			if key, b := r.forbids(c.from, c.to, c.test); b {
				if _, ok := r.except[key]; !ok {
					bad = true
				}
			}
		}
		if bad != c.bad {
			t.Errorf("%s importing %s (test %t): forbidden %t, want %t", c.from, c.to, c.test, bad, c.bad)
		}
	}
}
