package chain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"reconciler/internal/state"
)

// A record lists interfaces, by index, of which we changed what has no place
// for a mark. It is of one boot and one network namespace, as indexes are.
type record struct {
	Cookie  uint64 `json:"cookie"`
	Indexes []int  `json:"indexes"`
}

const (
	qdiscRecord = "clsact.json" // whose clsact qdisc we made
	lroRecord   = "lro.json"    // whose large-receive-offload we turned off
)

func (d *Driver) readRecord(name string) (record, error) {
	r := record{Cookie: d.cfg.Cookie}
	if d.cfg.Records == "" {
		return r, nil
	}
	text, err := os.ReadFile(filepath.Join(d.cfg.Records, name))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read what was changed: %w", err)
	}
	var had record
	if json.Unmarshal(text, &had) != nil || had.Cookie != d.cfg.Cookie {
		return r, nil // of another namespace: nothing is known to be ours
	}
	return had, nil
}

func (d *Driver) writeRecord(name string, r record) error {
	if d.cfg.Records == "" {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := state.WriteFile(filepath.Join(d.cfg.Records, name), text, 0o600); err != nil {
		return fmt.Errorf("record what is changed: %w", err)
	}
	return nil
}

// remember records an interface, before it is changed.
func (d *Driver) remember(name string, ifindex int) error {
	r, err := d.readRecord(name)
	if err != nil || slices.Contains(r.Indexes, ifindex) {
		return err
	}
	r.Indexes = append(r.Indexes, ifindex)
	return d.writeRecord(name, r)
}

func (d *Driver) remembers(name string, ifindex int) (bool, error) {
	r, err := d.readRecord(name)
	return slices.Contains(r.Indexes, ifindex), err
}

func (d *Driver) forget(name string, ifindex int) error {
	r, err := d.readRecord(name)
	if err != nil || !slices.Contains(r.Indexes, ifindex) {
		return err
	}
	r.Indexes = slices.DeleteFunc(r.Indexes, func(i int) bool { return i == ifindex })
	return d.writeRecord(name, r)
}
