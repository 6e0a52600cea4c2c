//go:build linux

package lan

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// openTUN makes a TUN device in the calling thread's namespace.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("lan: /dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		return nil, joinClose(fd, fmt.Errorf("lan: make TUN device %s: %w", name, err))
	}
	return os.NewFile(uintptr(fd), "tun "+name), nil
}

func joinClose(fd int, err error) error {
	if cerr := unix.Close(fd); cerr != nil {
		return fmt.Errorf("%w (and %w)", err, cerr)
	}
	return err
}

// control runs requests about an interface of the calling thread's namespace.
func control(dev string, f func(fd int, ifr *unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ifr, err := unix.NewIfreq(dev)
	if err == nil {
		err = f(fd, ifr)
	}
	if err != nil {
		return joinClose(fd, fmt.Errorf("lan: %s: %w", dev, err))
	}
	return unix.Close(fd)
}

func up(dev string) error {
	return control(dev, func(fd int, ifr *unix.Ifreq) error {
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
			return err
		}
		ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
	})
}

// address gives a device an address in a /24 and turns it on.
func address(dev string, a netip.Addr, mtu uint32) error {
	err := control(dev, func(fd int, ifr *unix.Ifreq) error {
		ifr.SetUint32(mtu)
		return unix.IoctlIfreq(fd, unix.SIOCSIFMTU, ifr)
	})
	for _, set := range []struct {
		req  uint
		addr []byte
	}{{unix.SIOCSIFADDR, a.AsSlice()}, {unix.SIOCSIFNETMASK, []byte{255, 255, 255, 0}}} {
		if err != nil {
			return err
		}
		err = control(dev, func(fd int, ifr *unix.Ifreq) error {
			if err := ifr.SetInet4Addr(set.addr); err != nil {
				return err
			}
			return unix.IoctlIfreq(fd, set.req, ifr)
		})
	}
	if err != nil {
		return err
	}
	return up(dev)
}

// localPrefixes are the networks of the machine's interfaces.
func localPrefixes() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out, nil
}
