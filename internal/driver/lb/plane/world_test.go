package plane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
)

// world is a plane that lines of text fill:
//
//	source 10.200.0.1/32 2001:db8:200::1/128
//	udp-idle 30s
//	backend 1 ipip 10.0.0.11 dev 1 via hop1 mtu 1500 vlan 7
//	ring 0 1 2* -                       slots take turns; *: moved, -: nobody
//	service 1 ring 0 previous 1 opened 5s sticky reject
//	claim 192.0.2.1 tcp/80 1
//	flow 1 tcp 198.51.100.7:1000 > 192.0.2.1:80 backend 2 seen 5s
type world struct {
	*Plane
	claims []Claim
	now    time.Duration
}

// reset empties a plane.
func (w *world) reset(t testing.TB) {
	t.Helper()
	w.claims, w.now = nil, monotonic()
	must(t, w.SetSettings(Settings{}))
	for i := range w.capacity.Services {
		must(t, w.SetService(uint16(i), Service{Ring: NoRing, Previous: NoRing}))
		must(t, w.ResetService(uint16(i)))
	}
	for i := range w.capacity.Backends {
		must(t, w.SetBackend(uint16(i), Backend{}))
		must(t, w.ResetBackend(uint16(i)))
	}
	for i := range Reasons {
		must(t, reset[uint64](w.maps[bpf.LBMapLbReasons], uint16(i)))
	}
	if _, err := w.flush(context.Background(), func(*bpf.LBFlow, *bpf.LBFlowState) bool { return true }); err != nil {
		t.Fatal(err)
	}
}

// fillIn does what lines say.
func (w *world) fillIn(t testing.TB, lines []string) {
	t.Helper()
	for _, line := range lines {
		if err := w.do(strings.Fields(line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	must(t, w.SetClaims(w.claims))
}

func (w *world) do(words []string) error {
	verb, words := words[0], words[1:]
	switch verb {
	case "source":
		s := w.Settings()
		s.Source4, s.Source6 = netip.MustParsePrefix(words[0]), netip.MustParsePrefix(words[1])
		return w.SetSettings(s)
	case "udp-idle":
		s := w.Settings()
		s.UDPIdle = duration(words[0])
		return w.SetSettings(s)
	case "backend":
		return w.doBackend(words)
	case "ring":
		return w.doRing(words)
	case "service":
		return w.doService(words)
	case "claim":
		return w.doClaim(words)
	case "flow":
		return w.doFlow(words)
	}
	return errors.New("no such verb")
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func small16(s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		panic(err)
	}
	return uint16(n)
}

// option is the word behind a word, or what it is otherwise.
func option(words []string, name, otherwise string) string {
	if i := slices.Index(words, name); i >= 0 {
		return words[i+1]
	}
	return otherwise
}

func (w *world) doBackend(words []string) error {
	b := Backend{Valid: !slices.Contains(words, "invalid"), Encap: Tunnel, Address: addr(words[2])}
	if words[1] == "l2dsr" {
		b.Encap = L2DSR
	}
	b.Next = Next{
		Ifindex: uint32(small16(option(words, "dev", "1"))), VLAN: small16(option(words, "vlan", "0")), MTU: small16(option(words, "mtu", "1500")),
		SrcMAC: [6]byte(mac("lb")), DstMAC: [6]byte(mac(option(words, "via", "hop1"))),
	}
	return w.SetBackend(small16(words[0]), b)
}

func (w *world) doRing(words []string) error {
	slots := make([]uint16, w.capacity.RingSize)
	for i := range slots {
		word := words[1+i%(len(words)-1)]
		name, moved := strings.CutSuffix(word, "*")
		slots[i] = Nobody
		if name != "-" {
			slots[i] = small16(name)
		}
		if moved {
			slots[i] |= Moved
		}
	}
	return w.WriteRing(small16(words[0]), slots, nil)
}

func (w *world) doService(words []string) error {
	s := Service{Ring: small16(option(words, "ring", "65535")), Previous: small16(option(words, "previous", "65535")), Sticky: slices.Contains(words, "sticky")}
	switch {
	case slices.Contains(words, "reject"):
		s.NoBackend = Reject
	case slices.Contains(words, "pass"):
		s.NoBackend = Pass
	}
	s.Opened = max(w.now-duration(option(words, "opened", "0s")), 0)
	return w.SetService(small16(words[0]), s)
}

func protocol(s string) uint8 {
	known := map[string]uint8{"any": 0, "icmp": 1, "tcp": 6, "udp": 17, "esp": 50, "icmp6": 58}
	if n, ok := known[s]; ok {
		return n
	}
	return uint8(small16(s))
}

func (w *world) doClaim(words []string) error {
	name, port, _ := strings.Cut(words[1], "/")
	prefix := netip.MustParsePrefix(words[0] + map[bool]string{true: "", false: "/" + strconv.Itoa(addr(strings.Split(words[0], "/")[0]).BitLen())}[strings.Contains(words[0], "/")])
	for a := prefix.Addr(); prefix.Contains(a); a = a.Next() {
		c := Claim{Address: a, Protocol: protocol(name), Service: small16(words[2])}
		if port != "" {
			c.Port = small16(port)
		}
		w.claims = append(w.claims, c)
	}
	return nil
}

func (w *world) doFlow(words []string) error {
	f := FlowKey{Service: small16(words[0]), Protocol: protocol(words[1]), Src: netip.MustParseAddrPort(words[2]), Dst: netip.MustParseAddrPort(words[4])}
	key := keyOf(f)
	state := bpf.LBFlowState{Backend: small16(option(words, "backend", "")), Seen: uint64(w.now - duration(option(words, "seen", "0s")))}
	return w.maps[bpf.LBMapLbFlows].Put(&key, &state)
}

// table reads the flows, as lines without their times, and the times.
func (w *world) table(t testing.TB) map[string]time.Duration {
	t.Helper()
	found := make(map[string]time.Duration)
	must(t, w.Flows(context.Background(), func(f Flow) bool {
		found[fmt.Sprintf("flow %d %s %s > %s backend %d", f.Service, protocolName(f.Protocol), f.Src, f.Dst, f.Backend)] = f.Seen
		return true
	}))
	return found
}

func protocolName(p uint8) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	}
	return strconv.Itoa(int(p))
}

// rose says, sorted, which counters rose since a reset, and by how much.
func (w *world) rose(t testing.TB) []string {
	t.Helper()
	var found []string
	services, err := w.AllServiceCounters()
	must(t, err)
	for i, s := range services {
		found = append(found, counted(fmt.Sprintf("service %d", i), []string{"packets", "bytes", "flows", "no-backend", "too-big", "hits", "inserts", "previous"},
			s.Packets, s.Bytes, s.Flows, s.NoBackend, s.TooBig, s.TableHits, s.TableInserts, s.Previous)...)
	}
	backends, err := w.AllBackendCounters()
	must(t, err)
	for i, b := range backends {
		found = append(found, counted(fmt.Sprintf("backend %d", i), []string{"packets", "bytes", "flows", "failed"}, b.Packets, b.Bytes, b.Flows, b.Failed)...)
	}
	reasons, err := w.ReasonCounters()
	must(t, err)
	for i, n := range reasons {
		found = append(found, counted("reason", []string{Reason(i).String()}, n)...)
	}
	slices.Sort(found)
	return found
}

func counted(what string, names []string, values ...uint64) []string {
	line := what
	for i, v := range values {
		if v != 0 {
			line += fmt.Sprintf(" %s %d", names[i], v)
		}
	}
	if line == what {
		return nil
	}
	return []string{line}
}
