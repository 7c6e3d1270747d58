package engine

import (
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// Mode says how far the loop goes.
type Mode string

// Modes of the agent. Suspended may also be a lease, see Status.Suspended.
const (
	Enforce     Mode = "enforce"   // plans and applies
	ObserveOnly Mode = "observe"   // plans and reports, never writes
	Suspended   Mode = "suspended" // as observe, until resumed
)

// Cause is what a pass was made for.
type Cause string

// Causes of passes, and of drift. Start stands for what was found at start.
const (
	CauseStart   Cause = "start"
	CauseTree    Cause = "tree"    // a new revision
	CauseEvent   Cause = "event"   // the dataplane told of a change
	CauseResync  Cause = "resync"  // the timer
	CauseRequest Cause = "request" // sync, SIGHUP, approve, retry and the like
	CauseConfirm Cause = "confirm" // probes answered, or their time is over
	CauseDue     Cause = "due"     // a deadline: back-off, pin, lease
	CauseHealth  Cause = "health"  // a backend came up or went down
)

var causes = []Cause{CauseStart, CauseTree, CauseEvent, CauseResync, CauseRequest, CauseConfirm, CauseDue, CauseHealth}

// Revision is one state of the source.
type Revision struct {
	Revision string    `json:"revision"`
	Title    string    `json:"title,omitempty"`
	Author   string    `json:"author,omitempty"`
	Time     time.Time `json:"time,omitzero"`
}

// Status is what the daemon knows, at one moment. What a person must not
// overlook comes first.
type Status struct {
	// Pin, Suspended and Pending are nil where there is none.
	Pin       *Pin     `json:"pin,omitempty"`
	Suspended *Lease   `json:"suspended,omitempty"`
	Pending   *Pending `json:"pending,omitempty"`
	// Overrides are what people want for a while, whatever the source says.
	Overrides []Override `json:"overrides,omitempty"`

	// InSync: the newest revision that was seen (with a pin: the pinned one) is
	// what the host is made into, the last plan was empty, nothing should be
	// done and cannot, and no condition is raised that says otherwise. A source
	// that is unhealthy does not: the host is as was last declared.
	InSync     bool        `json:"in-sync"`
	Conditions []Condition `json:"conditions"` // raised ones first, then by type

	Host    string `json:"host"`
	Version string `json:"version"`
	Source  string `json:"source"`
	Mode    Mode   `json:"mode"` // of the agent's settings

	Seen     Revision `json:"seen"`      // the newest that the source delivered
	Wanted   Revision `json:"wanted"`    // what the host is made into now
	Applied  Revision `json:"applied"`   // the last one that was applied and confirmed
	LastGood Revision `json:"last-good"` // the last one that was reached and confirmed

	Started  time.Time    `json:"started"`
	LastPass Pass         `json:"last-pass"`
	Objects  int          `json:"objects"` // wanted
	Notes    []diff.Note  `json:"notes"`   // of the last plan
	Failing  []FailingKey `json:"failing,omitempty"`
}

// Condition returns a condition by its type.
func (s Status) Condition(t ConditionType) Condition {
	for _, c := range s.Conditions {
		if c.Type == t {
			return c
		}
	}
	return Condition{Type: t}
}

// ConditionType names a condition.
type ConditionType string

// Conditions, each a kind of trouble or an exceptional state.
const (
	CondSource      ConditionType = "SourceUnhealthy" // the source cannot be read
	CondInvalid     ConditionType = "Invalid"         // the newest revision has faults and is not used
	CondNoTree      ConditionType = "NoTree"          // there is no valid desired state at all
	CondQuarantined ConditionType = "Quarantined"     // the newest revision was undone and is not tried again
	CondUnconfirmed ConditionType = "Unconfirmed"     // an apply waits for its probes
	CondHeld        ConditionType = "Held"            // deletions wait for an approval, or for what they depend on
	CondProtected   ConditionType = "Protected"       // protection keeps back what would be done
	CondFailing     ConditionType = "Failing"         // operations fail and are retried
	CondUnfinished  ConditionType = "Unfinished"      // all was done, and the host still differs
	CondTwoManagers ConditionType = "TwoManagers"     // somebody undoes our changes again and again
	CondBlind       ConditionType = "Blind"           // something could not be read
	CondUnsupported ConditionType = "Unsupported"     // declared, and this build cannot apply it
	CondFetching    ConditionType = "Fetching"        // what programs are made of is on its way, or cannot be had
	CondNotReady    ConditionType = "NotReady"        // what a program is made of is not here, or cannot be used
	CondAbsent      ConditionType = "Absent"          // a required link is not there, or a match hits several
	CondConflict    ConditionType = "Conflict"        // somebody else's object stands in the way
	CondPinned      ConditionType = "Pinned"          // rolled back until a deadline
	CondSuspended   ConditionType = "Suspended"       // plans only
	CondOverridden  ConditionType = "Overridden"      // people want something else than the source, for a while
	CondStateDir    ConditionType = "StateDir"        // the state directory cannot be written
	CondStateLost   ConditionType = "StateLost"       // a file of the state directory was corrupt and set aside
	CondNamespace   ConditionType = "NamespaceGone"   // the network namespace has lost its name
	CondWatch       ConditionType = "WatchLost"       // no events are heard; the resync timer works on
	CondUpgrading   ConditionType = "Upgrading"       // a version is being tried, or a process is to start
	CondUnfit       ConditionType = "Unfit"           // a version failed, or a process ended too often
)

// conditionTypes lists all conditions, in the order of their constants.
var conditionTypes = []ConditionType{
	CondSource, CondInvalid, CondNoTree, CondQuarantined, CondUnconfirmed, CondHeld, CondProtected, CondFailing, CondUnfinished,
	CondTwoManagers, CondBlind, CondUnsupported, CondAbsent, CondConflict, CondPinned, CondSuspended, CondStateDir, CondStateLost,
	CondNamespace, CondWatch, CondFetching, CondNotReady, CondOverridden, CondUpgrading, CondUnfit,
}

// Condition is one of them, with what is to be known.
type Condition struct {
	Type    ConditionType `json:"type"`
	Raised  bool          `json:"raised"`
	Reason  string        `json:"reason,omitempty"`  // one word, CamelCase
	Message string        `json:"message,omitempty"` // for people; may have several lines
	Since   time.Time     `json:"since,omitzero"`    // of the last change of Raised
}

// Pin holds the host at a revision until a deadline.
type Pin struct {
	Revision string    `json:"revision"`
	Until    time.Time `json:"until"`
}

// Lease suspends until a deadline.
type Lease struct {
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until"`
}

// Pending is an apply that waits for its probes.
type Pending struct {
	Revision string        `json:"revision"`
	Deadline time.Time     `json:"deadline"` // then the former state is put back
	Probes   []ProbeResult `json:"probes"`   // those required
}

// ProbeResult is what a probe last said.
type ProbeResult struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// FailingKey is a resource that is backed off.
type FailingKey struct {
	Key      resource.Key `json:"key"`
	Error    string       `json:"error"`
	Failures int          `json:"failures"`
	Next     time.Time    `json:"next"` // when it is tried again
}

// Outcome is how a pass ended.
type Outcome string

// Outcomes.
const (
	OutcomeInSync   Outcome = "in-sync"  // nothing to do
	OutcomePlanned  Outcome = "planned"  // there is something to do, and the mode says not to
	OutcomeHeld     Outcome = "held"     // nothing was done: it waits for probes, a record on disk or an approval
	OutcomeApplied  Outcome = "applied"  // all was done
	OutcomeFailed   Outcome = "failed"   // something failed; what is independent was done
	OutcomeReverted Outcome = "reverted" // the former state was put back
	OutcomeError    Outcome = "error"    // no plan could be made
)

// Counts says how much of what.
type Counts struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Replace int `json:"replace"`
	Delete  int `json:"delete"`
	Failed  int `json:"failed,omitempty"`
	Blocked int `json:"blocked,omitempty"`
}

// Total is the number of operations.
func (c Counts) Total() int { return c.Create + c.Update + c.Replace + c.Delete }

// Pass is one way through the line.
type Pass struct {
	At       time.Time     `json:"at,omitzero"`
	Cause    Cause         `json:"cause,omitempty"`
	Revision string        `json:"revision,omitempty"`
	Duration time.Duration `json:"duration"` // nanoseconds
	Ops      Counts        `json:"ops"`
	Held     int           `json:"held,omitempty"`  // deletions that wait for an approval
	Drift    bool          `json:"drift,omitempty"` // the operations repaired drift
	Outcome  Outcome       `json:"outcome,omitempty"`
	Error    string        `json:"error,omitempty"`
}

// Entry is a pass that changed something, as history keeps it.
type Entry struct {
	Pass
	Title     string        `json:"title,omitempty"`
	Confirmed string        `json:"confirmed,omitempty"` // how: no-probe, probes, person, failure, reverted; empty while it waits
	Waited    time.Duration `json:"waited,omitempty"`    // from the apply to the verdict
	Repeats   int           `json:"repeats,omitempty"`   // further repairs of drift that this entry counts
}

// EventType names what happened.
type EventType string

// Events.
const (
	EventStarted     EventType = "started"
	EventRevision    EventType = "revision"    // the source delivered one
	EventApplied     EventType = "applied"     // a plan was carried out
	EventDrift       EventType = "drift"       // a key was found changed, and repaired
	EventFailed      EventType = "failed"      // an operation failed
	EventConfirmed   EventType = "confirmed"   // an apply is final
	EventReverted    EventType = "reverted"    // an apply was undone
	EventRaised      EventType = "raised"      // a condition
	EventCleared     EventType = "cleared"     // a condition
	EventRequest     EventType = "request"     // somebody asked for something
	EventOverrun     EventType = "overrun"     // kernel events were lost
	EventHealth      EventType = "health"      // a backend came up or went down
	EventUpgrade     EventType = "upgrade"     // a version or a process took a step
	EventMissedEvent EventType = "missed-some" // to a reader who fell behind: sequence numbers are missing
)

// Event is one thing that happened.
type Event struct {
	Seq      uint64       `json:"seq"` // from 1, no gaps
	Time     time.Time    `json:"time"`
	Type     EventType    `json:"type"`
	Revision string       `json:"revision,omitempty"`
	Key      resource.Key `json:"key,omitzero"`
	Message  string       `json:"message"`
}
