package netlink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/state"
)

const (
	sysctlRoot = "/proc/sys"
	recordName = "sysctl.json"
	// maxSysctl bounds a value and maxRecord the record of all former ones.
	maxSysctl = 4 << 10
	maxRecord = 1 << 20
)

var errOutside = errors.New("only parameters below net/ are managed")

// sysctls reads the declared parameters and those that we have changed.
func (l *look) sysctls() error {
	record, err := l.d.readRecord()
	if err != nil {
		return err
	}
	paths := map[string]resource.Sysctl{}
	for p, former := range record {
		paths[p] = resource.Sysctl{Path: p, Link: sysctlLink(p), Former: resource.Some(former)}
	}
	l.declared = l.wantedSysctls()
	for _, s := range l.declared {
		if _, ours := paths[s.Path]; !ours {
			paths[s.Path] = resource.Sysctl{Path: s.Path, Link: s.Link}
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return l.d.ns.within(func() { l.readSysctls(paths) })
}

func (l *look) readSysctls(paths map[string]resource.Sysctl) {
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		s := paths[p]
		value, err := readSysctl(p)
		switch {
		case err == nil:
			s.Value = value
			owner := resource.Foreign
			if s.Former.IsSet() {
				owner = resource.Ours
			}
			l.add(s, owner, "")
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, errOutside):
		default:
			l.blind(observed.Scope{Kind: resource.KindSysctl, Parent: s.Link}, err)
		}
	}
}

// wantedSysctls are the declared parameters under the kernel's names of their
// links.
func (l *look) wantedSysctls() []resource.Sysctl {
	if l.last != nil {
		return l.last.sysctls
	}
	asked := resource.NewSet(0)
	var found []resource.Sysctl
	l.q.Want.Each(func(k resource.Key, o resource.Object) bool {
		switch r := o.Resource.(type) {
		case resource.Link:
			asked.Put(o)
		case resource.Sysctl:
			asked.Put(o)
			found = append(found, r)
		}
		return true
	})
	for _, k := range l.q.Around {
		if k.Driver == resource.Netlink && k.Kind == resource.KindSysctl {
			found = append(found, resource.Sysctl{Path: k.Name, Link: sysctlLink(k.Name)})
		}
	}
	if len(found) == 0 {
		return nil
	}
	bound, _ := diff.Bind(asked, l.state())
	bound.Each(func(_ resource.Key, o resource.Object) bool {
		if s, ok := o.Resource.(resource.Sysctl); ok {
			found = append(found, s)
		}
		return true
	})
	return found
}

// sysctlLink is the link of a parameter net/FAMILY/{conf,neigh}/LINK/NAME.
func sysctlLink(p string) string {
	parts := strings.Split(p, "/")
	if len(parts) != 5 || parts[2] != "conf" && parts[2] != "neigh" || parts[3] == "all" || parts[3] == "default" {
		return ""
	}
	return parts[3]
}

func sysctlFile(p string) (string, error) {
	if !strings.HasPrefix(p, "net/") || path.Clean(p) != p {
		return "", fmt.Errorf("%s: %w", p, errOutside)
	}
	return filepath.Join(sysctlRoot, p), nil
}

// readSysctl reads a parameter of the calling thread's namespace.
func readSysctl(p string) (string, error) {
	name, err := sysctlFile(p)
	if err != nil {
		return "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, maxSysctl)
	n, err := f.Read(buf)
	if n == 0 && err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.Join(strings.Fields(string(buf[:n])), " "), nil
}

func writeSysctl(p, value string) error {
	name, err := sysctlFile(p)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// isSet reports whether a parameter holds a number above zero; one that cannot
// be read does not.
func (d *Driver) isSet(p string) bool {
	value := ""
	err := d.ns.within(func() { value, _ = readSysctl(p) })
	return err == nil && value != "" && value != "0" && value[0] != '-'
}

// applySysctl writes a value, after the former one is on record, or puts that
// back.
func (d *Driver) applySysctl(op *diff.Op) error {
	var err error
	nsErr := d.ns.within(func() {
		if op.Verb == diff.Delete {
			err = d.restoreSysctl(op.From.(resource.Sysctl))
			return
		}
		err = d.setSysctl(op.To.(resource.Sysctl))
	})
	return errors.Join(nsErr, err)
}

func (d *Driver) setSysctl(to resource.Sysctl) error {
	former, err := readSysctl(to.Path)
	if err != nil {
		return err
	}
	record, err := d.readRecord()
	if err != nil {
		return err
	}
	if _, ok := record[to.Path]; !ok {
		record[to.Path] = former
		if err := d.writeRecord(record); err != nil {
			return err
		}
	}
	if former == to.Value {
		return nil
	}
	return writeSysctl(to.Path, to.Value)
}

func (d *Driver) restoreSysctl(from resource.Sysctl) error {
	record, err := d.readRecord()
	if err != nil {
		return err
	}
	former, ok := record[from.Path]
	if !ok {
		return nil
	}
	if err := writeSysctl(from.Path, former); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(record, from.Path)
	return d.writeRecord(record)
}

// readRecord reads the values that stood before ours, by path.
func (d *Driver) readRecord() (map[string]string, error) {
	record := map[string]string{}
	if d.cfg.State == "" {
		return record, nil
	}
	name := filepath.Join(d.cfg.State, recordName)
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return record, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record of parameters: %w", err)
	}
	if info.Size() > maxRecord {
		return nil, fmt.Errorf("read record of parameters: %s is larger than %d bytes", name, maxRecord)
	}
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &record)
	}
	if err != nil {
		return nil, fmt.Errorf("read record of parameters %s: %w", name, err)
	}
	return record, nil
}

// writeRecord writes the record. Parameters that went with their link are left
// out: a new link starts from the defaults again.
func (d *Driver) writeRecord(record map[string]string) error {
	if d.cfg.State == "" {
		return nil
	}
	for p := range record {
		if name, err := sysctlFile(p); err != nil || missing(name) {
			delete(record, p)
		}
	}
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("write record of parameters: %w", err)
	}
	if err := os.MkdirAll(d.cfg.State, 0o700); err != nil {
		return fmt.Errorf("write record of parameters: %w", err)
	}
	return state.WriteFile(filepath.Join(d.cfg.State, recordName), append(b, '\n'), 0o600)
}

func missing(name string) bool {
	_, err := os.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}
