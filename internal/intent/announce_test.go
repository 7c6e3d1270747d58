package intent

import (
	"testing"
	"time"

	"reconciler/internal/resource"
)

func TestAnnounce(t *testing.T) {
	const withdraw, back = 3 * time.Second, 30 * time.Second
	key := newBench().vip.Key()
	for name, c := range map[string]struct {
		always, stands bool
		was            *Announced
		state          VIPState
		host           bool // is drained
		want           bool
		next           Instant
	}{
		"up at the start":                {state: VIPUp, want: true, next: Never},
		"down at the start":              {state: VIPDown, want: false, next: Never},
		"unknown at the start":           {state: VIPUnknown, want: false, next: Never},
		"unknown, and it stands":         {state: VIPUnknown, stands: true, want: true, next: Never},
		"down, and it stands":            {state: VIPDown, stands: true, want: true, next: at(withdraw)},
		"always, and down":               {state: VIPDown, always: true, want: true, next: Never},
		"goes down":                      {state: VIPDown, was: &Announced{Shown: true, Before: true, Differs: Never}, want: true, next: at(withdraw)},
		"is down":                        {state: VIPDown, was: &Announced{Shown: true, Before: true, Differs: at(-time.Second)}, want: true, next: at(withdraw - time.Second)},
		"is down for long enough":        {state: VIPDown, was: &Announced{Shown: true, Before: true, Differs: at(-withdraw)}, want: false, next: Never},
		"comes up for the first time":    {state: VIPUp, was: &Announced{Differs: Never}, want: true, next: Never},
		"comes up":                       {state: VIPUp, was: &Announced{Before: true, Differs: Never}, want: false, next: at(back)},
		"is up for long enough":          {state: VIPUp, was: &Announced{Before: true, Differs: at(-back)}, want: true, next: Never},
		"unknown again":                  {state: VIPUnknown, was: &Announced{Shown: true, Before: true, Differs: at(-withdraw)}, want: true, next: Never},
		"the host drains":                {state: VIPUp, was: &Announced{Shown: true, Before: true, Differs: Never}, host: true, want: false, next: Never},
		"the host drains, though always": {state: VIPUp, always: true, stands: true, host: true, want: false, next: Never},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			b.vip.Announce = resource.Announce{Link: "lo", Always: c.always, WithdrawAfter: withdraw, ReturnAfter: back}
			address := announced(b.vip, b.vip.Addresses[0])
			if c.stands {
				b.held.Put(resource.Object{Resource: address, Owner: resource.Ours})
			}
			was := map[resource.Key]Announced{}
			if c.was != nil {
				was[key] = *c.was
			}
			d := Announce(b.want(), b.held, map[resource.Key]VIPState{key: c.state}, was, c.host, 0)
			if got := d.Want.Has(address.Key()); got != c.want {
				t.Errorf("announced %v, want %v", got, c.want)
			}
			if d.Next != c.next {
				t.Errorf("next is %d, want %d", d.Next, c.next)
			}
			if d.Memory[key].Shown != c.want {
				t.Errorf("remembers %+v", d.Memory[key])
			}
			if why := d.Reasons[address.Key()]; (why == "") != (c.want && c.stands) {
				t.Errorf("the address is decided on because %q", why)
			}
		})
	}
}

func TestAnnounceNothing(t *testing.T) {
	b := newBench()
	want := b.want()
	if d := Announce(want, b.held, nil, nil, false, 0); d.Want != want || d.Next != Never {
		t.Error("a VIP without a link is announced")
	}
}
