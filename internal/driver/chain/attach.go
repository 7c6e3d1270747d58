package chain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// How a chain can be attached.
const (
	attachXDPNative  = "xdp-native"
	attachXDPGeneric = "xdp-generic"
	attachTCX        = "tcx"
	attachClsact     = "clsact"
)

// attachment is what holds a chain to its hook.
type attachment struct {
	how     string
	program ebpf.ProgramID // 0 for none
	mode    resource.XDPMode
	link    string // the interface's present name; empty where it is gone
	on      linkState
	severed bool // it can never be updated again
	damage  []string
}

// attachedBy reads how a chain is attached.
func (d *Driver) attachedBy(dir, name string, hook resource.Hook) attachment {
	pin, half := filepath.Join(dir, linkPin), bpffs.Exists(nextLink(dir))
	if half {
		pin = nextLink(dir)
	}
	l, err := link.LoadPinnedLink(pin, nil)
	switch {
	case err == nil:
		defer l.Close()
		a := d.attachedByLink(l, hook)
		if half {
			a.damage = append(a.damage, "the pin of its link has no name yet")
		}
		return a
	case isBlind(err):
		d.blind = fmt.Errorf("open %s: %w", pin, err)
		return attachment{damage: []string{err.Error()}}
	case !errors.Is(err, os.ErrNotExist):
		return attachment{damage: []string{err.Error()}, severed: true}
	case hook.IsXDP():
		return d.attachedUnpinned(dir, name)
	}
	return d.attachedByFilter(dir, name, hook)
}

// isBlind tells what says nothing of a pin but that it cannot be opened now: no
// right to, or a file system that is mounted read-only.
func isBlind(err error) bool {
	for _, no := range []error{unix.EPERM, unix.EACCES, unix.EROFS, unix.ENOMEM, unix.EMFILE, unix.ENFILE} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// attachedUnpinned finds the XDP program of a chain whose link has no pin:
// somebody else holds it, or the kernel is about to let it go.
func (d *Driver) attachedUnpinned(dir, name string) attachment {
	a := attachment{damage: []string{"it is not attached"}, severed: true}
	on, err := d.linkByName(name)
	if err == nil && slices.Contains(pinnedDispatchers(dir), on.xdp.program) {
		a.program, a.how, a.mode, a.link, a.on = on.xdp.program, on.xdp.how(), on.xdp.mode, on.name, on
		a.damage = []string{"the pin of its link is gone"}
	}
	return a
}

// pinnedDispatchers are those that are pinned in the directory of a chain.
func pinnedDispatchers(dir string) []ebpf.ProgramID {
	var ids []ebpf.ProgramID
	names, _ := bpffs.List(dir)
	for _, name := range names {
		if id := pinnedID(filepath.Join(dir, name, dispatcherPin)); id != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// detachStrays detaches links of former generations of a chain that have no pin
// and that somebody holds.
func detachStrays(dir string, g *generation) error {
	now, err := g.dispatcher.id()
	if err != nil {
		return err
	}
	former := slices.DeleteFunc(pinnedDispatchers(dir), func(id ebpf.ProgramID) bool { return id == now })
	if len(former) == 0 {
		return nil
	}
	return detachLinks(func(info *link.Info) bool {
		return onInterface(info) == uint32(g.ifindex) && slices.Contains(former, info.Program)
	})
}

// detachLinks detaches the links that are asked for.
func detachLinks(which func(*link.Info) bool) error {
	return eachLink(func(l link.Link, info *link.Info) error {
		if which(info) {
			return l.Detach()
		}
		return nil
	})
}

// eachLink goes through the BPF links of all network namespaces.
func eachLink(f func(link.Link, *link.Info) error) error {
	var errs []error
	last, start := link.ID(0), time.Now()
	for {
		it := link.Iterator{ID: last}
		for it.Next() {
			l := it.Take()
			last = it.ID
			if info, err := l.Info(); err == nil { // else it is gone meanwhile
				errs = append(errs, f(l, info))
			}
			l.Close()
		}
		if err := it.Err(); !errors.Is(err, unix.EAGAIN) || time.Since(start) > lettingGo {
			return errors.Join(append(errs, err)...)
		}
		time.Sleep(time.Millisecond) // somebody attaches the next one just now
	}
}

// attachedByLink reads a BPF link. One whose interface is gone, or that was
// detached by force, has no interface and never gets one again.
func (d *Driver) attachedByLink(l link.Link, hook resource.Hook) attachment {
	info, err := l.Info()
	if err != nil {
		return attachment{damage: []string{err.Error()}, severed: true}
	}
	a := attachment{program: info.Program}
	ifindex := 0
	if hook.IsXDP() {
		if x := info.XDP(); x != nil {
			ifindex = int(x.Ifindex)
		}
	} else if x := info.TCX(); x != nil {
		ifindex = int(x.Ifindex)
		a.how = attachTCX
	}
	on, err := d.linkByIndex(ifindex)
	if ifindex == 0 || err != nil || hook.IsXDP() && on.xdp.program != a.program {
		a.severed, a.damage = true, []string{"it was detached by force, or its interface was replaced"}
		return a
	}
	a.link, a.on = on.name, on
	if hook.IsXDP() {
		a.how, a.mode = on.xdp.how(), on.xdp.mode
		return a
	}
	first, runs := beforeTCX(ifindex, hook, a.program)
	switch {
	case !runs: // in another namespace, on an interface of the same index
		a.severed, a.damage = true, []string{"its interface was replaced"}
	case first != a.program:
		a.damage = []string{fmt.Sprintf("program %d runs before it", first)}
	}
	return a
}

// attach puts a generation into the place of what is attached.
func (d *Driver) attach(dir string, g *generation, op diff.Op) error {
	if err := nameLink(dir); err != nil {
		return err
	}
	if g.chain.Hook.IsXDP() {
		return d.attachXDP(dir, g, op)
	}
	if d.hasTCX() && !d.byFilter(g) {
		return d.attachTCX(dir, g)
	}
	return d.attachFilter(g)
}

// update swaps the program of a pinned link in one step, if it is still the one
// that was read: a second writer loses. It reports false where there is no link
// that could be updated.
func update(dir string, g *generation) (bool, error) {
	pin := filepath.Join(dir, linkPin)
	l, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open link: %w", err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return false, err
	}
	if onInterface(info) != uint32(g.ifindex) {
		return false, os.Remove(pin) // severed
	}
	old, err := attachedProgram(dir, info.Program)
	if err != nil {
		return false, fmt.Errorf("open the program that is attached: %w", err)
	}
	defer old.Close()
	raw, ok := l.(interface {
		UpdateArgs(link.RawLinkUpdateOptions) error
	})
	if !ok {
		return false, errors.New("a link of this type cannot be updated")
	}
	if err := raw.UpdateArgs(link.RawLinkUpdateOptions{New: g.dispatcher.program, Old: old, Flags: replaceOld}); err != nil {
		return false, fmt.Errorf("swap program: %w", err)
	}
	return true, nil
}

// attachedProgram opens a dispatcher by its pin; only where that is gone by its
// id, which takes more rights.
func attachedProgram(dir string, id ebpf.ProgramID) (*ebpf.Program, error) {
	names, _ := bpffs.List(dir)
	for _, name := range names {
		p, err := openProgram(filepath.Join(dir, name, dispatcherPin))
		if err != nil {
			continue
		}
		if got, err := programID(p); err == nil && got == id {
			return p, nil
		}
		p.Close()
	}
	return ebpf.NewProgramFromID(id)
}

const replaceOld = 1 << 2 // BPF_F_REPLACE of linux/bpf.h

func onInterface(info *link.Info) uint32 {
	if x := info.XDP(); x != nil {
		return x.Ifindex
	}
	if x := info.TCX(); x != nil {
		return x.Ifindex
	}
	return 0
}

// pinLink pins a new link in the place of an older one, if there is any: that
// is gone with its pin.
func pinLink(dir string, l link.Link) error {
	if err := l.Pin(nextLink(dir)); err != nil {
		return fmt.Errorf("pin link: %w", err)
	}
	return nameLink(dir)
}

// nextLink is where a link is pinned until it takes the place of the former.
func nextLink(dir string) string { return filepath.Join(dir, linkPin+"-next") }

// nameLink lets a new link take the place of the former. A run that was killed
// may have left one without its name.
func nameLink(dir string) error {
	err := os.Rename(nextLink(dir), filepath.Join(dir, linkPin))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("name the pin of the link: %w", err)
	}
	return nil
}

// detach takes a chain off its hook.
func (d *Driver) detach(dir string, c resource.Chain) error {
	if err := nameLink(dir); err != nil {
		return err
	}
	pin := filepath.Join(dir, linkPin)
	l, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		// Others may hold the link: without its pin alone it would live on.
		err = l.Detach()
		l.Close()
		if err != nil && !c.Seen.Severed {
			return err
		}
		return os.Remove(pin)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open link: %w", err)
	}
	ours := pinnedDispatchers(dir)
	err = detachLinks(func(info *link.Info) bool { return slices.Contains(ours, info.Program) })
	if err != nil || c.Hook.IsXDP() {
		return err
	}
	return d.detachFilter(c)
}
