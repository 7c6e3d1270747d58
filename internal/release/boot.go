package release

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// BootRecord is what reconciler-boot remembers of a version that is being
// tried.
type BootRecord struct {
	To       string `json:"to"`
	Starts   int    `json:"starts"`
	Reverted bool   `json:"reverted,omitempty"` // latest was put back to where it came from
}

// BootRecord reads it; the zero value where there is none, or none that makes
// sense: a start must not fail by it.
func (r *Root) BootRecord() BootRecord {
	var b BootRecord
	content, err := readBounded(r.own("boot"))
	if err != nil || json.Unmarshal(content, &b) != nil {
		return BootRecord{}
	}
	return b
}

// Boot counts a start of the version that is being tried, if one is, and puts
// latest back when there were too many. It returns the programs to execute, best
// first, by the name of the program within a version. Its error says what did
// not work, and keeps nobody from starting one of them.
func (r *Root) Boot(program string) (candidates []string, err error) {
	j, ok, err := r.Journal()
	back := false // what is in use is not to be started
	switch {
	case ok && j.State == resource.JournalTrying:
		var counted error
		back, counted = r.count(j)
		err = errors.Join(err, counted)
	case ok && j.State == resource.JournalRollback:
		back, err = true, errors.Join(err, r.flip(j.From))
	}
	add := func(path string) {
		if !slices.Contains(candidates, path) && executable(path) {
			candidates = append(candidates, path)
		}
	}
	if back && j.From != "" { // whether or not latest leads there by now
		add(filepath.Join(r.Version(j.From), program))
	}
	add(filepath.Join(r.latest(), program))
	if ok && j.From != "" {
		add(filepath.Join(r.Version(j.From), program))
	}
	for _, dir := range r.newest() {
		if j.Fault(dir) == "" && dir != j.To {
			add(filepath.Join(r.Version(dir), program))
		}
	}
	return candidates, err
}

// count reports that there were too many starts, and puts latest back then. A
// start that cannot be counted is one too many.
func (r *Root) count(j resource.Journal) (back bool, err error) {
	b := r.BootRecord()
	if b.To != j.To {
		b = BootRecord{To: j.To}
	}
	b.Starts++
	b.Reverted = b.Reverted || b.Starts > resource.MaxReleaseStarts
	content, err := json.Marshal(b)
	if err == nil {
		err = writeFile(r.own("boot"), content)
	}
	back = b.Reverted || err != nil
	if b.Reverted {
		r.point("boot-counted")
		err = errors.Join(err, r.flip(j.From))
	}
	return back, err
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil
}

// newest lists versions of ours, the newest first.
func (r *Root) newest() []string {
	all, err := r.Versions()
	if err != nil {
		return nil
	}
	var dirs []string
	for dir := range all {
		dirs = append(dirs, dir)
	}
	slices.SortFunc(dirs, func(a, b string) int {
		if c := semver.Compare(all[b].Version, all[a].Version); c != 0 {
			return c
		}
		return strings.Compare(b, a)
	})
	return dirs
}
