// Package diff compares what is wanted with what was read back and returns the
// least ordered set of changes, as plain data.
//
// bind turns names of YAML into the kernel's and fills what YAML leaves
// alone; Compute compares; order.go holds the rules of order, each with its
// reason; print.go writes a plan for people and programs. The package is pure:
// it knows no YAML, no kernel and no driver.
package diff

import (
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Verb is what an operation does.
type Verb uint8

// Verbs. The zero value is none.
const (
	NoVerb  Verb = iota
	Create       // +
	Update       // ~ in place
	Replace      // ± removed and made again
	Delete       // -
)

func (v Verb) String() string {
	switch v {
	case NoVerb:
		return "none"
	case Create:
		return "create"
	case Update:
		return "update"
	case Replace:
		return "replace"
	case Delete:
		return "delete"
	}
	panic("diff: unknown verb")
}

// Symbol is the sign that stands before an operation in a plan's text.
func (v Verb) Symbol() string {
	switch v {
	case NoVerb:
		return " "
	case Create:
		return "+"
	case Update:
		return "~"
	case Replace:
		return "±"
	case Delete:
		return "-"
	}
	panic("diff: unknown verb")
}

// Op is one change of one resource: one transaction of its dataplane, which is
// idempotent, so that doing it again after a crash does no harm.
type Op struct {
	Verb   Verb
	Key    resource.Key
	From   resource.Resource // nil for Create
	To     resource.Resource // nil for Delete
	Owner  resource.Owner    // of From
	Fields []resource.Change
	// After lists the operations, by index, that must have succeeded: if one
	// failed, this one is blocked. Order that is only courtesy (make before
	// break) is the order of the plan itself.
	After []int
	// Origin is where YAML declares it, as file:line.
	Origin string
	// Reason says why, where it is not the YAML: drift, restored after a side
	// effect, no longer declared.
	Reason string
	// Details tell a change that one line does not, a line each.
	Details []string
	// Effects are side effects on other objects, a line each.
	Effects []string
	// Disruption is what it costs the traffic; empty for nothing.
	Disruption string
	// Restores is set where the object was as wanted and an operation of this
	// plan takes it along: this brings it back.
	Restores bool
	// Takes are the keys of objects of ours, or of an exact list, that the kernel
	// removes along with this operation and that are not wanted back: they have
	// no Op.
	Takes []resource.Key
	// Loses are the keys of foreign objects that the kernel removes along with
	// this operation.
	Loses []resource.Key
}

// NoteCode says what a Note is about.
type NoteCode string

// Note codes; InSync tells which of them mean that the host is not as wanted.
const (
	Absent      NoteCode = "absent"       // a link that is not there, or what needs it
	Ambiguous   NoteCode = "ambiguous"    // a match with more than one hit
	BackedOff   NoteCode = "backed-off"   // failed, and tried again later
	Blinded     NoteCode = "blind"        // could not be read, so nothing is planned on it
	Conflict    NoteCode = "conflict"     // somebody else's stands in the way
	Degraded    NoteCode = "degraded"     // as wanted, by a slower way
	Ending      NoteCode = "ending"       // a process that was asked to end, and is not gone yet
	Held        NoteCode = "held"         // a deletion that a guard keeps back
	LeftAlone   NoteCode = "left-alone"   // a count of what is neither ours nor declared
	Lost        NoteCode = "lost"         // foreign objects that a side effect takes
	NotReady    NoteCode = "not-ready"    // what it is made of is not on this host, or cannot be used
	NotYet      NoteCode = "unsupported"  // accepted, and this build cannot apply it
	Optional    NoteCode = "optional"     // required: false, and absent
	Protected   NoteCode = "protected"    // what protection keeps back: no approval lets it go
	Released    NoteCode = "released"     // managed, never ours, and no longer declared
	Unfit       NoteCode = "unfit"        // a version that failed, or a process that ended too often
	Waiting     NoteCode = "waiting"      // goes on by itself: an upgrade that is to show itself
	TwoManagers NoteCode = "two-managers" // undone by somebody again and again; backed off
)

// InSync reports whether a host with such a note may be called in sync.
func (c NoteCode) InSync() bool {
	return c == LeftAlone || c == Released || c == Optional || c == Lost || c == Degraded
}

// KeepsBack reports a note of something that would be done, but for a guard or
// for protection.
func (c NoteCode) KeepsBack() bool { return c == Held || c == Protected }

// Note is what a plan says beside its operations.
type Note struct {
	Code NoteCode     `json:"code"`
	Key  resource.Key `json:"key,omitzero"` // zero where it is about several
	Text string       `json:"text,omitempty"`
	// Origin is where YAML declares it, as file:line.
	Origin string `json:"origin,omitempty"`
}

// Plan is an ordered list of changes: executing it front to back is correct.
type Plan struct {
	Ops   []Op
	Notes []Note
	// Observed is the hash of the state that the plan was made from.
	Observed string
	// Blind lists what could not be read.
	Blind []observed.Blind
	// Left counts what is neither ours nor declared.
	Left []observed.Tally
}

// Empty reports that there is nothing to do.
func (p Plan) Empty() bool { return len(p.Ops) == 0 }

// InSync reports that there is nothing to do and nothing that should be done.
func (p Plan) InSync() bool {
	if len(p.Ops) > 0 || len(p.Blind) > 0 {
		return false
	}
	for _, n := range p.Notes {
		if !n.Code.InSync() {
			return false
		}
	}
	return true
}
