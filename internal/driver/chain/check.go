package chain

import (
	"cmp"
	"fmt"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// Check tells what is wrong with a resource in itself. It needs no kernel: the
// zero Driver has it too. What an object holds is looked at where it came with
// the tree.
func (d *Driver) Check(r resource.Resource) []driver.Fault {
	switch r := r.(type) {
	case resource.Program:
		return d.checkProgram(r)
	case resource.Map:
		return d.checkMap(r)
	case resource.Chain:
		return checkChain(r)
	case resource.Unsupported:
		return []driver.Fault{{Code: driver.Unsupported, Message: r.Name + " is not applied by this build"}}
	}
	return nil
}

// maxProgramName is what the state of a dispatcher has room for.
const maxProgramName = 63

func (d *Driver) checkProgram(p resource.Program) []driver.Fault {
	if len(p.Name) > maxProgramName {
		return []driver.Fault{{Field: "name", Code: "name-length", Message: fmt.Sprintf("a name has at most %d bytes", maxProgramName)}}
	}
	if p.Source.Tree == nil {
		return nil
	}
	o, err := d.parsed.object(p.Source.Tree.Bytes, p.Source.Tree.SHA256)
	if err != nil {
		return []driver.Fault{{Field: "object", Code: "bad-object", Message: err.Error()}}
	}
	if p.Functions, err = functions(o, p); err != nil {
		return []driver.Fault{{Field: "entry", Code: "no-entry", Message: err.Error()}}
	}
	spec := o.narrow(p.Functions)
	if err := settle(spec, p); err != nil {
		return []driver.Fault{{Code: "object-mismatch", Message: err.Error()}}
	}
	var faults []driver.Fault
	for _, m := range p.Metrics {
		if _, err := newMeter(m, spec); err != nil {
			faults = append(faults, driver.Fault{Field: "metrics", Code: "metric", Message: "metric " + m.Name + ": " + err.Error()})
		}
	}
	return faults
}

func (d *Driver) checkMap(m resource.Map) []driver.Fault {
	fault := func(err error) []driver.Fault {
		if err == nil {
			return nil
		}
		return []driver.Fault{{Field: m.Name, Code: "map-entry", Message: err.Error()}}
	}
	if m.Tree == nil {
		if m.KeySize == 0 || m.ValueSize == 0 {
			return nil
		}
		_, err := encode(m, &ebpf.MapSpec{Type: ebpf.Hash, KeySize: m.KeySize, ValueSize: m.ValueSize})
		return fault(err)
	}
	o, err := d.parsed.object(m.Tree.Bytes, m.Tree.SHA256)
	if err != nil {
		return nil // told of its program
	}
	spec := o.spec.Maps[m.Name]
	if spec == nil {
		return fault(fmt.Errorf("the object has no map %s, it has %s", m.Name, orNone(mapNames(o.spec))))
	}
	c, err := encode(m, spec)
	if err == nil {
		err = c.room(spec.Type, cmp.Or(m.MaxEntries, spec.MaxEntries))
	}
	return fault(err)
}

func checkChain(c resource.Chain) []driver.Fault {
	if len(c.Slots) > resource.MaxSlots {
		return []driver.Fault{{Field: "programs", Code: "too-many", Message: fmt.Sprintf("a chain holds at most %d programs", resource.MaxSlots)}}
	}
	return nil
}
