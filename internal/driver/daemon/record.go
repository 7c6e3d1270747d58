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
	"syscall"
	"time"

	"reconciler/internal/clock"
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
	Note   string               `json:"note,omitempty"`   // what is not as it should be while it runs
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

// stamp changes when a record does.
type stamp struct {
	ino   uint64
	size  int64
	mtime time.Time
}

func stampOf(info fs.FileInfo) stamp {
	out := stamp{size: info.Size(), mtime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		out.ino = st.Ino
	}
	return out
}

// load reads the records that changed, and finds their processes: another run
// of the program may have had the namespace since the last look.
func (d *Driver) load() error {
	if d.cfg.State == "" || d.resting {
		return nil
	}
	entries, err := os.ReadDir(d.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the records of processes: %w", err)
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasSuffix(e.Name(), recordSuffix) {
			continue // gone meanwhile
		}
		there[e.Name()] = true
		if p := d.known[e.Name()]; p == nil || p.stamp != stampOf(info) {
			d.read(e.Name(), stampOf(info))
		}
	}
	for name, p := range d.known {
		if !there[name] {
			p.close()
			delete(d.known, name)
		}
	}
	return nil
}

// read takes a record in the place of what was known of it.
func (d *Driver) read(name string, at stamp) {
	if was := d.known[name]; was != nil {
		was.close()
		delete(d.known, name)
	}
	p := &process{file: name, pidfd: -1, stamp: at}
	if err := readRecord(d.path(name), &p.record); err != nil {
		if d.cfg.ReadOnly {
			return
		}
		d.cfg.Log.Warn("a record of a process is put aside; its process, if there is one, runs on", "file", name, "err", err)
		_ = os.Rename(d.path(name), d.path(name+".unreadable")) // then it is told again
		return
	}
	if p.Boot != bootID() { // which ended all, and whose instants mean nothing
		if !d.cfg.ReadOnly {
			_ = errors.Join(os.RemoveAll(d.filesOf(p.Daemon)), os.Remove(d.path(name))) // else at the next look
		}
		return
	}
	d.known[name] = p
	d.adopt(p)
	d.stir()
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
	if info, err := os.Lstat(d.path(p.file)); err == nil {
		p.stamp = stampOf(info)
	}
	return nil
}

// bootID is the kernel's name for this boot.
func bootID() string {
	id, err := clock.BootID()
	if err != nil {
		return "unknown"
	}
	return id
}
