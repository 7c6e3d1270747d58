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

// qdiscFile lists the interfaces, by index, whose clsact qdisc we made. It is
// of one boot and one network namespace, as indexes are.
const qdiscFile = "clsact.json"

type qdiscRecord struct {
	Cookie  uint64 `json:"cookie"`
	Indexes []int  `json:"indexes"`
}

func (d *Driver) qdiscs() (qdiscRecord, error) {
	r := qdiscRecord{Cookie: d.cfg.Cookie}
	if d.cfg.Records == "" {
		return r, nil
	}
	text, err := os.ReadFile(filepath.Join(d.cfg.Records, qdiscFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read the record of qdiscs: %w", err)
	}
	var had qdiscRecord
	if json.Unmarshal(text, &had) != nil || had.Cookie != d.cfg.Cookie {
		return r, nil // of another namespace: nothing is known to be ours
	}
	return had, nil
}

func (d *Driver) writeQdiscs(r qdiscRecord) error {
	if d.cfg.Records == "" {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := state.WriteFile(filepath.Join(d.cfg.Records, qdiscFile), text, 0o600); err != nil {
		return fmt.Errorf("record that the qdisc is ours: %w", err)
	}
	return nil
}

func (d *Driver) recordQdisc(ifindex int) error {
	r, err := d.qdiscs()
	if err != nil || slices.Contains(r.Indexes, ifindex) {
		return err
	}
	r.Indexes = append(r.Indexes, ifindex)
	return d.writeQdiscs(r)
}

func (d *Driver) madeQdisc(ifindex int) (bool, error) {
	r, err := d.qdiscs()
	return slices.Contains(r.Indexes, ifindex), err
}

func (d *Driver) forgetQdisc(ifindex int) error {
	r, err := d.qdiscs()
	if err != nil {
		return err
	}
	r.Indexes = slices.DeleteFunc(r.Indexes, func(i int) bool { return i == ifindex })
	return d.writeQdiscs(r)
}
