package imap

import (
	"testing"
	"time"
)

func BenchmarkSort10k(b *testing.B) {
	_, c := filled(b, 10000)
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	for _, cmd := range []string{"FETCH 1:* ENVELOPE", "SORT (ARRIVAL) UTF-8 ALL", "SORT (DATE) UTF-8 ALL", "SORT (SUBJECT) UTF-8 ALL",
		"SORT (FROM DATE) UTF-8 ALL", "SORT (DISPLAYFROM) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL"} {
		b.Run(cmd, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.send("s " + cmd + "\r\n")
				c.drain("s")
			}
		})
	}
}
