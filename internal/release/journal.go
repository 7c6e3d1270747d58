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

// ErrUnreadable is a journal that makes no sense.
var ErrUnreadable = errors.New("it makes no sense")

// Journal reads the journal; ok is false where there is none. One that makes no
// sense is told as ErrUnreadable.
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
		return resource.Journal{}, false, fmt.Errorf("journal of %s: %w: %w", r.path, ErrUnreadable, err)
	}
	return j, true, nil
}

// PutAside keeps a journal that makes no sense out of the way, for a person to
// look at. It blocks nothing then: what is in use stays in use.
func (r *Root) PutAside() error {
	err := os.Rename(r.own("journal"), r.own("journal.unreadable"))
	if err == nil {
		err = syncDir(r.own())
	}
	if err != nil {
		return fmt.Errorf("put the journal of %s aside: %w", r.path, err)
	}
	return nil
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

// WriteJournal writes the journal down. The count of starts ends with the try
// that it is of, or before the next one begins.
func (r *Root) WriteJournal(j resource.Journal) error {
	content, err := json.Marshal(j)
	if was, ok, _ := r.Journal(); err == nil && j.State == resource.JournalTrying && !(ok && was.State == resource.JournalTrying && was.To == j.To) {
		err = removeFile(r.own("boot"))
	}
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
