package deflate

// window holds what was decoded last, up to 32 KiB. It is as large as it has
// to be: most clients send little.
type window struct {
	b    []byte // its length is a power of two
	n    int    // octets held
	next int    // where the next goes
}

const smallWindow = 512

// add takes what was decoded.
func (w *window) add(p []byte) {
	if len(p) > windowSize {
		p = p[len(p)-windowSize:]
	}
	if len(p) == 0 {
		return
	}
	if want := min(w.n+len(p), windowSize); want > len(w.b) {
		w.grow(want)
	}
	mask := len(w.b) - 1
	c := copy(w.b[w.next:], p)
	copy(w.b, p[c:])
	w.next = (w.next + len(p)) & mask
	w.n = min(w.n+len(p), len(w.b))
}

func (w *window) grow(want int) {
	size := max(len(w.b), smallWindow)
	for size < want {
		size *= 2
	}
	b := make([]byte, size)
	w.tail(b[:w.n])
	w.b, w.next = b, w.n&(size-1)
}

// tail copies the last octets, as many as there is room for; there have to be
// so many.
func (w *window) tail(dst []byte) { w.copy(dst, len(dst)) }

// copy copies octets from back ago on into dst, at most back, and returns how
// many. back is at most n.
func (w *window) copy(dst []byte, back int) int {
	if back == 0 {
		return 0
	}
	dst = dst[:min(len(dst), back)]
	from := (w.next - back) & (len(w.b) - 1)
	c := copy(dst, w.b[from:])
	copy(dst[c:], w.b)
	return len(dst)
}
