package lb

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/driver/lb/plane"
)

// tables are the maps, open as long as the same ones are pinned.
type tables struct {
	*plane.Plane // nil where none are open
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

// open returns the maps that are pinned; nil where there are none, or none
// whole. What of the pins is gone since they were opened is damage.
func (d *Driver) open() (*plane.Plane, []string, error) {
	if d.root.Stale() {
		return nil, nil, d.tables.close() // pins of a namespace that is gone
	}
	now, err := pinsIn(d.Dir())
	if err != nil {
		return nil, nil, err
	}
	if d.tables.Plane != nil {
		if damage, same := d.tables.missing(now); same {
			return d.tables.Plane, damage, nil
		}
		if err := d.tables.close(); err != nil {
			return nil, nil, err
		}
	}
	p, err := plane.Open(d.Dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	d.tables = tables{p, now}
	return p, nil, nil
}

// missing are pins that are gone. It reports whether those that are there are
// of the maps that are open.
func (t *tables) missing(now []pin) (damage []string, same bool) {
	there := make(map[string]pin, len(now))
	for _, p := range now {
		there[p.name] = p
	}
	for _, p := range t.pins {
		switch is, ok := there[p.name]; {
		case !ok:
			damage = append(damage, fmt.Sprintf("map %s is no longer pinned", p.name))
		case is != p:
			return nil, false
		}
	}
	return damage, len(damage) < len(t.pins)
}

func pinsIn(dir string) ([]pin, error) {
	names, err := bpffs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("look at pins: %w", err)
	}
	pins := make([]pin, 0, len(names))
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err == nil {
			pins = append(pins, pin{name, st.Ino, st.Ctim})
		}
	}
	return pins, nil
}
