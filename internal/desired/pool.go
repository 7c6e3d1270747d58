package desired

import (
	"strconv"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// poolYAML is a set of backends as written.
type poolYAML struct {
	strict.Here
	Backends strict.Map[memberYAML] `yaml:"backends" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" required:"true" doc:"Names of backends:, with their weights."`
}

// memberYAML is a backend in a pool.
type memberYAML struct {
	strict.Here
	Weight strict.V[uint8] `yaml:"weight" max:"100" short:"true" doc:"0: it gets no new flows. Default 100."`
}

// poolRefYAML is a pool of a VIP: a name of pools:, or one of its own.
type poolRefYAML struct {
	strict.Here
	Name     strict.V[word]         `yaml:"name" short:"true" required:"true" doc:"A name of pools:, or, with backends, one of its own."`
	Backends strict.Map[memberYAML] `yaml:"backends" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Names of backends:, with their weights."`
}

const defaultWeight = 100

// pool is a set of backends that are declared.
type pool struct {
	id      string // another one for each
	name    string
	at      strict.Child
	members []member
}

type member struct {
	*backend
	weight uint8
	at     strict.Child
}

func (b *builder) readPools() {
	for i := range b.doc.Pools {
		e := &b.doc.Pools[i]
		b.lb.pools[e.Name] = b.pool(e.Name, e.Key, e.Val.At().Get("backends"), e.Val.Backends)
	}
}

// pool reads the members of a pool that are declared.
func (b *builder) pool(name string, at strict.Child, list *strict.Value, members strict.Map[memberYAML]) *pool {
	b.lb.known++
	p := &pool{id: strconv.Itoa(b.lb.known), name: name, at: at}
	if list != nil && list.Kind == strict.Mapping && len(members) == 0 {
		b.fault(list, "empty-pool", "pool %s has no backends", name)
	}
	for i := range members {
		e := &members[i]
		k, ok := b.lb.backends[e.Name]
		if !ok {
			unknown(b.faultKey(e.Key, "unknown-backend", "no backend is named %s", e.Name), e.Name, sortedKeys(b.lb.backends), "backends")
			continue
		}
		p.members = append(p.members, member{k, e.Val.Weight.Or(defaultWeight), e.Key})
	}
	return p
}

// checkRing compares the weights of a pool with the slots of a ring.
func (b *builder) checkRing(p *pool, members []resource.Member) {
	sum, common, least := uint64(0), uint64(0), uint64(defaultWeight)
	for _, m := range members {
		w := uint64(m.Weight)
		sum, common = sum+w, gcd(common, w)
		if w > 0 {
			least = min(least, w)
		}
	}
	size := uint64(b.lb.sizes.RingSize)
	switch {
	case sum == 0 || sum/common <= size || b.lb.told[p.at.KeyPos]:
		return
	case least*size < sum:
		b.faultKey(p.at, "ring-size", "a ring of %d slots has none for weight %d among %d", size, least, sum).
			Hinted("a larger lb.ring-size, or weights that differ less")
	default:
		b.report.WarnKey(p.at, strict.Problemf("ring-size", "the weights add up to %d, so a ring of %d slots cannot give each backend its exact share", sum/common, size).
			Hinted("weights with a common divisor"))
	}
	b.lb.told[p.at.KeyPos] = true
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
