package imapwire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestMultiSearchArgs(t *testing.T) {
	all := Search{Extended: true, Return: ReturnAll}
	for in, want := range map[string]MultiSearch{
		"a ESEARCH ALL":                        {Search: all},
		"a ESEARCH RETURN () ALL":              {Search: all},
		"a ESEARCH RETURN (MIN COUNT) ALL":     {Search: Search{Extended: true, Return: ReturnMin | ReturnCount}},
		"a ESEARCH IN (selected) ALL":          {Search: all, Sources: []SearchSource{{Filter: NotifySelected}}},
		"a ESEARCH IN (selected-delayed) ALL":  {Search: all, Sources: []SearchSource{{Filter: NotifySelected}}},
		"a ESEARCH IN (personal inboxes) SEEN": {Search: all, Sources: []SearchSource{{Filter: NotifyPersonal}, {Filter: NotifyInboxes}}},
		"a esearch in (Subscribed subtree x subtree-one (y \"z z\") MAILBOXES {1+}\r\nw) RETURN (ALL) CHARSET utf-8 $": {
			Search: Search{Extended: true, Return: ReturnAll, Charset: "UTF-8", Saved: true},
			Sources: []SearchSource{{Filter: NotifySubscribed}, {NotifySubtree, []string{"x"}},
				{NotifySubtreeOne, []string{"y", "z z"}}, {NotifyMailboxes, []string{"w"}}},
		},
		"a ESEARCH IN (mailboxes inbox) 1:2 UID $": {Search: Search{Extended: true, Return: ReturnAll, Numbered: true, Saved: true},
			Sources: []SearchSource{{NotifyMailboxes, []string{"INBOX"}}}},
	} {
		s := scan(t, in, false)
		got := s.MultiSearch()
		if err := s.End(); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		got.Key, got.keys = SearchKey{}, 0
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", in, got)
		}
	}
	var many strings.Builder
	for i := range maxNotifyNames + 1 {
		fmt.Fprintf(&many, " m%d", i)
	}
	for _, in := range []string{
		"a ESEARCH", "a ESEARCH IN", "a ESEARCH IN ALL", "a ESEARCH IN () ALL", "a ESEARCH IN (selected)", "a ESEARCH IN (selected) ", "a ESEARCH IN selected ALL",
		"a ESEARCH IN (nowhere) ALL", "a ESEARCH IN (mailboxes) ALL", "a ESEARCH IN (mailboxes ()) ALL", "a ESEARCH IN (subtree) ALL", "a ESEARCH IN (subtree-one) ALL",
		"a ESEARCH IN (selected (scope)) ALL", "a ESEARCH IN ((scope)) ALL", "a ESEARCH IN (selected) IN (personal) ALL", "a ESEARCH RETURN (MIN) IN (selected) ALL",
		"a ESEARCH IN (selected)ALL", "a ESEARCH IN (selected ALL", "a ESEARCH IN (mailboxes ~{1+}\r\nx) ALL", "a ESEARCH IN (mailboxes (a b) ALL", "a ESEARCH IN (mailboxes &) ALL",
		"a ESEARCH IN (mailboxes (" + many.String()[1:] + ")) ALL", "a ESEARCH IN (" + strings.Repeat("personal ", maxNotifyGroups) + "personal) ALL",
	} {
		if accepts(t, in, func(s *Scanner) { s.MultiSearch() }) {
			t.Errorf("%.100q is accepted", in)
		}
	}
}
