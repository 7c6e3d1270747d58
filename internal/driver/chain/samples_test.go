package chain

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

const countObject = "../../../examples/chains/count/count.bpf.o"

// counting is a program of the examples with a metric of UDP packets.
func (b *bench) counting(policy resource.NewVersion, hooks ...resource.Hook) resource.Program {
	p := b.object("count", "p0", countObject, "", hooks...)
	p.OnNewVersion = policy
	p.Metrics = []resource.Metric{{Map: "protocols", Key: resource.Scalar("17"), Field: "packets", Name: "udp", As: resource.MetricCounter}}
	return p
}

// sample reads one number as the engine does: by what is wanted.
func (b *bench) sample(want *resource.Set, name string) float64 {
	b.t.Helper()
	resolved, _ := b.d.Resolve(context.Background(), want)
	var found []driver.Sample
	for _, s := range b.d.Samples(resolved) {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		b.t.Fatalf("%d samples of %s, want one", len(found), name)
	}
	return found[0].Value
}

// TestCounterOverVersionsUnderTraffic changes the version of a program under a
// flood: its counter has every packet, whatever became of the map.
func TestCounterOverVersionsUnderTraffic(t *testing.T) {
	for _, policy := range []resource.NewVersion{resource.Reuse, resource.Fresh, resource.Copy} {
		t.Run(string(policy), func(t *testing.T) {
			b := newBench(t)
			one := b.counting(policy, resource.XDPIngress)
			two := b.counting(policy, resource.XDPIngress, resource.TCEgress) // other functions: another version
			first := set(one, b.chain(resource.XDPIngress, one))
			second := set(two, b.chain(resource.XDPIngress, two))
			if got := b.sample(first, "program_udp"); got != 0 {
				t.Errorf("before it is loaded: %v", got)
			}
			b.make(first)
			f := b.startFlood(resource.XDPIngress)
			before := b.sample(first, "program_udp")
			b.make(second)
			after := b.sample(second, "program_udp")
			sent := f.end(t)
			end := b.sample(second, "program_udp")
			if before == 0 || after < before || end < after {
				t.Errorf("the counter fell: %v, %v, %v", before, after, end)
			}
			if end > float64(sent) {
				t.Errorf("%v were counted and %d sent", end, sent)
			}
			// What comes between a copy and the swap is only in the map that goes.
			if policy != resource.Copy && end != float64(sent) {
				t.Errorf("%v were counted, %d sent", end, sent)
			}
		})
	}
}

func TestUpAndDriftAreReadBack(t *testing.T) {
	b := newBench(t)
	p := b.object("limit", "p0", "../../../examples/chains/ratelimit/ratelimit.bpf.o", "", resource.XDPIngress)
	limits := resource.Map{
		Program: "limit", Link: "p0", Name: "limits", Mode: resource.Exact,
		Entries: []resource.MapEntry{{Key: resource.Scalar("80"), Value: resource.Scalar("1000")}},
	}
	want := set(p, limits, b.chain(resource.XDPIngress, p))
	expect := func(when string, up, drift float64) {
		t.Helper()
		if u, d := b.sample(want, "chain_up"), b.sample(want, "chain_drift"); u != up || d != drift {
			t.Errorf("%s: up %v and drift %v, want %v and %v", when, u, d, up, drift)
		}
	}
	expect("before the first apply", 0, 1)
	b.make(want)
	expect("after it", 1, 0)

	resolved, _ := b.d.Resolve(context.Background(), want)
	digest := ""
	for _, o := range resolved.All() {
		if m, ok := o.Resource.(resource.Map); ok {
			digest = m.Digest
		}
	}
	m, err := b.d.openMap(resource.Map{Program: "limit", Link: "p0", Digest: digest, Name: "limits"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Put([]byte{0, 22}, uint32(1)); err != nil {
		t.Fatal(err)
	}
	expect("with an entry too many", 1, 1)
	b.make(want)
	expect("repaired", 1, 0)

	b.IP("link", "del", "p0")
	expect("without its interface", 0, 1)
}

// TestMetricsAreChecked refuses, without a kernel, what an object cannot give.
func TestMetricsAreChecked(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		metric resource.Metric
		want   string
	}{
		"map":   {resource.Metric{Map: "protocol", Key: resource.Scalar("1"), Field: "packets"}, "the program uses no map protocol, but protocols"},
		"key":   {resource.Metric{Map: "protocols", Key: resource.Scalar("256"), Field: "packets"}, "there is no index 256"},
		"kind":  {resource.Metric{Map: "protocols", Key: resource.Scalar("tcp"), Field: "packets"}, "key tcp"},
		"field": {resource.Metric{Map: "protocols", Key: resource.Scalar("1"), Field: "packet"}, "did you mean packets?"},
		"whole": {resource.Metric{Map: "protocols", Key: resource.Scalar("1")}, "say which field, of packets, bytes"},
	} {
		p := b.counting(resource.Reuse, resource.XDPIngress)
		p.Metrics = append(p.Metrics, c.metric)
		if faults := (&Driver{}).Check(p); len(faults) != 1 || !strings.Contains(faults[0].Message, c.want) {
			t.Errorf("%s: %v, want %q", name, faults, c.want)
		}
	}
}

// TestSeriesAreBounded declares more than there may be.
func TestSeriesAreBounded(t *testing.T) {
	b := newBench(t)
	p := b.counting(resource.Reuse, resource.XDPIngress)
	for i := range maxSeries + 10 {
		m := p.Metrics[0]
		m.Name = fmt.Sprint("udp", i)
		p.Metrics = append(p.Metrics, m)
	}
	want := set(p, b.chain(resource.XDPIngress, p))
	b.make(want)
	resolved, _ := b.d.Resolve(context.Background(), want)
	programs := 0
	for _, s := range b.d.Samples(resolved) {
		if strings.HasPrefix(s.Name, "program_") {
			programs++
		}
	}
	if programs != maxSeries || len(b.d.metering.series) != maxSeries {
		t.Errorf("%d samples of %d series, want %d", programs, len(b.d.metering.series), maxSeries)
	}
	// Metrics that are no longer declared make room.
	p.Metrics = p.Metrics[:1]
	less, _ := b.d.Resolve(context.Background(), set(p, b.chain(resource.XDPIngress, p)))
	if _, err := b.d.Observe(context.Background(), observed.Query{Want: less}); err != nil {
		t.Fatal(err)
	}
	b.d.Samples(less)
	if n := len(b.d.metering.series); n != 1 {
		t.Errorf("%d series are left, want 1", n)
	}
}

// TestStatisticsNamePins finds the path of a map that others write.
func TestStatisticsNamePins(t *testing.T) {
	b := newBench(t)
	p := b.object("droplist", "", "../../../examples/chains/droplist/droplist.bpf.o", "", resource.XDPIngress)
	p.Maps = []resource.MapSettings{{Name: "blocked", Pin: "ddos/blocked", External: true}}
	b.make(set(p, b.chain(resource.XDPIngress, p)))
	have, err := b.d.Observe(context.Background(), observed.Query{All: true})
	if err != nil {
		t.Fatal(err)
	}
	pins := map[string]string{}
	for _, o := range have.Objects.All() {
		if p, ok := o.Resource.(resource.Program); ok {
			if p.Version != "v1" || p.Pins == "" || p.Loaded == 0 {
				t.Errorf("version %q, pins %q, loaded %v", p.Version, p.Pins, p.Loaded)
			}
			for _, m := range p.Layout {
				pins[m.Name] = m.Pin
			}
		}
	}
	if want := b.d.pins.shared("ddos/blocked"); pins["blocked"] != want || pins["allowed"] != "" {
		t.Errorf("pins are %v, want %s of blocked alone", pins, want)
	}
}

// TestStatisticsCountRuns reads what the kernel counts while it is told to.
func TestStatisticsCountRuns(t *testing.T) {
	counting, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatal(err)
	}
	defer counting.Close()
	b := newBench(t)
	p := b.counting(resource.Reuse, resource.XDPIngress)
	b.make(set(p, b.chain(resource.XDPIngress, p)))
	sent := b.startFlood(resource.XDPIngress).end(t)
	have, err := b.d.Observe(context.Background(), observed.Query{All: true})
	if err != nil {
		t.Fatal(err)
	}
	o, _ := have.Objects.Get(resource.ChainKey("p0", resource.XDPIngress))
	seen := o.Resource.(resource.Chain).Seen
	if seen.Runs < sent || seen.RunTime <= 0 {
		t.Errorf("%d runs in %v, want at least the %d packets that were sent", seen.Runs, seen.RunTime, sent)
	}
}
