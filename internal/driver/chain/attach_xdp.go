package chain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// attachXDP swaps the program of the link, or attaches a new one.
func (d *Driver) attachXDP(dir string, g *generation, op diff.Op) error {
	if op.Verb == diff.Replace && d.modeDiffers(dir, g) {
		// The mode is one of the link, and an interface has one XDP program.
		if err := d.detach(dir, op.From.(resource.Chain)); err != nil {
			return fmt.Errorf("detach for another mode: %w", err)
		}
	}
	if a := d.attachedBy(dir, g.chain.Link, g.chain.Hook); a.severed {
		if err := os.Remove(filepath.Join(dir, linkPin)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("let go of a severed link: %w", err)
		}
	} else if err := d.lroOff(g.ifindex); err != nil { // turned on meanwhile
		return err
	} else if done, err := update(dir, g); done || err != nil {
		return err
	}
	if err := detachStrays(dir, g); err != nil {
		return fmt.Errorf("detach a link without a pin: %w", err)
	}
	l, err := d.newXDP(g)
	for start := time.Now(); errors.Is(err, unix.EBUSY) && time.Since(start) < lettingGo && d.attachedUnpinned(dir, g.chain.Link).program != 0; {
		time.Sleep(time.Millisecond)
		l, err = d.newXDP(g)
	}
	if err != nil && op.Verb == diff.Replace {
		return errors.Join(err, d.putBack(dir, g.ifindex, op.From.(resource.Chain)))
	}
	if err != nil {
		return err
	}
	defer l.Close()
	return pinLink(dir, l)
}

// modeDiffers reports that a chain runs in another mode than it is to, now: an
// operation may be done a second time.
func (d *Driver) modeDiffers(dir string, g *generation) bool {
	now := d.attachedBy(dir, g.chain.Link, g.chain.Hook).mode
	return now != g.chain.Mode && g.chain.Mode != resource.Auto
}

// putBack attaches a chain again that made way for another mode in vain.
func (d *Driver) putBack(dir string, ifindex int, c resource.Chain) error {
	if c.Seen.Severed {
		return nil // it did not run
	}
	p, err := attachedProgram(dir, ebpf.ProgramID(c.Seen.Dispatcher))
	if err != nil {
		return fmt.Errorf("put the former mode back: %w", err)
	}
	defer p.Close()
	l, err := d.newXDP(&generation{chain: c, ifindex: ifindex, dispatcher: &dispatcher{program: p}})
	if err != nil {
		return fmt.Errorf("put the former mode back: %w", err)
	}
	defer l.Close()
	return pinLink(dir, l)
}

// lettingGo bounds how long the kernel needs for a link that nobody holds any
// more.
const lettingGo = 500 * time.Millisecond

// newXDP attaches by a new link, in the mode that is wanted.
func (d *Driver) newXDP(g *generation) (link.Link, error) {
	if !g.chain.Takeover {
		return d.attachNew(g)
	}
	back, err := d.evict(g.ifindex)
	if err != nil {
		return nil, fmt.Errorf("take over: %w", err)
	}
	defer back.close()
	l, err := d.attachNew(g)
	if err != nil {
		return nil, errors.Join(err, back.attach())
	}
	return l, nil
}

func (d *Driver) attachNew(g *generation) (link.Link, error) {
	if err := d.lroOff(g.ifindex); err != nil {
		return nil, err
	}
	var errs []error
	for _, flags := range modeFlags(g.chain.Mode) {
		l, err := link.AttachXDP(link.XDPOptions{Program: g.dispatcher.program, Interface: g.ifindex, Flags: flags})
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	return nil, errors.Join(explainXDP(g.chain, errors.Join(errs...)), d.lroBack(g.chain.Link))
}

func modeFlags(m resource.XDPMode) []link.XDPAttachFlags {
	switch m {
	case resource.Generic:
		return []link.XDPAttachFlags{link.XDPGenericMode}
	case resource.Auto:
		return []link.XDPAttachFlags{link.XDPDriverMode, link.XDPGenericMode}
	}
	return []link.XDPAttachFlags{link.XDPDriverMode}
}

// explainXDP adds what the kernel's word for it does not say.
func explainXDP(c resource.Chain, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: somebody else's XDP program is on %s (takeover: true evicts it)", err, c.Link)
	case errors.Is(err, unix.EOPNOTSUPP) && c.Mode == resource.Native:
		return fmt.Errorf("%w: %w", err, errNotNative(c.Link))
	}
	return err
}

// errSeveral is that links cannot be told apart: their information names an
// interface by its index alone, which other network namespaces have too.
var errSeveral = errors.New("the program is attached by several links to interfaces of this index, in other network namespaces: detach it by hand")

// evicted is a foreign XDP program that made way; none where program is nil.
type evicted struct {
	program *ebpf.Program
	from    linkState
}

func (e evicted) close() { e.program.Close() }

// attach puts it back, if by a link of its owner then without that.
func (e evicted) attach() error {
	if e.program == nil {
		return nil
	}
	if err := setXDP(e.from, e.program.FD()); err != nil {
		return fmt.Errorf("put back the program that was evicted: %w", err)
	}
	return nil
}

// evict takes a foreign XDP program off an interface.
func (d *Driver) evict(ifindex int) (evicted, error) {
	on, err := d.linkByIndex(ifindex)
	if err != nil || on.xdp.program == 0 {
		return evicted{}, err
	}
	p, err := ebpf.NewProgramFromID(on.xdp.program)
	if err != nil {
		return evicted{}, fmt.Errorf("open program %d: %w", on.xdp.program, err)
	}
	if err := takeOff(on); err != nil {
		p.Close()
		return evicted{}, err
	}
	return evicted{p, on}, nil
}

// takeOff takes the program off an interface. The kernel lets one go that was
// attached without a link, and refuses where there is a link: then one of the
// links that may be its is.
func takeOff(on linkState) error {
	busy := setXDP(on, noProgram)
	if !errors.Is(busy, unix.EBUSY) {
		return busy
	}
	its := func(info *link.Info) bool {
		return info.Program == on.xdp.program && info.XDP() != nil && int(info.XDP().Ifindex) == on.index
	}
	switch n, err := countLinks(its); {
	case err != nil:
		return err
	case n == 0:
		return busy // it had another program by then
	case n > 1:
		return errSeveral
	}
	return detachLinks(its)
}

func countLinks(which func(*link.Info) bool) (int, error) {
	n := 0
	err := eachLink(func(_ link.Link, info *link.Info) error {
		if which(info) {
			n++
		}
		return nil
	})
	return n, err
}
