package deflate

// naive decodes as many whole symbols as there are in src, one bit at a time
// and with codes in a map: it is what Inflater is held against. bad tells that
// the stream is none, end that it is over.
func naive(src []byte) (out []byte, bad, end bool) {
	at := 0
	short := false
	bit := func() int {
		if at >= 8*len(src) {
			short = true
			return 0
		}
		b := int(src[at/8]>>(at%8)) & 1
		at++
		return b
	}
	num := func(n int) (v int) {
		for i := range n {
			v |= bit() << i
		}
		return v
	}
	type code struct{ len, bits int }
	codes := func(lens []int) (map[code]int, bool) {
		m := map[code]int{}
		next, room := 0, 1<<15
		used := 0
		for n := 1; n <= 15; n++ {
			next <<= 1
			for sym, l := range lens {
				if l == n {
					m[code{n, next}] = sym
					next++
					room -= 1 << (15 - n)
					used++
				}
			}
		}
		single := used == 0 || used == 1 && room == 1<<14
		return m, room == 0 || single
	}
	symbol := func(m map[code]int) int {
		c := code{}
		for c.len < 15 {
			if len(m) < 2 && c.len == 1 {
				break // no code, or a single one of one bit
			}
			c.bits = c.bits<<1 | bit()
			c.len++
			if short {
				return 0
			}
			if s, ok := m[code(c)]; ok {
				return s
			}
		}
		return -1
	}
	for final := false; !final; {
		final = bit() == 1
		kind := num(2)
		if short {
			return out, false, false
		}
		var lit, dst map[code]int
		switch kind {
		case 0:
			for at%8 != 0 {
				at++
			}
			n, c := num(16), num(16)
			if short {
				return out, false, false
			}
			if n != c^0xffff {
				return out, true, false
			}
			for range n {
				b := num(8)
				if short {
					return out, false, false
				}
				out = append(out, byte(b))
			}
			continue
		case 1:
			lens := make([]int, 288)
			for i := range lens {
				lens[i] = 8
				if i >= 144 && i < 256 {
					lens[i] = 9
				}
				if i >= 256 && i < 280 {
					lens[i] = 7
				}
			}
			lit, _ = codes(lens)
			for i := range 32 {
				lens[i] = 5
			}
			dst, _ = codes(lens[:32])
		case 2:
			nl, nd, nc := num(5)+257, num(5)+1, num(4)+4
			if short {
				return out, false, false
			}
			if nl > 286 || nd > 30 {
				return out, true, false
			}
			lens := make([]int, 19)
			for i := range nc {
				lens[[]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[i]] = num(3)
			}
			if short {
				return out, false, false
			}
			cl, ok := codes(lens)
			if !ok {
				return out, true, false
			}
			var all []int
			for len(all) < nl+nd {
				s := symbol(cl)
				if s < 0 {
					return out, true, false
				}
				what, times := s, 1
				switch s {
				case 16:
					times = 3 + num(2)
				case 17:
					what, times = 0, 3+num(3)
				case 18:
					what, times = 0, 11+num(7)
				}
				if short {
					return out, false, false
				}
				if s == 16 {
					if len(all) == 0 {
						return out, true, false
					}
					what = all[len(all)-1]
				}
				for range times {
					all = append(all, what)
				}
			}
			if len(all) > nl+nd || all[256] == 0 {
				return out, true, false
			}
			var ok1, ok2 bool
			lit, ok1 = codes(all[:nl])
			dst, ok2 = codes(all[nl:])
			if !ok1 || !ok2 {
				return out, true, false
			}
		default:
			return out, true, false
		}
		for {
			s := symbol(lit)
			if short {
				return out, false, false
			}
			if s < 0 || s > 285 {
				return out, true, false
			}
			if s == 256 {
				break
			}
			if s < 256 {
				out = append(out, byte(s))
				continue
			}
			length := 258
			if s < 285 {
				length = 3
				for i := 257; i < s; i++ {
					length += 1 << max((i-257)/4-1, 0)
				}
				length += num(max((s-257)/4-1, 0))
			}
			d := symbol(dst)
			if short {
				return out, false, false
			}
			if d < 0 || d > 29 {
				return out, true, false
			}
			dist := 1
			for i := range d {
				dist += 1 << max(i/2-1, 0)
			}
			dist += num(max(d/2-1, 0))
			if short {
				return out, false, false
			}
			if dist > len(out) {
				return out, true, false
			}
			for range length {
				out = append(out, out[len(out)-dist])
			}
		}
	}
	return out, false, true
}
