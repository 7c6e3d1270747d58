package chain

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/chain/value"
	"reconciler/internal/resource"
)

// meter is where the number of a metric stands: an entry of a map, and a field
// of its value.
type meter struct {
	key    []byte
	number value.Number
	size   int // of a value, in bytes
}

// newMeter finds it by the types of the object.
func newMeter(m resource.Metric, spec *ebpf.CollectionSpec) (meter, error) {
	s := spec.Maps[m.Map]
	if s == nil {
		return meter{}, fmt.Errorf("the program uses no map %s, but %s", m.Map, orNone(mapNames(spec)))
	}
	key, val, err := codecs(resource.Map{}, s)
	if err != nil {
		return meter{}, err
	}
	raw, err := key.Encode(m.Key)
	if err != nil {
		return meter{}, fmt.Errorf("key %s: %w", m.Key, err)
	}
	if isArray(s.Type) && word(raw) >= s.MaxEntries {
		return meter{}, fmt.Errorf("map %s is an array of %d: there is no index %s", m.Map, s.MaxEntries, m.Key)
	}
	number, err := val.Number(m.Field)
	if err != nil {
		return meter{}, fmt.Errorf("value of map %s: %w", m.Map, err)
	}
	return meter{raw, number, val.Size()}, nil
}

// read is the number in a map, summed over the CPUs of a per-CPU map; 0 where
// there is no such entry.
func (r meter) read(m *ebpf.Map) (float64, error) {
	if int(m.ValueSize()) != r.size || int(m.KeySize()) != len(r.key) {
		return 0, errors.New("the map that runs has another layout than the object")
	}
	values := [][]byte{make([]byte, r.size)}
	var err error
	if isPerCPU(m.Type()) {
		err = m.Lookup(r.key, &values)
	} else {
		err = m.Lookup(r.key, values[0])
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, v := range values {
		sum += r.number.Of(v)
	}
	return sum, nil
}

// meterOf is the meter of a metric, which is looked for once for each version
// of a program.
func (d *Driver) meterOf(p resource.Program, m resource.Metric) (meter, bool) {
	of := meterKey{p.Digest, m.Map, m.Key.String(), m.Field}
	if found, ok := d.metering.meters[of]; ok {
		return found.meter, found.ok
	}
	obj, err := d.object(p)
	if err != nil {
		return meter{}, false // told by Resolve
	}
	spec := obj.spec.Copy()
	keep(spec, p.Functions)
	var found meter
	if err = settle(spec, p); err == nil {
		found, err = newMeter(m, spec)
	}
	if err != nil {
		d.cfg.Log.Warn("a metric has no value", "metric", m.Name, "program", p.Name, "err", err)
	}
	if len(d.metering.meters) >= maxSeries {
		clear(d.metering.meters)
	}
	d.metering.meters[of] = foundMeter{found, err == nil}
	return found, err == nil
}

type meterKey struct{ digest, of, key, field string }

type foundMeter struct {
	meter
	ok bool
}
