package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"reconciler/internal/resource"
)

// maxRecord bounds what is read of a journal or a count of starts, in bytes.
const maxRecord = 64 << 10

// ErrUnreadable is a journal that makes no sense; it was put aside.
var ErrUnreadable = errors.New("it cannot be read, and was put aside")

// Journal reads the journal; ok is false where there is none. One that makes no
// sense is put aside and told as ErrUnreadable, which blocks nothing: what is in
// use stays in use.
func (r *Root) Journal() (j resource.Journal, ok bool, err error) {
	content, err := readBounded(r.own("journal"))
	if errors.Is(err, fs.ErrNotExist) {
		return j, false, nil
	}
	if err != nil && !errors.Is(err, errRecord) {
		return j, false, fmt.Errorf("read the journal of %s: %w", r.path, err) // it may well be good
	}
	if err == nil {
		j, err = parseJournal(content)
	}
	if err != nil {
		aside := os.Rename(r.own("journal"), r.own("journal.unreadable"))
		return resource.Journal{}, false, fmt.Errorf("journal of %s: %w: %w", r.path, ErrUnreadable, errors.Join(err, aside))
	}
	return j, true, nil
}

func parseJournal(content []byte) (j resource.Journal, err error) {
	if err := json.Unmarshal(content, &j); err != nil {
		return j, err
	}
	switch j.State {
	case resource.JournalIdle, resource.JournalTrying, resource.JournalRollback:
		return j, nil
	}
	return j, fmt.Errorf("state %q", j.State)
}

// WriteJournal writes the journal down. One that rests ends the count of starts
// with it.
func (r *Root) WriteJournal(j resource.Journal) error {
	content, err := json.Marshal(j)
	if err == nil {
		r.point("journal-begin")
		err = writeFile(r.own("journal"), append(content, '\n'))
	}
	r.point("journal-written")
	if err == nil && j.State != resource.JournalTrying {
		err = removeFile(r.own("boot"))
	}
	if err != nil {
		return fmt.Errorf("write the journal of %s: %w", r.path, err)
	}
	return nil
}

var errRecord = errors.New("no record")

// readBounded reads a small regular file.
func readBounded(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecord {
		return nil, fmt.Errorf("%w: %s is no file of at most %d bytes", errRecord, filepath.Base(path), maxRecord)
	}
	return os.ReadFile(path)
}
