package chain

import (
	"context"
	"time"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// readBack is how often chains are looked at: no event tells of a slot that was
// emptied, a map that was changed or a link that was detached.
const readBack = time.Second

// Watch looks at all that was seen last, each second, and tells what is no
// longer so.
func (d *Driver) Watch(ctx context.Context, changed func(...resource.Key)) error {
	tick := time.NewTicker(readBack)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if keys := d.recheck(ctx); len(keys) > 0 {
				changed(keys...)
			}
			d.tick()
		}
	}
}

// recheck lists what differs from the last look. It is told again until
// somebody has looked.
func (d *Driver) recheck(ctx context.Context) []resource.Key {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last.want == nil {
		return nil
	}
	now, err := d.look(ctx, observed.Query{Want: d.last.want})
	if err != nil || now.Same(d.last.state) {
		return nil
	}
	return differing(d.last.state.Objects, now.Objects)
}

// tick measures what is published over time.
func (d *Driver) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.measure(time.Now(), true)
}

func differing(a, b *resource.Set) []resource.Key {
	var keys []resource.Key
	a.Each(func(k resource.Key, o resource.Object) bool {
		if other, ok := b.Get(k); !ok || !o.Same(other) {
			keys = append(keys, k)
		}
		return true
	})
	b.Each(func(k resource.Key, _ resource.Object) bool {
		if !a.Has(k) {
			keys = append(keys, k)
		}
		return true
	})
	return keys
}
