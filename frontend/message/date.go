package message

import (
	"time"
)

// ParseDate reads the date of a Date field leniently (RFC 5322 section 3.3
// with 4.3, asctime, RFC 3339, names of zones, missing seconds or zone). It
// reports false if there is no day, month and year in it. As RFC 5256 section
// 2.2 says, a missing time is midnight and a missing zone UTC.
func ParseDate(value []byte) (time.Time, bool) {
	d := dateParser{scanner: scanner{b: value}, day: -1, year: -1}
	for d.next() {
	}
	if d.day < 1 || d.day > 31 || d.month < 1 || d.year < 0 {
		return time.Time{}, false
	}
	if d.pm && d.hour < 12 {
		d.hour += 12
	} else if d.am && d.hour == 12 {
		d.hour = 0
	}
	loc := time.UTC
	if d.zone != 0 {
		loc = time.FixedZone("", d.zone)
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.hour, d.min, d.sec, 0, loc)
	if t.Day() != d.day && d.sec < 60 {
		return time.Time{}, false // 31 February
	}
	return t, true
}

type dateParser struct {
	scanner
	day, month, year int
	hour, min, sec   int
	timed, zoned     bool
	am, pm           bool
	zone             int // seconds east
}

var monthNames = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// zoneNames are those of RFC 5322 section 4.3 and some that occur, in hours.
var zoneNames = map[string]int{
	"ut": 0, "utc": 0, "gmt": 0, "z": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6,
	"pst": -8, "pdt": -7, "cet": 1, "met": 1, "cest": 2, "mest": 2, "eet": 2, "eest": 3, "wet": 0, "west": 1,
	"bst": 1, "jst": 9, "msk": 3,
}

// next takes in one word, number, time or zone.
func (d *dateParser) next() bool {
	d.skip()
	if d.i >= len(d.b) {
		return false
	}
	switch c := d.b[d.i]; {
	case isAlpha(c):
		d.word()
	case isDigit(c):
		d.number()
	case (c == '+' || c == '-') && d.timed && !d.zoned && d.i+1 < len(d.b) && isDigit(d.b[d.i+1]):
		d.i++
		d.offset(c == '-')
	default:
		d.i++
	}
	return true
}

func isAlpha(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (d *dateParser) word() {
	start := d.i
	var low [5]byte
	for d.i < len(d.b) && isAlpha(d.b[d.i]) {
		if n := d.i - start; n < len(low) {
			low[n] = lower(d.b[d.i])
		}
		d.i++
	}
	n := d.i - start
	if n >= 3 && d.month == 0 {
		for i, m := range monthNames {
			if string(low[:3]) == m {
				d.month = i + 1
				return
			}
		}
	}
	if n == 2 && low[1] == 'm' && d.timed {
		d.am, d.pm = d.am || low[0] == 'a', d.pm || low[0] == 'p'
	}
	if d.timed && !d.zoned && n < len(low) {
		if h, ok := zoneNames[string(low[:n])]; ok {
			// "GMT+0100" gives the offset after the name.
			d.zone = h * 3600
			d.zoned = d.i >= len(d.b) || d.b[d.i] != '+' && d.b[d.i] != '-'
		}
	}
}

// digits reads at most nine digits as a number and passes the rest.
func (d *dateParser) digits() (v, n int) {
	for d.i < len(d.b) && isDigit(d.b[d.i]) {
		if n < 9 {
			v = v*10 + int(d.b[d.i]-'0')
		}
		n++
		d.i++
	}
	return v, n
}

func (d *dateParser) at(c byte) bool { return d.i < len(d.b) && d.b[d.i] == c }

func (d *dateParser) number() {
	v, n := d.digits()
	if n <= 2 && !d.timed {
		// RFC 5322 section 4.3 allows comments around the colons.
		end := d.i
		if d.skip(); d.at(':') {
			d.clock(v)
			return
		}
		d.i = end
	}
	switch {
	case n == 4 && d.at('-') && d.year < 0 && d.day < 0:
		// RFC 3339: year, month, day.
		d.i++
		month, _ := d.digits()
		if !d.at('-') || month > 12 {
			return
		}
		d.i++
		day, _ := d.digits()
		d.year, d.month, d.day = v, month, day
		if d.at('T') || d.at('t') {
			d.i++
		}
	case n <= 2 && d.day < 0:
		d.day = v
	case n <= 5 && d.year < 0 && d.day >= 0 && d.month > 0:
		// RFC 5322 section 4.3.
		switch {
		case n <= 2 && v < 50:
			v += 2000
		case n <= 3:
			v += 1900
		}
		d.year = v
	}
}

func (d *dateParser) clock(hour int) {
	d.i++
	d.skip()
	min, n := d.digits()
	sec, end := 0, d.i
	if d.skip(); n > 0 && d.at(':') {
		d.i++
		d.skip()
		sec, _ = d.digits()
		if d.at('.') { // fractions, RFC 3339
			d.i++
			d.digits()
		}
	} else {
		d.i = end
	}
	d.timed = true
	if hour <= 24 && min < 60 && sec <= 60 {
		d.hour, d.min, d.sec = hour, min, sec
	}
}

func (d *dateParser) offset(west bool) {
	v, n := d.digits()
	if d.at(':') {
		d.i++
		m, _ := d.digits()
		v = v*100 + m
	} else if n <= 2 {
		v *= 100
	}
	d.zoned = true
	s := v/100*3600 + v%100*60
	if s > 24*3600 {
		return // no such zone: UTC
	}
	if west {
		s = -s
	}
	d.zone = s
}
