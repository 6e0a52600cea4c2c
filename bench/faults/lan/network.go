//go:build linux

package lan

import (
	"container/heap"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// mtu is large, so that a fast wire costs few system calls.
	mtu = 16 << 10
	// maxHosts bounds the table of rules.
	maxHosts = 16
	// maxWaiting bounds the packets under way to one host.
	maxWaiting = 16384
)

// Host is one namespace of a Network.
type Host struct {
	Name string
	Addr netip.Addr

	net   *Network
	index int // 0 is the machine itself
	tun   *os.File
	jobs  chan func() // for the thread that lives in the namespace

	mu    sync.Mutex
	queue packets       // by time of arrival
	wake  chan struct{} // a packet came to the head of the queue
}

// Network is a set of hosts and the switch between them. Its methods may be
// called at any time from any goroutine.
type Network struct {
	log     *slog.Logger
	seed    uint64
	prefix  netip.Prefix
	rules   [maxHosts][maxHosts]atomic.Pointer[Rule]
	buffers sync.Pool
	done    chan struct{}
	bg      sync.WaitGroup

	mu    sync.Mutex                     // of adding and closing
	count int                            // hosts there are
	hosts [maxHosts]atomic.Pointer[Host] // the first is the machine itself

	passed, dropped atomic.Int64
}

// Stats counts packets since the Network was opened.
type Stats struct{ Passed, Dropped int64 }

// Open makes a network with the machine itself as its first host. It needs
// root and /dev/net/tun.
func Open(seed uint64, log *slog.Logger) (*Network, error) {
	n := &Network{log: log, seed: seed, done: make(chan struct{})}
	n.buffers.New = func() any { return new(packet) }
	prefix, err := freePrefix(rand.New(rand.NewPCG(seed, uint64(os.Getpid()))))
	if err != nil {
		return nil, err
	}
	n.prefix = prefix
	if _, err := n.add("here", false); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// freePrefix finds a /24 in 10/8 that no interface of the machine is in.
func freePrefix(r *rand.Rand) (netip.Prefix, error) {
	taken, err := localPrefixes()
	if err != nil {
		return netip.Prefix{}, err
	}
	for range 1000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(64 + r.IntN(128)), byte(r.IntN(256)), 0}), 24)
		free := true
		for _, t := range taken {
			free = free && !t.Overlaps(p)
		}
		if free {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("lan: no free network in 10/8")
}

// AddHost makes a namespace with an address. Its wires are clear.
func (n *Network) AddHost(name string) (*Host, error) { return n.add(name, true) }

func (n *Network) add(name string, own bool) (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count == maxHosts {
		return nil, fmt.Errorf("lan: more than %d hosts", maxHosts)
	}
	i := n.count
	a := n.prefix.Addr().As4()
	a[3] = byte(i + 1)
	h := &Host{Name: name, Addr: netip.AddrFrom4(a), net: n, index: i, wake: make(chan struct{}, 1)}
	dev := fmt.Sprintf("lan%d.%d", a[1], a[2])
	if err := h.settle(own, dev); err != nil {
		return nil, errors.Join(err, h.close())
	}
	n.hosts[i].Store(h)
	n.count++
	n.bg.Go(func() { n.read(h) })
	n.bg.Go(func() { n.deliver(h) })
	return h, nil
}

// settle starts the thread that lives in the host's namespace, own or the
// machine's, and opens the TUN device there.
func (h *Host) settle(own bool, dev string) error {
	h.jobs = make(chan func())
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the
		// namespace with the last thread or process in it.
		runtime.LockOSThread()
		if own {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				ready <- fmt.Errorf("lan: new network namespace: %w", err)
				return
			}
		}
		ready <- nil
		for job := range h.jobs {
			job()
		}
	}()
	if err := <-ready; err != nil {
		h.jobs = nil
		return err
	}
	return h.do(func() error {
		tun, err := openTUN(dev)
		if err != nil {
			return err
		}
		h.tun = tun
		if own {
			if err := up("lo"); err != nil {
				return err
			}
		}
		return address(dev, h.Addr, mtu)
	})
}

// do runs f in the host's namespace.
func (h *Host) do(f func() error) error {
	done := make(chan error)
	h.jobs <- func() { done <- f() }
	return <-done
}

// Start starts a command inside the host's namespace. The kernel kills it when
// this process ends or the Network is closed, whatever ended it.
func (h *Host) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// The signal is for the death of the thread that forks.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return h.do(cmd.Start)
}

// Here is the machine itself, from where clients connect.
func (n *Network) Here() *Host { return n.hosts[0].Load() }

// Set lays a rule on the wire from one host to another.
func (n *Network) Set(from, to *Host, r Rule) {
	if r.plain() {
		n.rules[from.index][to.index].Store(nil)
		return
	}
	n.rules[from.index][to.index].Store(&r)
}

// Rule returns the rule of the wire from one host to another.
func (n *Network) Rule(from, to *Host) Rule {
	if r := n.rules[from.index][to.index].Load(); r != nil {
		return *r
	}
	return Rule{}
}

// Stats returns how many packets passed and how many rules took.
func (n *Network) Stats() Stats { return Stats{n.passed.Load(), n.dropped.Load()} }

// Close ends the switch. Namespaces end with the processes in them.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.done:
		return nil
	default:
	}
	close(n.done)
	var errs []error
	for i := range n.count {
		errs = append(errs, n.hosts[i].Load().close())
	}
	n.bg.Wait()
	return errors.Join(errs...)
}

func (h *Host) close() error {
	if h.jobs != nil {
		close(h.jobs)
		h.jobs = nil
	}
	if h.tun == nil {
		return nil
	}
	return h.tun.Close()
}

// packet is an IP packet under way.
type packet struct {
	at time.Time
	n  int
	b  [mtu + 64]byte
}

type packets []*packet

func (p packets) Len() int           { return len(p) }
func (p packets) Less(i, j int) bool { return p[i].at.Before(p[j].at) }
func (p packets) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)        { *p = append(*p, x.(*packet)) }
func (p *packets) Pop() any {
	old := *p
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*p = old[:len(old)-1]
	return x
}

// read takes what a host sends and passes it on.
func (n *Network) read(h *Host) {
	var wires [maxHosts]wire
	for i := range wires {
		wires[i].rng = rand.New(rand.NewPCG(n.seed, uint64(h.index*maxHosts+i)))
	}
	p := n.buffers.Get().(*packet)
	for {
		size, err := h.tun.Read(p.b[:])
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				n.log.Error("the switch lost a host", "host", h.Name, "err", err)
			}
			return
		}
		p.n = size
		to := n.target(p.b[:size])
		if to == nil || to == h {
			continue
		}
		r := n.rules[h.index][to.index].Load()
		if r == nil {
			n.write(to, p)
			continue
		}
		at, times := wires[to.index].pass(r, time.Now(), size)
		if times == 0 {
			n.dropped.Add(1)
			continue
		}
		if times == 2 {
			twin := n.buffers.Get().(*packet)
			twin.n = copy(twin.b[:], p.b[:size])
			twin.at = at[1]
			n.enqueue(to, twin)
		}
		p.at = at[0]
		n.enqueue(to, p)
		p = n.buffers.Get().(*packet)
	}
}

// target finds the host an IPv4 packet is for.
func (n *Network) target(b []byte) *Host {
	if len(b) < 20 || b[0]>>4 != 4 {
		return nil
	}
	p := n.prefix.Addr().As4()
	if b[16] != p[0] || b[17] != p[1] || b[18] != p[2] || b[19] == 0 || int(b[19]) > maxHosts {
		return nil
	}
	return n.hosts[b[19]-1].Load()
}

func (n *Network) write(to *Host, p *packet) {
	// A device that takes no more drops, as a switch does; a closed one is
	// the end.
	if _, err := to.tun.Write(p.b[:p.n]); err != nil {
		n.dropped.Add(1)
		return
	}
	n.passed.Add(1)
}

func (n *Network) enqueue(to *Host, p *packet) {
	to.mu.Lock()
	if len(to.queue) >= maxWaiting {
		to.mu.Unlock()
		n.dropped.Add(1)
		n.buffers.Put(p)
		return
	}
	heap.Push(&to.queue, p)
	first := to.queue[0] == p
	to.mu.Unlock()
	if first {
		select {
		case to.wake <- struct{}{}:
		default:
		}
	}
}

// deliver hands a host what is due.
func (n *Network) deliver(h *Host) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		h.mu.Lock()
		wait := time.Hour
		var p *packet
		if len(h.queue) > 0 {
			if wait = time.Until(h.queue[0].at); wait <= 0 {
				p = heap.Pop(&h.queue).(*packet)
			}
		}
		h.mu.Unlock()
		if p != nil {
			n.write(h, p)
			n.buffers.Put(p)
			continue
		}
		t.Reset(wait)
		select {
		case <-h.wake:
		case <-t.C:
		case <-n.done:
			return
		}
	}
}
