package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/state"
)

// record is what is on disk of a process. Instants are of CLOCK_BOOTTIME.
type record struct {
	Daemon resource.Daemon      `json:"daemon"`
	Boot   string               `json:"boot"` // the boot id that the rest is of
	State  resource.DaemonState `json:"state"`
	PID    int                  `json:"pid,omitempty"`    // 0: it was about to start
	Ticks  uint64               `json:"ticks,omitempty"`  // when it started, as /proc/PID/stat tells
	Starts []time.Duration      `json:"starts,omitempty"` // within the window of restarts
	Ready  time.Duration        `json:"ready,omitempty"`
	Ended  time.Duration        `json:"ended,omitempty"`
	Kill   time.Duration        `json:"kill,omitempty"`
	Reason string               `json:"reason,omitempty"`
	Failed bool                 `json:"failed,omitempty"`
	Notify string               `json:"notify,omitempty"` // the name of its abstract socket
}

// maxRecord bounds what is read of a record, in bytes: all files of a process
// are in it.
const maxRecord = 64 << 20

const recordSuffix = ".json"

// fileOf is the name of a record: readable, and as long as any key.
func fileOf(d resource.Daemon) string {
	sum := sha256.Sum256([]byte(d.Key().Name))
	return safe(d.Instance()) + "-" + hex.EncodeToString(sum[:6]) + recordSuffix
}

// safe is a name without what means something in paths.
func safe(name string) string { return strings.ReplaceAll(name, "/", "%2f") }

// load reads the records, once, and finds their processes.
func (d *Driver) load() error {
	if d.loaded || d.cfg.State == "" {
		return nil
	}
	entries, err := os.ReadDir(d.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the records of processes: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordSuffix) {
			continue
		}
		p := &process{file: e.Name(), pidfd: -1}
		if err := readRecord(d.path(e.Name()), &p.record); err != nil {
			d.cfg.Log.Warn("a record of a process is put aside; its process, if there is one, runs on", "file", e.Name(), "err", err)
			_ = os.Rename(d.path(e.Name()), d.path(e.Name()+".unreadable")) // then it is told again
			continue
		}
		d.known[p.file] = p
		d.adopt(p)
	}
	d.loaded = true
	return nil
}

func readRecord(path string, into *record) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecord {
		return fmt.Errorf("%s is no file of at most %d bytes", filepath.Base(path), maxRecord)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// write writes a record down.
func (d *Driver) write(p *process) error {
	if d.cfg.ReadOnly {
		return nil
	}
	content, err := json.Marshal(p.record)
	if err == nil {
		err = os.MkdirAll(d.dir(), 0o711)
	}
	if err == nil {
		err = state.WriteFile(d.path(p.file), content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", p.Daemon.Instance(), err)
	}
	return nil
}

// bootID is the kernel's name for this boot.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}
