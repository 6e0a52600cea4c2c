package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrHeader: what a connection began with is no header.
var ErrHeader = errors.New("proxyproto: malformed header")

func malformed(why string) error { return fmt.Errorf("%w: %s", ErrHeader, why) }

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	prefix    = "PROXY "                 // of version 1
	maxLine   = 107                      // of version 1, with its CRLF
	// maxBody bounds the addresses and values of version 2: certificates of
	// clients do not belong there.
	maxBody = 4 << 10
)

// readHeader reads a header and not an octet more. It returns the client's
// address; nil if there is none behind the proxy, which then speaks for itself.
func readHeader(r io.Reader) (*net.TCPAddr, error) {
	// Both versions are longer than this.
	var begin [len(signature)]byte
	if _, err := io.ReadFull(r, begin[:]); err != nil {
		return nil, err
	}
	switch {
	case string(begin[:]) == signature:
		return readBinary(r, begin[:])
	case bytes.HasPrefix(begin[:], []byte(prefix)):
		return readLine(r, begin[:])
	}
	return nil, malformed("no signature")
}

// readLine reads the rest of a header of version 1 (section 2.1).
func readLine(r io.Reader, line []byte) (*net.TCPAddr, error) {
	line = append(make([]byte, 0, maxLine), line...)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxLine {
			return nil, malformed("line too long")
		}
		// Octet by octet: what follows is not the proxy's.
		if _, err := io.ReadFull(r, line[len(line):len(line)+1]); err != nil {
			return nil, err
		}
		line = line[:len(line)+1]
	}
	f := strings.Split(string(line[len(prefix):len(line)-2]), " ")
	if f[0] == "UNKNOWN" {
		return nil, nil
	}
	if len(f) != 5 || f[0] != "TCP4" && f[0] != "TCP6" {
		return nil, malformed("not TCP4, TCP6 or UNKNOWN with its addresses")
	}
	var addrs [2]netip.AddrPort
	for i := range addrs {
		ip, err := netip.ParseAddr(f[1+i])
		if err != nil || ip.Zone() != "" || ip.Is4() != (f[0] == "TCP4") {
			return nil, malformed("address")
		}
		port, err := strconv.ParseUint(f[3+i], 10, 16)
		if err != nil || strconv.FormatUint(port, 10) != f[3+i] {
			return nil, malformed("port")
		}
		addrs[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return net.TCPAddrFromAddrPort(addrs[0]), nil
}

// readBinary reads the rest of a header of version 2 (section 2.2).
func readBinary(r io.Reader, begin []byte) (*net.TCPAddr, error) {
	head := append(make([]byte, 0, len(begin)+4), begin...)
	head = head[:len(begin)+4]
	if _, err := io.ReadFull(r, head[len(begin):]); err != nil {
		return nil, err
	}
	command, family, size := head[12], head[13], int(binary.BigEndian.Uint16(head[14:]))
	if size > maxBody {
		return nil, malformed("too long")
	}
	whole := append(make([]byte, 0, len(head)+size), head...)[:len(head)+size]
	body := whole[len(head):]
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	switch command {
	case 0x20: // LOCAL: the proxy's own connection; the rest means nothing
		return nil, nil
	case 0x21: // PROXY
	default:
		return nil, malformed("version or command")
	}
	var client *net.TCPAddr
	n := 0
	switch family {
	case 0x11:
		if n = 12; len(body) >= n {
			client = address(body[:4], body[8:])
		}
	case 0x21:
		if n = 36; len(body) >= n {
			client = address(body[:16], body[32:])
		}
	case 0x31: // a unix socket: no address that means anything here
		n = 216
	case 0x00: // not known to the proxy; nor is what follows
		return nil, nil
	default:
		return nil, malformed("not a stream")
	}
	if len(body) < n {
		return nil, malformed("too short for its addresses")
	}
	return client, checkValues(whole, len(head)+n)
}

func address(ip, port []byte) *net.TCPAddr {
	a, _ := netip.AddrFromSlice(ip)
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port)))
}

// typeCRC32C marks a checksum over the whole header (section 2.2.3).
const typeCRC32C = 0x03

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkValues looks at the values behind the addresses: they must fill the
// header, and a checksum must be right.
func checkValues(whole []byte, at int) error {
	for at < len(whole) {
		if len(whole)-at < 3 {
			return malformed("value cut short")
		}
		kind, n := whole[at], int(binary.BigEndian.Uint16(whole[at+1:]))
		at += 3
		if n > len(whole)-at {
			return malformed("value cut short")
		}
		if value := whole[at : at+n]; kind == typeCRC32C {
			if n != 4 {
				return malformed("checksum")
			}
			want := binary.BigEndian.Uint32(value)
			clear(value)
			if crc32.Checksum(whole, castagnoli) != want {
				return malformed("checksum")
			}
		}
		at += n
	}
	return nil
}
