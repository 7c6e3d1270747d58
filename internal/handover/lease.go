package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Lease is a file by which nobody writes for a while. Whoever finds it expired
// removes it, so that no crash leaves it on.
type Lease struct{ Path string }

// Hold is what is in the file.
type Hold struct {
	Owner  int       `json:"owner"` // a process
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// Take writes it, for at most d.
func (l Lease) Take(reason string, d time.Duration) error {
	text, err := json.Marshal(Hold{Owner: os.Getpid(), Reason: reason, Until: time.Now().Add(d)})
	if err == nil {
		tmp := l.Path + ".tmp"
		if err = os.WriteFile(tmp, text, 0o644); err == nil {
			err = os.Rename(tmp, l.Path)
		}
	}
	if err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	return nil
}

// End removes it.
func (l Lease) End() error {
	if err := os.Remove(l.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end the lease: %w", err)
	}
	return nil
}

// Held is the lease while it holds; ok is false where there is none. One that is
// over, or that makes no sense, is removed.
func (l Lease) Held() (h Hold, ok bool) {
	text, err := os.ReadFile(l.Path)
	if err != nil {
		return Hold{}, false
	}
	if json.Unmarshal(text, &h) == nil && time.Now().Before(h.Until) {
		return h, true
	}
	_ = os.Remove(l.Path) // then the next one finds it
	return Hold{}, false
}
