package imapwire

import "testing"

// accepts reports whether a command parses to its end.
func accepts(t *testing.T, in string, parse func(*Scanner)) bool {
	t.Helper()
	s := scan(t, in, false)
	parse(s)
	return s.End() == nil
}

func TestPreviewArgs(t *testing.T) {
	for in, want := range map[string][]FetchItem{
		"a FETCH 1 PREVIEW":                               {FetchPreview},
		"a FETCH 1 preview (lazy)":                        {FetchPreviewLazy},
		"a FETCH 1 PREVIEW (LAZY LAZY)":                   {FetchPreviewLazy},
		"a FETCH 1 PREVIEW (CHANGEDSINCE 5)":              {FetchPreview},
		"a FETCH 1 PREVIEW (LAZY) (CHANGEDSINCE 5)":       {FetchPreviewLazy},
		"a FETCH 1 (PREVIEW)":                             {FetchPreview},
		"a FETCH 1 (UID PREVIEW (LAZY) FLAGS)":            {FetchUID, FetchPreviewLazy, FetchFlags},
		"a FETCH 1 (PREVIEW FLAGS)":                       {FetchPreview, FetchFlags},
		"a FETCH 1 (FLAGS PREVIEW (LAZY))":                {FetchFlags, FetchPreviewLazy},
		"a UID FETCH $ (PREVIEW (LAZY)) (CHANGEDSINCE 5)": {FetchPreviewLazy},
	} {
		s := scan(t, in, false)
		f := s.Fetch()
		if err := s.End(); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if len(f.Atts) != len(want) {
			t.Errorf("%q: %v", in, f.Atts)
			continue
		}
		for i := range want {
			if f.Atts[i].Item != want[i] {
				t.Errorf("%q: item %d is %d", in, i, f.Atts[i].Item)
			}
		}
	}
	for _, in := range []string{
		"a FETCH 1 PREVIEW (", "a FETCH 1 PREVIEW (EAGER)", "a FETCH 1 (PREVIEW ())", "a FETCH 1 (PREVIEW (EAGER))",
		"a FETCH 1 PREVIEW (LAZY", "a FETCH 1 PREVIEW (LAZY X)", "a FETCH 1 PREVIEWS", "a FETCH 1 PREVIEW(LAZY)", "a FETCH 1 PREVIEW (LAZY) (LAZY)",
	} {
		if accepts(t, in, func(s *Scanner) { s.Fetch() }) {
			t.Errorf("%q is accepted", in)
		}
	}
}
