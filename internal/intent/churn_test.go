package intent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"reconciler/internal/resource"
)

// crowd is a bench whose first pool has ten backends of one weight.
func crowd() *bench {
	b := newBench()
	b.backends = nil
	var members []resource.Member
	for i := range 10 {
		b.backends = append(b.backends, resource.Backend{
			Name: string(rune('a' + i)), Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), Encap: resource.IPIP,
			Check: resource.Check{Type: resource.CheckTCP, Port: 80},
		})
		members = append(members, b.member(i, 10))
	}
	b.vip.Pools = []resource.Pool{{Name: "main", Members: members}}
	const up = "a=up b=up c=up d=up e=up f=up g=up h=up i=up j=up"
	b.hold("a=10 b=10 c=10 d=10 e=10 f=10 g=10 h=10 i=10 j=10", up)
	b.say(up)
	return b
}

func TestMaxChurn(t *testing.T) {
	disable := func(names string) func(*bench) {
		return func(b *bench) {
			for i := range b.backends {
				b.backends[i].Disabled = strings.Contains(names, b.backends[i].Name)
			}
		}
	}
	for name, c := range map[string]struct {
		set    func(*bench)
		limit  uint16
		shares int // how many
		gated  string
	}{
		"within":               {disable("a"), 250, 9, ""},
		"beyond":               {disable("abcde"), 250, 10, "more than max-churn 25.0 %"},
		"no limit":             {disable("abcde"), 0, 5, ""},
		"a person lets it go":  {func(b *bench) { b.facts.Released = true; disable("abcde")(b) }, 250, 5, ""},
		"health is not judged": {func(b *bench) { b.say("a=down b=down c=down d=down e=down") }, 250, 5, ""},
		"health is done, the rest waits": {func(b *bench) {
			b.say("a=down")
			disable("bcdef")(b)
		}, 250, 9, "more than max-churn"},
		"what is down is not held, though YAML wants it out too": {func(b *bench) {
			disable("abcde")(b)
			b.say("a=down")
		}, 250, 9, "more than max-churn"},
		"those that come back are not judged": {func(b *bench) {
			b.hold("a=10 b=10", "c=down d=down e=down f=down g=down h=down i=down j=down")
		}, 250, 10, ""},
		"a command that runs once is judged": {func(b *bench) {
			b.facts.Health, b.facts.Ramps = nil, nil
			disable("abcde")(b)
		}, 250, 10, "more than max-churn"},
		"what a killed process began goes on": {func(b *bench) {
			b.facts.Ramps = nil
			b.hold("a=10 b=10 c=10 d=10", "")
		}, 250, 10, ""},
		"the first ring moves nothing": {func(b *bench) { b.hold("", "") }, 10, 10, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := crowd()
			b.vip.MaxChurn.Limit = c.limit
			c.set(b)
			d := b.balance()
			if got := len(strings.Fields(b.shares(d))); got != c.shares {
				t.Errorf("%d backends serve (%s), want %d", got, b.shares(d), c.shares)
			}
			if got := d.Gated[b.vip.Key()]; !strings.Contains(got, c.gated) || c.gated == "" && got != "" {
				t.Errorf("gated %q, want %q", got, c.gated)
			}
		})
	}
}

func TestMaxChurnInSteps(t *testing.T) {
	const every = 30 * time.Second
	b := crowd()
	b.vip.MaxChurn = resource.MaxChurn{Limit: 200, Step: every}
	for i := range 6 {
		b.backends[i].Disabled = true
	}
	began := b.facts.Now.At
	steps := 0
	for round := range 20 {
		was := b.balance()
		held, _ := b.held.Get(b.vip.Key())
		next, _ := was.Want.Get(b.vip.Key())
		from, to := held.Resource.(resource.VIP).Shares, next.Resource.(resource.VIP).Shares
		r := (&balancing{want: b.want(), have: b.held}).walkFrom(from, 200)
		if c := r.churn(to); !r.within(c) {
			t.Fatalf("step %d moves %d of %d slots, more than a fifth", round, c.Moved, c.Slots)
		} else if c.Moved > 0 {
			steps++
		}
		b.facts.Steps = was.Steps
		b.hold(b.shares(was), "")
		if len(to) == 4 {
			break
		}
		if got := b.shares(b.balance()); got != b.shares(was) {
			t.Fatalf("another step at once: %s after %s", got, b.shares(was))
		}
		if want := b.facts.Now.At.Add(every); was.Next != want {
			t.Fatalf("next is %d, want %d", was.Next, want)
		}
		b.facts.Now.At = began.Add(time.Duration(round+1) * every)
	}
	if got := b.shares(b.balance()); got != "g=10 h=10 i=10 j=10" {
		t.Errorf("ends with %s", got)
	}
	if steps < 3 {
		t.Errorf("%d steps moved more than half of the flows, a fifth at a time", steps)
	}
}

// A limit that is less than the least change must not hold for ever.
func TestMaxChurnGoesOn(t *testing.T) {
	b := crowd()
	for i := range b.vip.Pools[0].Members {
		b.vip.Pools[0].Members[i].Weight = 1
	}
	b.hold("a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1", "")
	b.vip.MaxChurn = resource.MaxChurn{Limit: 1, Step: time.Second}
	b.backends[0].Disabled, b.backends[1].Disabled = true, true
	if got := b.shares(b.balance()); got != "b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1" {
		t.Errorf("the first step is %s, want one backend less", got)
	}
}

func TestMinHealthy(t *testing.T) {
	b := crowd()
	b.vip.MinHealthy = 500
	for i := range 6 {
		b.backends[i].Disabled = true
	}
	d := b.balance()
	if got := len(strings.Fields(b.shares(d))); got != 10 {
		t.Errorf("%d backends serve, want all: too few would be left", got)
	}
	if got := d.Gated[b.vip.Key()]; got != "4 of 10 backends would be left, less than min-healthy 50.0 %" {
		t.Errorf("gated %q", got)
	}
	b.backends[5].Disabled = false
	if got := len(strings.Fields(b.shares(b.balance()))); got != 5 {
		t.Errorf("%d backends serve, want 5: half is enough", got)
	}
	b.say("g=down h=down i=down")
	if got := len(strings.Fields(b.shares(b.balance()))); got != 7 {
		t.Errorf("%d backends serve, want 7: health takes its own, YAML waits", got)
	}
}

// What a guard keeps in a ring stays declared, though YAML has it no longer.
func TestMaxChurnKeepsWhatItHolds(t *testing.T) {
	b := crowd()
	b.vip.MaxChurn.Limit = 250
	gone := b.backends[:5]
	b.backends, b.vip.Pools[0].Members = b.backends[5:], b.vip.Pools[0].Members[5:]
	d := b.balance()
	if why := d.Gated[b.vip.Key()]; why == "" {
		t.Fatal("half of the backends left, and nothing is held")
	}
	for _, one := range gone {
		if !d.Want.Has(one.Key()) {
			t.Errorf("%s is in the ring, and is to be removed", one.Name)
		}
	}
}
