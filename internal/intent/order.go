package intent

import (
	"slices"
	"time"

	"reconciler/internal/resource"
)

// Order is a wish of a person to drain the backends that have all of some
// labels.
type Order struct {
	Select []resource.Label
	resource.DrainOrder
}

// Selects reports that a backend has all of its labels.
func (o Order) Selects(b resource.Backend) bool {
	return len(o.Select) > 0 && !slices.ContainsFunc(o.Select, func(l resource.Label) bool { return !slices.Contains(b.Labels, l) })
}

// draining is the order by which a backend drains now.
func (b *balancing) draining(one resource.Backend) *resource.DrainOrder {
	for _, o := range b.Orders {
		if o.Selects(one) {
			return &o.DrainOrder
		}
	}
	for i, d := range one.Drains {
		if d.Until.IsZero() {
			return &one.Drains[i]
		}
		left := d.Until.Sub(b.Now.Wall)
		if left > 0 {
			b.out.Next = Earliest(b.out.Next, b.Now.At.Add(min(left, maxWait)))
			return &one.Drains[i]
		}
	}
	return nil
}

// maxWait bounds a wait for a time of day, which somebody may set.
const maxWait = time.Minute

func orderSaid(d resource.DrainOrder) string {
	if d.Reason == "" {
		return "drain " + d.Name
	}
	return "drain " + d.Name + ": " + d.Reason
}
