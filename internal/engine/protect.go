package engine

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Auto names a way by which links are protected without being named.
type Auto string

// Automatic protections.
const (
	AutoDefaultRoute Auto = "default-route" // carries a default route of the main table
	AutoSource       Auto = "source"        // carries the way to the Git host
	AutoSSH          Auto = "ssh-sessions"  // carries an established ssh session to this host
)

// Protection says which links keep themselves, their addresses and their
// routes, whatever a plan says.
type Protection struct {
	Names []string
	Auto  []Auto
	// Source is where the source is fetched from, for AutoSource: host:port.
	// Empty for what is not fetched over a network.
	Source string
}

// mark sets the policy of protected links in have.
func (p Protection) mark(ctx context.Context, have observed.State) {
	names := slices.Clone(p.Names)
	for _, auto := range p.Auto {
		switch auto {
		case AutoDefaultRoute:
			names = append(names, defaultLinks(have)...)
		case AutoSource:
			names = append(names, linksOf(have, sourceAddr(ctx, p.Source))...)
		case AutoSSH:
			names = append(names, linksOf(have, sshAddrs())...)
		}
	}
	for _, name := range names {
		o, ok := have.Objects.Get(resource.LinkKey(name))
		l, isLink := o.Resource.(resource.Link)
		if !ok || !isLink || l.Seen.Loopback {
			continue
		}
		l.Policy.Protect = true
		o.Resource = l
		have.Objects.Put(o)
	}
}

func defaultLinks(have observed.State) []string {
	var names []string
	have.Objects.Each(func(_ resource.Key, o resource.Object) bool {
		r, ok := o.Resource.(resource.Route)
		if ok && r.To.Bits() == 0 && r.Table == resource.MainTable {
			names = append(names, r.Parents()...)
		}
		return true
	})
	return names
}

// linksOf lists the links that hold one of the addresses.
func linksOf(have observed.State, addrs []netip.Addr) []string {
	if len(addrs) == 0 {
		return nil
	}
	var names []string
	have.Objects.Each(func(_ resource.Key, o resource.Object) bool {
		if a, ok := o.Resource.(resource.Address); ok && slices.Contains(addrs, a.Prefix.Addr()) {
			names = append(names, a.Link)
		}
		return true
	})
	return names
}

// sourceAddr is the local address that the kernel would use towards a host.
// Connecting a UDP socket asks for the route and sends nothing. A host that is
// named is looked up where that takes no longer than a moment.
func sourceAddr(ctx context.Context, host string) []netip.Addr {
	if host == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "udp", host)
	if err != nil {
		return nil
	}
	defer c.Close()
	return []netip.Addr{c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")}
}

// sshAddrs lists the local addresses of established connections to this
// host's sshd.
func sshAddrs() []netip.Addr {
	ports := sshPorts("/etc/ssh/sshd_config")
	var out []netip.Addr
	for _, file := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		out = append(out, established(io.LimitReader(f, maxProc), ports)...)
		f.Close()
	}
	return out
}

const (
	maxProc      = 16 << 20 // of a file below /proc/net: about 100,000 connections
	maxSSHConfig = 64 << 10
	tcpConnected = "01" // TCP_ESTABLISHED, as /proc/net/tcp prints it
)

// sshPorts is 22 and what an sshd_config names. Includes are not followed.
func sshPorts(file string) []uint16 {
	ports := []uint16{22}
	f, err := os.Open(file)
	if err != nil {
		return ports
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, maxSSHConfig)); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) == 2 && strings.EqualFold(words[0], "port") {
			if n, err := strconv.ParseUint(words[1], 10, 16); err == nil {
				ports = append(ports, uint16(n))
			}
		}
	}
	return ports
}

// established reads /proc/net/tcp or tcp6: "sl local_address rem_address st …".
func established(r io.Reader, ports []uint16) []netip.Addr {
	var out []netip.Addr
	for s := bufio.NewScanner(r); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) < 4 || words[3] != tcpConnected {
			continue
		}
		local, ok := parseProcAddr(words[1])
		if ok && slices.Contains(ports, local.Port()) && !slices.Contains(out, local.Addr()) {
			out = append(out, local.Addr())
		}
	}
	return out
}

// parseProcAddr reads 0100007F:0016: words of the address in host byte order.
func parseProcAddr(s string) (netip.AddrPort, bool) {
	text, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok && err == nil
}
