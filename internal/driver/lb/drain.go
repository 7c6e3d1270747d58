package lb

import (
	"time"

	"reconciler/internal/clock"
	"reconciler/internal/resource"
)

// leastDrain is the shortest time in which flows that could stay may: those
// that move without need have no better reason than the others of their VIP.
const leastDrain = time.Minute

// drain reads a window that is open.
func (l *reading) drain(vip string, service uint16, r verdict) resource.Drain {
	d := resource.Drain{VIP: vip, Until: l.services[service].Until, Backends: r.leaving, Flows: -1}
	if l.flows != nil {
		d.Flows = 0
		for _, b := range r.leaving {
			d.Flows += l.flows[flowsOf{service, l.indexes[b]}]
		}
	}
	return d
}

// window is how long flows stay after a change: as long as the longest drain of
// those who left, and where nobody did, of those who may have lost some.
func window(v resource.VIP, left []string) time.Duration {
	longest, last := time.Duration(0), time.Duration(0)
	for _, p := range v.Pools {
		for _, m := range p.Members {
			longest = max(longest, m.Drain)
			for _, name := range left {
				if m.Backend == name {
					last = max(last, m.Drain)
				}
			}
		}
	}
	if last == 0 {
		last = longest
	}
	return max(last, leastDrain)
}

// deadline is when a window that opens now is to end, of CLOCK_BOOTTIME.
func deadline(left time.Duration) time.Duration {
	return (clock.Boottime() + left).Truncate(time.Millisecond)
}
