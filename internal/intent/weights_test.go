package intent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/resource"
)

// bench is a VIP with two pools, and what the dataplane holds of it.
type bench struct {
	vip      resource.VIP
	backends []resource.Backend
	held     *resource.Set
	facts    Facts
}

func newBench() *bench {
	b := &bench{held: resource.NewSet(8), facts: Facts{Health: map[resource.Key]Health{}, Ramps: Ramps{}}}
	b.facts.Now = Moment{At: at(time.Hour), Wall: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}
	check := resource.Check{Name: "ok", Type: resource.CheckTCP, Port: 80}
	for i, name := range []string{"a", "b", "c"} {
		b.backends = append(b.backends, resource.Backend{
			Name: name, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), Encap: resource.IPIP, Check: check,
		})
	}
	b.backends = append(b.backends, resource.Backend{Name: "sorry", Address: netip.MustParseAddr("10.0.0.99"), Encap: resource.IPIP})
	b.vip = resource.VIP{
		Name: "www", Family: resource.IPv4, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		Pools: []resource.Pool{
			{Name: "main", Members: []resource.Member{b.member(0, 100), b.member(1, 100), b.member(2, 50)}},
			{Name: "spare", Members: []resource.Member{b.member(3, 1)}},
		},
	}
	return b
}

func (b *bench) member(i int, weight uint8) resource.Member {
	return resource.Member{Backend: b.backends[i].Key().Name, Weight: weight}
}

// say is what probes say of the backends, by their names.
func (b *bench) say(words string) {
	for _, w := range strings.Fields(words) {
		name, state, _ := strings.Cut(w, "=")
		b.facts.Health[b.key(name)] = Health{State: resource.HealthState(state)}
	}
}

func (b *bench) key(name string) resource.Key {
	i := slices.IndexFunc(b.backends, func(x resource.Backend) bool { return x.Name == name })
	return b.backends[i].Key()
}

// hold puts into the dataplane what it serves, and the states that it knows.
func (b *bench) hold(shares, states string) {
	v := b.vip
	v.Shares = nil
	for _, w := range strings.Fields(shares) {
		name, weight, _ := strings.Cut(w, "=")
		var n uint8
		fmt.Sscan(weight, &n)
		v.Shares = append(v.Shares, resource.Share{Backend: b.key(name).Name, Weight: n})
	}
	b.held.Put(resource.Object{Resource: v, Owner: resource.Ours})
	for _, w := range strings.Fields(states) {
		name, state, _ := strings.Cut(w, "=")
		i := slices.IndexFunc(b.backends, func(x resource.Backend) bool { return x.Name == name })
		one := b.backends[i]
		one.State = resource.HealthState(state)
		b.held.Put(resource.Object{Resource: one, Owner: resource.Ours})
	}
}

func (b *bench) want() *resource.Set {
	want := resource.NewSet(8)
	want.Put(resource.Object{Resource: b.vip})
	for _, one := range b.backends {
		want.Put(resource.Object{Resource: one})
	}
	return want
}

func (b *bench) balance() Balanced { return Balance(b.want(), b.held, b.facts) }

func (b *bench) shares(d Balanced) string {
	o, _ := d.Want.Get(b.vip.Key())
	var out []string
	for _, s := range o.Resource.(resource.VIP).Shares {
		name, _, _ := strings.Cut(s.Backend, "/")
		out = append(out, fmt.Sprintf("%s=%d", name, s.Weight))
	}
	return strings.Join(out, " ")
}

func (b *bench) flush(d Balanced) string {
	o, _ := d.Want.Get(b.vip.Key())
	var out []string
	for _, f := range o.Resource.(resource.VIP).Flush {
		name, _, _ := strings.Cut(f, "/")
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestBalance(t *testing.T) {
	weight := uint8(7)
	later := time.Date(2030, 1, 1, 13, 0, 0, 0, time.UTC)
	const allUp, full = "a=up b=up c=up", "a=100 b=100 c=50"
	for name, c := range map[string]struct {
		set    func(*bench)
		shares string
		flush  string
		state  VIPState
		reason string // part of it
	}{
		"all are up":                       {func(b *bench) { b.say(allUp) }, full, "", VIPUp, ""},
		"down weighs nothing":              {func(b *bench) { b.say("a=down b=up c=up") }, "b=100 c=50", "", VIPUp, ""},
		"down is flushed where asked":      {func(b *bench) { b.vip.FlushOnDown = true; b.say("a=down b=up c=up") }, "b=100 c=50", "a", VIPUp, ""},
		"unknown weighs nothing, no flush": {func(b *bench) { b.vip.FlushOnDown = true; b.say("b=up c=up") }, "b=100 c=50", "", VIPUp, ""},
		"disabled":                         {func(b *bench) { b.backends[0].Disabled = true; b.say(allUp) }, "b=100 c=50", "", VIPUp, ""},
		"disabled is flushed where asked": {func(b *bench) {
			b.backends[0].Disabled, b.backends[0].Flush = true, true
			b.say(allUp)
		}, "b=100 c=50", "a", VIPUp, ""},
		"the spare pool serves when the first has nobody": {func(b *bench) { b.say("a=down b=down c=down") }, "sorry=1", "", VIPUp, ""},
		"one is enough to serve":                          {func(b *bench) { b.say("a=down b=down c=up") }, "c=50", "", VIPUp, ""},
		"a weight of zero is nobody": {func(b *bench) {
			for i := range b.vip.Pools[0].Members {
				b.vip.Pools[0].Members[i].Weight = 0
			}
			b.say(allUp)
		}, "sorry=1", "", VIPUp, ""},
		"the last one gone empties the ring": {func(b *bench) {
			b.vip.Pools = b.vip.Pools[:1]
			b.say("a=down b=down c=down")
		}, "", "", VIPDown, ""},
		"nobody is known": {func(b *bench) { b.vip.Pools = b.vip.Pools[:1] }, "", "", VIPUnknown, ""},

		"after a start, hands off until it is known": {func(b *bench) { b.hold(full, allUp) }, full, "", VIPUp, ""},
		"after a start, what was down stays so":      {func(b *bench) { b.hold("b=100 c=50", "a=down b=up c=up") }, "b=100 c=50", "", VIPUp, ""},
		"known down after a start": {func(b *bench) {
			b.hold(full, allUp)
			b.say("a=down")
		}, "b=100 c=50", "", VIPUp, "a: down"},
		"a new one is not known": {func(b *bench) {
			b.hold("a=100 b=100", "a=up b=up")
			b.say("a=up b=up")
		}, "a=100 b=100", "", VIPUp, ""},
		"a probe that ended is not news": {func(b *bench) {
			b.hold(full, allUp)
			b.say("a=unknown b=up c=up")
		}, full, "", VIPUp, ""},

		"all are new, and none was asked: who served goes on": {func(b *bench) {
			b.hold(full, allUp)
			for i := range 3 {
				b.backends[i].Address = b.backends[i].Address.Next().Next().Next()
				b.vip.Pools[0].Members[i] = b.member(i, 100)
			}
			b.vip.Pools = b.vip.Pools[:1]
		}, full, "", VIPUp, ""},
		"nobody asks, and nobody knows": {func(b *bench) { b.facts.Health = nil }, full, "", VIPUp, ""},
		"nobody asks, and the dataplane knows": {func(b *bench) {
			b.facts.Health = nil
			b.hold("b=100 c=50", "a=down b=up c=up")
		}, "b=100 c=50", "", VIPUp, ""},

		"paused by hand": {func(b *bench) {
			b.facts.Overrides = []Override{{Backend: "a", State: Paused, Reason: "look", Until: later}}
			b.vip.FlushOnDown = true
			b.say(allUp)
		}, "b=100 c=50", "", VIPUp, ""},
		"disabled by hand, with its flows": {func(b *bench) {
			b.facts.Overrides = []Override{{Backend: "a", State: Disabled, Flush: true, Until: later}}
			b.say(allUp)
		}, "b=100 c=50", "a", VIPUp, ""},
		"enabled by hand": {func(b *bench) {
			b.backends[0].Disabled = true
			b.facts.Overrides = []Override{{Backend: "a", State: Enabled, Until: later}}
			b.say(allUp)
		}, full, "", VIPUp, ""},
		"enabled by hand does not heal": {func(b *bench) {
			b.facts.Overrides = []Override{{Backend: "a", State: Enabled, Until: later}}
			b.say("a=down b=up c=up")
		}, "b=100 c=50", "", VIPUp, ""},
		"weighed by hand": {func(b *bench) {
			b.facts.Overrides = []Override{{Backend: "a", Weight: &weight, Until: later}}
			b.say(allUp)
		}, "a=7 b=100 c=50", "", VIPUp, ""},
		"weighed by hand in another pool": {func(b *bench) {
			b.facts.Overrides = []Override{{Backend: "a", Pool: "spare", Weight: &weight, Until: later}}
			b.say(allUp)
		}, full, "", VIPUp, ""},

		"drains by an order": {func(b *bench) {
			b.backends[1].Drains = []resource.DrainOrder{{Name: "chg-1", Reason: "PDU swap", Until: later}}
			b.vip.FlushOnDown = true
			b.say(allUp)
		}, "a=100 c=50", "", VIPUp, ""},
		"an order that is over": {func(b *bench) {
			b.backends[1].Drains = []resource.DrainOrder{{Name: "chg-1", Until: b.facts.Now.Wall}}
			b.say(allUp)
		}, full, "", VIPUp, ""},
		"all drain: the spare pool serves": {func(b *bench) {
			for i := range 3 {
				b.backends[i].Drains = []resource.DrainOrder{{Name: "chg-1"}}
			}
			b.say(allUp)
		}, "sorry=1", "", VIPUp, ""},
		"in both pools, it serves by the first": {func(b *bench) {
			b.vip.Pools[1].Members = append(b.vip.Pools[1].Members, b.member(0, 3))
			b.say(allUp)
		}, full, "", VIPUp, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			c.set(b)
			d := b.balance()
			if got := b.shares(d); got != c.shares {
				t.Errorf("shares %q, want %q", got, c.shares)
			}
			if got := b.flush(d); got != c.flush {
				t.Errorf("flush %q, want %q", got, c.flush)
			}
			if got := d.States[b.vip.Key()]; got != c.state {
				t.Errorf("the VIP is %s, want %s", got, c.state)
			}
			if got := d.Reasons[b.vip.Key()]; !strings.Contains(got, c.reason) || c.reason == "" && got != "" {
				t.Errorf("reason %q, want %q", got, c.reason)
			}
		})
	}
}

func TestBalanceTellsStates(t *testing.T) {
	b := newBench()
	b.hold("a=100", "a=up b=down c=unknown sorry=up")
	b.facts.Health[b.key("a")] = Health{State: resource.HealthDown, Why: "timeout"}
	d := b.balance()
	for name, want := range map[string]resource.HealthState{
		"a": resource.HealthDown, "b": resource.HealthDown, "c": resource.HealthUnknown, "sorry": resource.HealthUp,
	} {
		o, _ := d.Want.Get(b.key(name))
		if got := o.Resource.(resource.Backend).State; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := d.Reasons[b.key("a")]; got != "down (timeout)" {
		t.Errorf("a changes because %q, want its probe", got)
	}
	if len(d.Reasons) != 2 {
		t.Errorf("reasons %v, want those of a and of the VIP", d.Reasons)
	}
}

func TestSlowStart(t *testing.T) {
	b := newBench()
	for i := range b.vip.Pools[0].Members {
		b.vip.Pools[0].Members[i].SlowStart = 100 * time.Second
	}
	b.hold("b=100 c=50", "a=down b=up c=up")
	b.say("a=up b=up c=up")
	began := b.facts.Now.At
	for _, step := range []struct {
		after  time.Duration
		shares string
		next   time.Duration // from the beginning; 0: never
	}{
		{0, "a=10 b=100 c=50", 10 * time.Second},
		{9 * time.Second, "a=10 b=100 c=50", 10 * time.Second},
		{10 * time.Second, "a=19 b=100 c=50", 20 * time.Second},
		{95 * time.Second, "a=91 b=100 c=50", 100 * time.Second},
		{100 * time.Second, "a=100 b=100 c=50", 0},
		{200 * time.Second, "a=100 b=100 c=50", 0},
	} {
		b.facts.Now.At = began.Add(step.after)
		d := b.balance()
		if got := b.shares(d); got != step.shares {
			t.Errorf("after %s: shares %q, want %q", step.after, got, step.shares)
		}
		want := Never
		if step.next != 0 {
			want = began.Add(step.next)
		}
		if d.Next != want {
			t.Errorf("after %s: next at %d, want %d", step.after, d.Next, want)
		}
		b.facts.Ramps = d.Ramps
		b.hold(b.shares(d), "a=up b=up c=up")
	}
}

func TestSlowStartGoesOnAfterARestart(t *testing.T) {
	b := newBench()
	for i := range b.vip.Pools[0].Members {
		b.vip.Pools[0].Members[i].SlowStart = 100 * time.Second
	}
	b.hold("a=40 b=100 c=50", "a=up b=up c=up")
	b.facts.Ramps = nil
	b.say("a=up b=up c=up")
	if got := b.shares(b.balance()); got != "a=40 b=100 c=50" {
		t.Errorf("shares %q at the start, want them as they are", got)
	}
}

// TestSlowStartOnASlowHost is late with the last step, which is no drift even
// so.
func TestSlowStartOnASlowHost(t *testing.T) {
	b := newBench()
	b.vip.Pools[0].Members[0].SlowStart = 100 * time.Second
	b.hold("b=100 c=50", "a=down b=up c=up")
	b.say("a=up b=up c=up")
	b.facts.Ramps = b.balance().Ramps
	b.hold("a=91 b=100 c=50", "a=up b=up c=up")
	for _, late := range []time.Duration{100 * time.Second, time.Second} {
		b.facts.Now.At = b.facts.Now.At.Add(late)
		d := b.balance()
		if got, why := b.shares(d), d.Reasons[b.vip.Key()]; got != "a=100 b=100 c=50" || why == "" {
			t.Errorf("shares %q because of %q, want the last step and why", got, why)
		}
		b.facts.Ramps = d.Ramps
	}
	b.hold("a=100 b=100 c=50", "a=up b=up c=up")
	b.facts.Ramps = b.balance().Ramps
	b.hold("a=91 b=100 c=50", "a=up b=up c=up")
	if why := b.balance().Reasons[b.vip.Key()]; why != "" {
		t.Errorf("what somebody else did afterwards is because of %q", why)
	}
}

func TestSlowStartOfAnEmptyVIP(t *testing.T) {
	b := newBench()
	for i := range b.vip.Pools[0].Members {
		b.vip.Pools[0].Members[i].SlowStart = 100 * time.Second
	}
	b.hold("", "a=down b=down c=down")
	b.say("a=up b=up c=up")
	if got := b.shares(b.balance()); got != "a=100 b=100 c=50" {
		t.Errorf("shares %q, want all of it: nobody else serves", got)
	}
}

// One that was never heard of before has nothing to recover from.
func TestNoSlowStartOfWhatIsNew(t *testing.T) {
	b := newBench()
	for i := range b.vip.Pools[0].Members {
		b.vip.Pools[0].Members[i].SlowStart = 100 * time.Second
	}
	b.hold("b=100 c=50", "a=unknown b=up c=up")
	b.say("a=up b=up c=up")
	if got := b.shares(b.balance()); got != "a=100 b=100 c=50" {
		t.Errorf("shares %q, want all of it", got)
	}
}

// A raise in YAML is no start.
func TestNoSlowStartOfARaise(t *testing.T) {
	b := newBench()
	b.vip.Pools[0].Members[2].SlowStart = 100 * time.Second
	b.hold("a=100 b=100 c=50", "a=up b=up c=up")
	b.say("a=up b=up c=up")
	b.facts.Ramps = b.balance().Ramps
	b.vip.Pools[0].Members[2].Weight = 90
	if got := b.shares(b.balance()); got != "a=100 b=100 c=90" {
		t.Errorf("shares %q, want the new weight at once", got)
	}
}

func TestKeepDrains(t *testing.T) {
	b := newBench()
	b.hold("b=100", "a=up b=up")
	d := resource.Drain{VIP: b.vip.Key().Name, Until: time.Hour + 5*time.Minute, Backends: []string{b.key("a").Name}}
	b.held.Put(resource.Object{Resource: d, Owner: resource.Ours})
	want := b.want()
	want.Remove(b.key("a")) // gone from YAML
	gone, _ := b.held.Get(b.key("a"))
	moved := gone.Resource.(resource.Backend)
	moved.Seen.Damage = []string{"mac 02:00:00:00:00:01 -> 02:00:00:00:00:02"}
	b.held.Put(resource.Object{Resource: moved, Owner: resource.Ours})

	kept, next := KeepDrains(want, b.held, at(time.Hour))
	if !kept.Has(d.Key()) || !kept.Has(b.key("a")) {
		t.Error("a drain, or a backend whose flows drain, goes before its time")
	}
	if o, _ := kept.Get(b.key("a")); o.Resource == nil || o.Resource.Equal(moved) {
		t.Error("the record of a backend that drains is not repaired")
	}
	if next != at(time.Hour+5*time.Minute) {
		t.Errorf("next is %d, want the end of the drain", next)
	}
	if want.Has(d.Key()) {
		t.Error("the set that was given is changed")
	}

	d.Until = time.Hour
	b.held.Put(resource.Object{Resource: d, Owner: resource.Ours})
	if kept, next := KeepDrains(want, b.held, at(time.Hour)); kept != want || next != Never {
		t.Error("a drain that is over is kept")
	}
	d.Until = 2 * time.Hour
	b.held.Put(resource.Object{Resource: d, Owner: resource.Ours})
	want.Remove(b.vip.Key())
	if kept, _ := KeepDrains(want, b.held, at(time.Hour)); kept != want {
		t.Error("a drain is kept without its VIP")
	}
}

// TestNoSlowStartOfOneDecision is that a command that decides once leaves nobody
// at a tenth for good, and one who is on the way where he is.
func TestNoSlowStartOfOneDecision(t *testing.T) {
	b := newBench()
	for i := range b.vip.Pools[0].Members {
		b.vip.Pools[0].Members[i].SlowStart = 100 * time.Second
	}
	b.hold("a=40 b=100", "a=up b=up c=up")
	b.facts.Health, b.facts.Ramps = nil, nil
	if got := b.shares(b.balance()); got != "a=40 b=100 c=50" {
		t.Errorf("shares %q, want all of c, and a as it is", got)
	}
}
