// Package fake is a host in memory: a driver that refuses what a kernel
// refuses and takes along what a kernel takes along.
//
// It makes the pure parts fast to test. It knows only what a test on a real
// kernel has shown, and it shares no code with the prediction of side effects
// in resource: that is what it is there to check.
package fake

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Host is a host in memory. It is a driver by the name of netlink. The zero
// value is not ready; use New.
type Host struct {
	objects map[resource.Key]resource.Resource
	index   int32
	stolen  map[string]bool // vlans with the MAC address of their lower link, which they were not given

	// Fail, if set, is asked before each operation; its error is returned in
	// place of doing it.
	Fail func(diff.Op) error
	// Done counts operations that changed something.
	Done int
}

var _ driver.Driver = (*Host)(nil)

// New returns a host with a loopback link.
func New() *Host {
	h := &Host{objects: map[resource.Key]resource.Resource{}, stolen: map[string]bool{}}
	h.AddHardware("lo")
	return h
}

// AddHardware puts a link in that nobody made.
func (h *Host) AddHardware(name string) {
	h.index++
	l := resource.Link{
		Name: name, MTU: 1500, MAC: resource.MAC{2, 0, 0, 0, 1, byte(h.index)}, State: resource.Up,
		Description: resource.Some(""), TxQueueLen: resource.Some[uint32](1000),
		Seen: resource.Seen{Index: h.index, Loopback: name == "lo"},
	}
	if l.Seen.Loopback {
		l.MAC = resource.MAC{}
	}
	h.objects[l.Key()] = l
}

// Name is netlink: the fake stands in for that driver.
func (h *Host) Name() string { return resource.Netlink }

// Check finds no fault.
func (h *Host) Check(resource.Resource) []driver.Fault { return nil }

// Observe returns everything, whatever the query.
func (h *Host) Observe(context.Context, observed.Query) (observed.State, error) {
	set := resource.NewSet(len(h.objects))
	for _, r := range h.objects {
		set.Put(resource.Object{Resource: r, Owner: h.owner(r)})
	}
	return observed.State{Objects: set}, nil
}

func (h *Host) owner(r resource.Resource) resource.Owner {
	ours := false
	switch r := r.(type) {
	case resource.Link:
		ours = r.Group == resource.LinkGroup
	case resource.Address:
		ours = r.Protocol == resource.Protocol
	case resource.Route:
		ours = r.Protocol == resource.Protocol
	case resource.Rule:
		ours = r.Protocol == resource.Protocol
	case resource.Neighbour:
		ours = r.Protocol == resource.Protocol
	case resource.Port:
		ours = h.link(r.Link).Group == resource.LinkGroup || h.link(r.Master).Group == resource.LinkGroup
	case resource.Sysctl:
		ours = r.Former.IsSet()
	}
	if ours {
		return resource.Ours
	}
	return resource.Foreign
}

// Apply does the operations in their order.
func (h *Host) Apply(ctx context.Context, ops []diff.Op) []error {
	errs := make([]error, len(ops))
	for i, op := range ops {
		if errs[i] = context.Cause(ctx); errs[i] != nil {
			continue
		}
		if errs[i] = h.do(op); errs[i] != nil {
			errs[i] = fmt.Errorf("%s %s: %w", op.Verb, op.Key, errs[i])
		}
	}
	return errs
}

func (h *Host) do(op diff.Op) error {
	if h.Fail != nil {
		if err := h.Fail(op); err != nil {
			return err
		}
	}
	h.Done++
	switch op.Verb {
	case diff.Create:
		return h.Create(op.To)
	case diff.Update:
		return h.update(op.From, op.To)
	case diff.Replace:
		if err := h.Delete(op.From); err != nil {
			return err
		}
		return h.Create(op.To)
	case diff.Delete:
		return h.Delete(op.From)
	case diff.NoVerb:
	}
	panic("fake: operation without a verb")
}

// Create makes a resource, as a kernel would.
func (h *Host) Create(r resource.Resource) error {
	if had, taken := h.objects[r.Key()]; taken && !isFar(r) {
		if h.owner(had) != resource.Ours && !r.Equal(had) {
			return unix.EEXIST
		}
		return h.update(had, r)
	}
	switch r := r.(type) {
	case resource.Link:
		return h.createLink(r)
	case resource.Address:
		return h.createAddress(r)
	case resource.Route:
		return h.setRoute(r)
	case resource.Neighbour:
		if _, ok := h.objects[resource.LinkKey(r.Link)]; !ok {
			return unix.ENODEV
		}
	case resource.Port:
		return h.setPort(r)
	}
	h.objects[r.Key()] = r
	return nil
}

func isFar(r resource.Resource) bool {
	l, ok := r.(resource.Link)
	return ok && l.Far
}

func (h *Host) update(from, to resource.Resource) error {
	if _, ok := h.objects[from.Key()]; !ok {
		if _, ok := from.(resource.Link); ok {
			return unix.ENODEV
		}
		return h.Create(to)
	}
	switch to := to.(type) {
	case resource.Link:
		return h.changeLink(from.(resource.Link), to)
	case resource.Address:
		had := from.(resource.Address)
		had.Protocol = to.Protocol
		h.objects[to.Key()] = had
		return nil
	case resource.Route:
		return h.setRoute(to)
	case resource.Port:
		return h.setPort(to)
	}
	h.objects[to.Key()] = to
	return nil
}

// Delete removes a resource; one that is gone is no error.
func (h *Host) Delete(r resource.Resource) error {
	if _, ok := h.objects[r.Key()]; !ok {
		return nil
	}
	switch r := r.(type) {
	case resource.Link:
		return h.deleteLink(r.Name)
	case resource.Address:
		h.deleteAddress(r)
		return nil
	}
	delete(h.objects, r.Key())
	return nil
}

func (h *Host) link(name string) resource.Link {
	l, _ := h.objects[resource.LinkKey(name)].(resource.Link)
	return l
}

// remove drops every object that matches.
func (h *Host) remove(match func(resource.Resource) bool) {
	for k, r := range h.objects {
		if match(r) {
			delete(h.objects, k)
		}
	}
}

func on(r resource.Resource, link string) bool {
	if _, ok := r.(resource.Link); ok {
		return false
	}
	return slices.Contains(resource.Parents(r), link)
}
