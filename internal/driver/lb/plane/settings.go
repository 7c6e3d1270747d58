package plane

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// Settings hold for all services.
type Settings struct {
	Source4, Source6 netip.Prefix  // outer sources of tunnels, drawn by flow; the zero value: none is set
	UDPIdle          time.Duration // after so long without a packet a flow of no connection is a new one
}

func (p *Plane) live() uint64 { return atomic.LoadUint64(&p.shared.Live) }

// Settings reads them.
func (p *Plane) Settings() Settings {
	c := p.shared
	return Settings{
		Source4: prefixOf([4]uint32{c.Source4}, [4]uint32{c.Hosts4}, 4),
		Source6: prefixOf(c.Source6, c.Hosts6, 6),
		UDPIdle: time.Duration(c.UdpIdle),
	}
}

// SetSettings writes what differs.
func (p *Plane) SetSettings(s Settings) error {
	if s.Source4.IsValid() && !s.Source4.Addr().Is4() || s.Source6.IsValid() && !s.Source6.Addr().Is6() || s.UDPIdle < 0 {
		return fmt.Errorf("settings %v: a prefix of the other family, or a negative time", s)
	}
	c := p.shared
	network4, hosts4 := wordsOfPrefix(s.Source4)
	network6, hosts6 := wordsOfPrefix(s.Source6)
	if c.Source4 != network4[0] || c.Hosts4 != hosts4[0] {
		c.Source4, c.Hosts4 = network4[0], hosts4[0]
	}
	if c.Source6 != network6 || c.Hosts6 != hosts6 {
		c.Source6, c.Hosts6 = network6, hosts6
	}
	store(&c.UdpIdle, uint64(s.UDPIdle))
	return nil
}

// wordsOfPrefix is a network and the mask of its hosts.
func wordsOfPrefix(p netip.Prefix) (network, hosts [4]uint32) {
	if !p.IsValid() {
		return network, hosts
	}
	network, _ = wordsOf(p.Masked().Addr())
	for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
		hosts[bit/32] |= 1 << (bit%32/8*8 + 7 - bit%8)
	}
	return network, hosts
}

func prefixOf(network, hosts [4]uint32, family uint8) netip.Prefix {
	if network == [4]uint32{} && hosts == [4]uint32{} {
		return netip.Prefix{}
	}
	addr, ones := addressOf(network, family), 0
	for _, w := range hosts {
		for ; w != 0; w &= w - 1 {
			ones++
		}
	}
	return netip.PrefixFrom(addr, addr.BitLen()-ones)
}
