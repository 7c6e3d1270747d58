package chain

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

func tcxAttach(h resource.Hook) ebpf.AttachType {
	if h == resource.TCEgress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// hasTCX asks the kernel once (Linux 6.6): versions are no answer.
func (d *Driver) hasTCX() bool {
	if d.tcx == nil {
		_, err := link.QueryPrograms(link.QueryOptions{Target: loopback, Attach: ebpf.AttachTCXIngress})
		has := err == nil && !d.cfg.NoTCX
		d.tcx = &has
	}
	return *d.tcx
}

const loopback = 1 // its index in every network namespace

// beforeTCX is the program that runs first on a hook, and whether another one
// runs there at all. Where it cannot be told nothing runs before the other.
func beforeTCX(ifindex int, hook resource.Hook, other ebpf.ProgramID) (first ebpf.ProgramID, runs bool) {
	r, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: tcxAttach(hook)})
	if err != nil {
		return other, true
	}
	for _, p := range r.Programs {
		runs = runs || p.ID == other
	}
	if !runs {
		return 0, false
	}
	return r.Programs[0].ID, true
}

// maxStale bounds how often an attachment is tried again because others attach
// at the same time.
const maxStale = 10

// attachTCX swaps the program of the link where it is the first of its hook.
// Else it attaches a new link there before the old one goes: a packet may meet
// both for a moment, and never none.
func (d *Driver) attachTCX(dir string, g *generation) error {
	if a := d.attachedBy(dir, g.chain.Link, g.chain.Hook); !a.severed && len(a.damage) == 0 {
		if done, err := update(dir, g); done || err != nil {
			return err
		}
	}
	for range maxStale {
		l, err := newTCX(g)
		if errors.Is(err, unix.ESTALE) {
			continue
		}
		if err != nil {
			return err
		}
		defer l.Close()
		return errors.Join(pinLink(dir, l), detachStrays(dir, g))
	}
	return errors.New("attach: others attach to this hook all the time")
}

func newTCX(g *generation) (link.Link, error) {
	at := tcxAttach(g.chain.Hook)
	now, err := link.QueryPrograms(link.QueryOptions{Target: g.ifindex, Attach: at})
	if err != nil {
		return nil, fmt.Errorf("read the programs of %s: %w", g.chain.Link, err)
	}
	return link.AttachTCX(link.TCXOptions{
		Interface: g.ifindex, Program: g.dispatcher.program, Attach: at,
		Anchor: link.Head(), ExpectedRevision: now.Revision,
	})
}
