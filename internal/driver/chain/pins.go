package chain

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// pins is where everything stands that has to outlive the process:
//
//	<mount>/reconciler/<namespace>/
//	    programs/<instance>/<digest>/fn:<function>  map:<map>  own:<map>  use:<map>
//	    chains/<interface>/<hook>/link              of XDP and TCX
//	    chains/<interface>/<hook>/<generation>/{slots,state,dispatcher}
//	    maps/<pin>                                  maps that others find by their pin
//
// The file system takes no dot in a name, so dots are written as %2e.
type pins struct{ bpffs.Root }

func (p pins) programs() string { return filepath.Join(p.Dir(), "programs") }
func (p pins) chains() string   { return filepath.Join(p.Dir(), "chains") }
func (p pins) maps() string     { return filepath.Join(p.Dir(), "maps") }

func (p pins) program(name, link, digest string) string {
	return filepath.Join(p.programs(), bpffs.Escape(resource.Instance(name, link)), digest)
}

// chain is the nth directory for chains of an interface's name, from 1: one that
// was renamed keeps its own.
func (p pins) chain(link string, hook resource.Hook, n int) string {
	name := bpffs.Escape(link)
	if n > 1 {
		name += linkNumber + strconv.Itoa(n)
	}
	return filepath.Join(p.chains(), name, string(hook))
}

// linkNumber is what no name of an interface has.
const linkNumber = ":"

// linkOf is the interface's name in the name of a directory.
func linkOf(dir string) string {
	name, _, _ := strings.Cut(dir, linkNumber)
	return bpffs.Unescape(name)
}

// shared is the pin of a map that has a path of its own.
func (p pins) shared(pin string) string {
	if filepath.IsAbs(pin) {
		return pin
	}
	return filepath.Join(p.maps(), filepath.FromSlash(pin))
}

const (
	functionPrefix = "fn:"
	mapPrefix      = "map:"
	linkPin        = "link"
	slotsPin       = "slots"
	statePin       = "state"
	dispatcherPin  = "dispatcher"
)

func functionPin(dir, name string) string {
	return filepath.Join(dir, functionPrefix+bpffs.Escape(name))
}
func mapPin(dir, name string) string { return filepath.Join(dir, mapPrefix+bpffs.Escape(name)) }

// tidy removes the directories where nothing is pinned any more.
func (p pins) tidy() error {
	return errors.Join(bpffs.RemoveEmpty(p.programs()), bpffs.RemoveEmpty(p.chains()), bpffs.RemoveEmpty(p.maps()), p.Tidy())
}
