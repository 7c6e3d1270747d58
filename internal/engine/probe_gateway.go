package engine

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// gateway is where a default route leads.
type gateway struct {
	addr netip.Addr // with a zone where it is link-local
	dev  string
}

// gatewayProbe asks the default gateways of the main table, of either family.
// An answered echo is the better proof; a gateway that was never heard to answer
// one has only to be on the link, which ARP or neighbour discovery tell.
type gatewayProbe struct {
	mu     sync.Mutex
	echoed map[netip.Addr]bool
}

// GatewayProbe wants one default gateway to answer: an ICMP echo or, where it
// has never answered one since the process began, the question for its
// link-layer address. It needs the right to raw sockets.
func GatewayProbe() Probe { return &gatewayProbe{echoed: make(map[netip.Addr]bool)} }

func (p *gatewayProbe) String() string { return "default-gateway" }

// Run asks one gateway after the other, each for its share of the time.
func (p *gatewayProbe) Run(ctx context.Context) error {
	gateways := defaultGateways()
	if len(gateways) == 0 {
		return errors.New("there is no default gateway")
	}
	var errs []error
	for _, g := range gateways {
		limited, cancel := context.WithTimeout(ctx, probePatience/time.Duration(len(gateways)))
		err := p.reach(limited, g)
		cancel()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// reach asks until there is an answer or the context ends.
func (p *gatewayProbe) reach(ctx context.Context, g gateway) error {
	for {
		err := p.once(ctx, g)
		if err == nil || !sleep(ctx, echoAgain) {
			return err
		}
	}
}

// echoPatience is time for two echoes before the neighbour is asked for.
const echoPatience = 2 * echoAgain

func (p *gatewayProbe) once(ctx context.Context, g gateway) error {
	limited, cancel := context.WithTimeout(ctx, echoPatience)
	defer cancel()
	err := ping(limited, g.addr)
	if err == nil {
		p.heard(g.addr)
		return nil
	}
	if p.answers(g.addr) {
		return err
	}
	if asked := askNeighbour(ctx, g); asked != nil {
		return errors.Join(err, asked)
	}
	return nil
}

// maxEchoed bounds the gateways that are remembered.
const maxEchoed = 256

func (p *gatewayProbe) heard(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.echoed) < maxEchoed {
		p.echoed[a] = true
	}
}

// answers reports that a gateway is known to answer echoes.
func (p *gatewayProbe) answers(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.echoed[a]
}

// defaultGateways reads /proc/net: both families, at most a few.
func defaultGateways() []gateway {
	v4 := scanProc("/proc/thread-self/net/route", gateway4)
	return append(v4, scanProc("/proc/thread-self/net/ipv6_route", gateway6)...)
}

const maxGateways = 4

func scanProc(file string, parse func([]string) (gateway, bool)) []gateway {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []gateway
	for s := bufio.NewScanner(io.LimitReader(f, maxProc)); s.Scan() && len(out) < maxGateways; {
		if g, ok := parse(strings.Fields(s.Text())); ok {
			out = append(out, g)
		}
	}
	return out
}

// gateway4 reads "Iface Destination Gateway Flags RefCnt Use Metric Mask …".
func gateway4(w []string) (gateway, bool) {
	if len(w) < 8 || w[1] != "00000000" || w[7] != "00000000" {
		return gateway{}, false
	}
	a, ok := parseProcAddr(w[2] + ":0")
	return gateway{a.Addr(), w[0]}, ok && !a.Addr().IsUnspecified()
}

// gateway6 reads "dst len src len nexthop metric refcnt use flags device".
func gateway6(w []string) (gateway, bool) {
	if len(w) < 10 || w[1] != "00" || strings.Trim(w[0], "0") != "" {
		return gateway{}, false
	}
	raw, err := hex.DecodeString(w[4])
	a, ok := netip.AddrFromSlice(raw)
	if err != nil || !ok || a.IsUnspecified() {
		return gateway{}, false
	}
	if a.IsLinkLocalUnicast() {
		a = a.WithZone(w[9])
	}
	return gateway{a, w[9]}, true
}
