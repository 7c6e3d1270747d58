package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"reconciler/internal/apply"
	"reconciler/internal/intent"
)

// Files of the state directory.
const (
	ledgerFile  = "engine.json"
	undoFile    = "undo.json"
	historyFile = "history.json"
)

// ledger is what the engine must know after a restart.
type ledger struct {
	// Boot is the boot in which the host was last seen as it is wanted. In
	// another one everything is to be made again, which is no drift.
	Boot     string   `json:"boot,omitempty"`
	Applied  Revision `json:"applied"`   // confirmed
	LastGood Revision `json:"last-good"` // reached and confirmed
	// Verdict is the id of the last undo record that was confirmed or carried
	// out: a record of that id is history, even if its file could not be
	// removed.
	Verdict   string     `json:"verdict,omitempty"`
	Pin       *diskPin   `json:"pin,omitempty"`
	Suspended *diskLease `json:"suspended,omitempty"`
	// Overrides are what people want at run time, in the order in which they said it.
	Overrides []diskOverride `json:"overrides,omitempty"`
	// Held is the revision of which deletions are held.
	Held string `json:"held,omitempty"`
	// Approved is the revision whose held deletions may go.
	Approved string `json:"approved,omitempty"`
}

type diskPin struct {
	Revision string          `json:"revision"`
	Until    intent.Deadline `json:"until"`
}

type diskLease struct {
	Reason string          `json:"reason,omitempty"`
	Until  intent.Deadline `json:"until"`
}

// undoRecord is the way back from an apply that is not confirmed. It is on disk
// before the first change.
type undoRecord struct {
	ID       string     `json:"id"`
	Revision Revision   `json:"revision"`
	Boot     string     `json:"boot"` // of another boot there is nothing to undo
	At       time.Time  `json:"at"`
	Undo     apply.Undo `json:"undo"`
	// Waits is set by an orderly stop: what the next start has still to wait for.
	Waits *intent.Unconfirmed `json:"waits,omitempty"`
}

// add takes in what a further plan touches. What is recorded already stays: it
// is the older state.
func (u *undoRecord) add(more apply.Undo) {
	known := make(map[string]bool, len(u.Undo.Objects))
	for _, o := range u.Undo.Objects {
		known[o.Key.String()] = true
	}
	for _, o := range more.Objects {
		if !known[o.Key.String()] {
			u.Undo.Objects = append(u.Undo.Objects, o)
		}
	}
}

// write stores a document.
func write(r Records, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return r.WriteFile(name, append(data, '\n'))
}

// errCorrupt is a document that is no JSON, or not of its kind.
var errCorrupt = errors.New("corrupt")

// read fills v; none leaves it as it is and is no error.
func read(r Records, name string, v any) error {
	data, err := r.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w: %w", name, errCorrupt, err)
	}
	return nil
}
