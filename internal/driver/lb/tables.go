package lb

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// Tables stand where chains look for maps that several programs share, in a
// directory that their sizes name: those of other sizes are made beside them,
// and the program that wants them finds them there.
//
//	<root>/maps/lb<ABI>-<ring-size>-<max-vips>-<max-backends>-<max-rings>-<max-flows>/
//	    <map>    as the object names it
//	    in-force once what is to be in them is in them
const (
	shared   = "maps"
	prefix   = "lb"
	forceful = "in-force"
)

func dirName(c resource.Capacities) string {
	return fmt.Sprintf("%s%d-%d-%d-%d-%d-%d", prefix, plane.ABI, c.RingSize, c.VIPs, c.Backends, c.Rings, c.Flows)
}

// IsTable reports a pin of this driver: it goes with the balancer.
func IsTable(path string) bool {
	dir := filepath.Base(filepath.Dir(path))
	var sizes [6]uint32
	n, _ := fmt.Sscanf(dir, prefix+"%d-%d-%d-%d-%d-%d", &sizes[0], &sizes[1], &sizes[2], &sizes[3], &sizes[4], &sizes[5])
	return n == len(sizes)
}

// dir is where tables of some sizes stand.
func (d *Driver) dir(c resource.Capacities) string {
	return filepath.Join(d.root.Dir(), shared, dirName(c))
}

// tables are the maps, open as long as the same ones are pinned.
type tables struct {
	*plane.Plane // nil where none are open
	dir          string
	all          []string // directories of tables, those of others included
	pins         []pin
}

// pin tells maps apart that were pinned at one path after the other.
type pin struct {
	name    string
	inode   uint64
	changed unix.Timespec
}

func (t *tables) close() error {
	if t.Plane == nil {
		return nil
	}
	err := t.Plane.Close()
	*t = tables{}
	return err
}

// dirs are the directories of tables that there are.
func (d *Driver) dirs() ([]string, error) {
	if d.root.Stale() {
		return nil, nil // pins of a namespace that is gone
	}
	within := filepath.Join(d.root.Dir(), shared)
	names, err := bpffs.List(within)
	if err != nil {
		return nil, fmt.Errorf("look for tables: %w", err)
	}
	var out []string
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && strings.Count(name, "-") == 5 {
			out = append(out, filepath.Join(within, name))
		}
	}
	return out, nil
}

// open returns the maps in force; nil where there are none, or none whole. What
// is not as it was made is damage.
func (d *Driver) open() (*plane.Plane, []string, error) {
	all, err := d.dirs()
	if err != nil {
		return nil, nil, err
	}
	if d.tables.Plane != nil && slices.Equal(all, d.tables.all) {
		damage, same, err := d.tables.look()
		if err != nil || same {
			return d.tables.Plane, damage, err
		}
	}
	if err := d.tables.close(); err != nil || len(all) == 0 {
		return nil, nil, err
	}
	if d.tables, err = choose(all); err != nil || d.tables.Plane == nil {
		return nil, nil, err
	}
	damage, _, err := d.tables.look()
	return d.tables.Plane, damage, err
}

// opened is open without a look at what is pinned, where tables are open.
func (d *Driver) opened() (*plane.Plane, error) {
	if d.tables.Plane != nil {
		return d.tables.Plane, nil
	}
	p, _, err := d.open()
	return p, err
}

// choose opens the tables in force: of several the newest.
func choose(all []string) (chosen tables, err error) {
	for _, dir := range all {
		p, e := plane.Open(dir)
		if e != nil {
			if !errors.Is(e, fs.ErrNotExist) {
				err = e
			}
			continue
		}
		t := tables{Plane: p, dir: dir, all: all}
		if t.pins, e = pinsIn(dir); e != nil {
			return tables{}, errors.Join(e, p.Close(), chosen.close())
		}
		if chosen.Plane != nil && chosen.compare(t) > 0 {
			t, chosen = chosen, t
		}
		if e := chosen.close(); e != nil {
			return tables{}, errors.Join(e, t.close())
		}
		chosen = t
	}
	if chosen.Plane != nil {
		err = nil // others are left over
	}
	return chosen, err
}

// compare orders tables: what is in force over what is not, then by age.
func (t *tables) compare(o tables) int {
	return cmp.Or(cmp.Compare(t.force(), o.force()), cmp.Compare(t.made(), o.made()))
}

func (t *tables) force() int {
	if bpffs.Exists(filepath.Join(t.dir, forceful)) {
		return 1
	}
	return 0
}

func (t *tables) made() (newest int64) {
	for _, p := range t.pins {
		newest = max(newest, p.changed.Nano())
	}
	return newest
}

// look tells what is not as it was made. It reports whether the pins are of the
// maps that are open.
func (t *tables) look() (damage []string, same bool, err error) {
	now, err := pinsIn(t.dir)
	if err != nil {
		return nil, false, err
	}
	there := make(map[string]pin, len(now))
	for _, p := range now {
		there[p.name] = p
	}
	gone := 0
	for _, p := range t.pins {
		switch is, ok := there[p.name]; {
		case !ok:
			gone++
			damage = append(damage, fmt.Sprintf("map %s is no longer pinned", p.name))
		case is != p:
			return nil, false, nil
		}
	}
	if t.force() == 0 {
		damage = append(damage, "it was never finished")
	}
	for _, dir := range t.all {
		if dir != t.dir {
			damage = append(damage, filepath.Base(dir)+" is left over")
		}
	}
	return damage, gone < len(t.pins), nil
}

// pinsIn are the maps that are pinned in a directory.
func pinsIn(dir string) ([]pin, error) {
	names, err := bpffs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("look at pins: %w", err)
	}
	pins := make([]pin, 0, len(names))
	for _, name := range names {
		var st unix.Stat_t
		if name == forceful {
			continue
		}
		if err := unix.Lstat(filepath.Join(dir, name), &st); err == nil {
			pins = append(pins, pin{name, st.Ino, st.Ctim})
		}
	}
	return pins, nil
}

// enforce says that what is to be in tables is in them.
func enforce(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, forceful), 0o700); err != nil {
		return fmt.Errorf("put tables in force: %w", err)
	}
	return nil
}

// removeTables removes all but those of a directory.
func (d *Driver) removeTables(but string) error {
	all, err := d.dirs()
	if err != nil {
		return err
	}
	errs := []error{d.tables.close()}
	for _, dir := range all {
		if dir != but {
			errs = append(errs, bpffs.RemoveTree(dir))
		}
	}
	return errors.Join(errs...)
}
