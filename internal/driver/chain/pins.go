package chain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// pins is where everything stands that has to outlive the process:
//
//	<mount>/reconciler/<namespace>/
//	    programs/<instance>/<digest>/fn:<function>  map:<map>
//	    chains/<interface>/<hook>/link              of XDP and TCX
//	    chains/<interface>/<hook>/<generation>/{slots,state,dispatcher}
//	    maps/<pin>                                  maps that others find by their pin
//
// The file system takes no dot in a name, so dots are written as %2e.
type pins struct{ mount, namespace string }

func (p pins) root() string     { return filepath.Join(p.mount, "reconciler", p.namespace) }
func (p pins) programs() string { return filepath.Join(p.root(), "programs") }
func (p pins) chains() string   { return filepath.Join(p.root(), "chains") }

func (p pins) program(name, link, digest string) string {
	return filepath.Join(p.programs(), escape(resource.Instance(name, link)), digest)
}

// chain is the nth directory for chains of an interface's name, from 1: one that
// was renamed keeps its own.
func (p pins) chain(link string, hook resource.Hook, n int) string {
	name := escape(link)
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
	return unescape(name)
}

// shared is the pin of a map that has a path of its own.
func (p pins) shared(pin string) string {
	if filepath.IsAbs(pin) {
		return pin
	}
	return filepath.Join(p.root(), "maps", filepath.FromSlash(pin))
}

const (
	functionPrefix = "fn:"
	mapPrefix      = "map:"
	linkPin        = "link"
	slotsPin       = "slots"
	statePin       = "state"
	dispatcherPin  = "dispatcher"
)

func functionPin(dir, name string) string { return filepath.Join(dir, functionPrefix+escape(name)) }
func mapPin(dir, name string) string      { return filepath.Join(dir, mapPrefix+escape(name)) }

// escape makes a name one that a pin may have.
func escape(name string) string {
	if !strings.ContainsAny(name, "%./") {
		return name
	}
	name = strings.ReplaceAll(name, "%", "%25") // first: the others bring more
	return strings.ReplaceAll(strings.ReplaceAll(name, ".", "%2e"), "/", "%2f")
}

func unescape(name string) string {
	if !strings.Contains(name, "%") {
		return name
	}
	name = strings.ReplaceAll(strings.ReplaceAll(name, "%2f", "/"), "%2e", ".")
	return strings.ReplaceAll(name, "%25", "%") // last
}

// ready mounts the BPF file system where it is missing, and makes the root of
// the namespace. What a namespace left there that had the same inode goes.
func (p pins) ready(cookie uint64) error {
	if err := p.mounted(); err != nil {
		return err
	}
	if p.stale(cookie) {
		if err := removeTree(p.root()); err != nil {
			return fmt.Errorf("remove the pins of a namespace that is gone: %w", err)
		}
	}
	if err := os.MkdirAll(p.mark(cookie), 0o700); err != nil {
		return fmt.Errorf("make the directory of pins: %w", err)
	}
	return nil
}

const markPrefix = "cookie:"

// mark is an empty directory that says whose pins these are: a file system of
// pins holds no files.
func (p pins) mark(cookie uint64) string {
	return filepath.Join(p.root(), markPrefix+strconv.FormatUint(cookie, 10))
}

// stale reports pins of another network namespace, which had the same inode.
func (p pins) stale(cookie uint64) bool {
	names, err := list(p.root())
	if err != nil || exists(p.mark(cookie)) {
		return false
	}
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, markPrefix) })
}

// tidy removes the directories of a namespace where nothing is pinned any more.
func (p pins) tidy(cookie uint64) error {
	err := errors.Join(removeEmpty(p.programs()), removeEmpty(p.chains()))
	names, e := list(p.root())
	if len(names) == 1 && names[0] == filepath.Base(p.mark(cookie)) {
		return errors.Join(err, removeTree(p.root()))
	}
	return errors.Join(err, e)
}

func (p pins) mounted() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(p.mount, &fs); err != nil {
		return fmt.Errorf("look for the BPF file system at %s: %w", p.mount, err)
	}
	if fs.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := unix.Mount("bpf", p.mount, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RELATIME, "mode=0700"); err != nil {
		return fmt.Errorf("mount the BPF file system at %s: %w", p.mount, err)
	}
	return nil
}

// list names what lies in a directory of pins, sorted; nothing where there is
// none. It is most of what a look does, so it goes without the runtime's poller.
func list(dir string) ([]string, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	names := []string{}
	for buf := make([]byte, 4096); ; {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: dir, Err: err}
		}
		if n <= 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// removeTree removes a directory of pins; it is no error if it is not there.
func removeTree(dir string) error {
	names, err := list(dir)
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	var errs []error
	for _, name := range names {
		path := filepath.Join(dir, name)
		err := os.Remove(path)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EISDIR) {
			err = removeTree(path)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, removeEmpty(dir))...)
}

// removeEmpty removes a directory that holds nothing.
func removeEmpty(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}

// exists reports whether there is a pin.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
