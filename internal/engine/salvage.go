package engine

import (
	"errors"
	"fmt"
	"io/fs"

	"reconciler/internal/source"
)

// corruptSuffix is put to the name of a file that could not be decoded.
const corruptSuffix = ".corrupt"

// salvaged are the files whose loss a person has to know of, with what is lost.
var salvaged = []struct{ file, lost string }{
	{ledgerFile, "what was applied last, a pin, a suspension and approvals"},
	{undoFile, "the way back from an apply that had no verdict"},
}

// salvage reads a file; one that is corrupt is moved aside and v left as it is:
// better to start with less than not at all. The condition is raised before
// anything is forgotten, and again by each start until the file is removed.
func salvage[T any](l *loop, name string, v *T) error {
	var got T
	err := read(l.Records, name, &got)
	if err == nil {
		*v = got
		return nil
	}
	if !errors.Is(err, errCorrupt) {
		return err
	}
	l.log.Error("moved aside", "file", name, "to", name+corruptSuffix, "error", err)
	if err := setAside(l.Records, name); err != nil {
		return err
	}
	l.tellLost()
	return nil
}

func setAside(r Records, name string) error {
	data, err := r.ReadFile(name)
	if err != nil {
		return fmt.Errorf("set %s aside: %w", name, err)
	}
	if err := r.WriteFile(name+corruptSuffix, data); err != nil {
		return fmt.Errorf("set %s aside: %w", name, err)
	}
	if err := r.Remove(name); err != nil {
		return fmt.Errorf("set %s aside: %w", name, err)
	}
	return nil
}

// tellLost raises the condition as long as a file that was set aside lies there.
func (l *loop) tellLost() {
	var lines []string
	for _, s := range salvaged {
		if _, err := l.Records.ReadFile(s.file + corruptSuffix); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		lines = append(lines, s.file+" could not be decoded and lies in "+s.file+corruptSuffix+"; lost with it: "+s.lost)
	}
	if len(lines) > 0 {
		lines = append(lines, l.keptQuarantine(), "remove the file when you have read this")
	}
	l.conds.set(CondStateLost, "SetAside", few(lines))
}

// keptQuarantine says what is known of quarantine without the ledger.
func (l *loop) keptQuarantine() string {
	return fmt.Sprintf("quarantine is kept with the snapshots: %d revisions are in it", len(l.bad))
}

// newestGood is the newest snapshot that was reached and confirmed.
func newestGood(snapshots []source.Snapshot) (Revision, bool) {
	for _, s := range snapshots {
		if s.Verdict == source.Good {
			return snapshotRevision(s), true
		}
	}
	return Revision{}, false
}
