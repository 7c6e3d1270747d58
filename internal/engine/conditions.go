package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler/internal/diff"
)

// conditions are all conditions, raised or not. report hears of each that is
// raised or cleared.
type conditions struct {
	all    map[ConditionType]Condition
	wall   func() time.Time
	report func(Condition)
}

func newConditions(wall func() time.Time, report func(Condition)) *conditions {
	c := &conditions{all: make(map[ConditionType]Condition, len(conditionTypes)), wall: wall, report: report}
	for _, t := range conditionTypes {
		c.all[t] = Condition{Type: t}
	}
	return c
}

// raise says that a condition holds, and why.
func (c *conditions) raise(t ConditionType, reason, message string) {
	was := c.all[t]
	now := Condition{Type: t, Raised: true, Reason: reason, Message: message, Since: was.Since}
	if !was.Raised {
		now.Since = c.wall()
	}
	c.all[t] = now
	if !was.Raised || was.Reason != reason {
		c.report(now)
	}
}

// clear says that a condition does not hold.
func (c *conditions) clear(t ConditionType) {
	if was := c.all[t]; was.Raised {
		c.all[t] = Condition{Type: t, Since: c.wall()}
		c.report(c.all[t])
	}
}

// set raises a condition where there is a message, else clears it.
func (c *conditions) set(t ConditionType, reason, message string) {
	if message == "" {
		c.clear(t)
		return
	}
	c.raise(t, reason, message)
}

func (c *conditions) raised(t ConditionType) bool { return c.all[t].Raised }

// list returns all of them, raised ones first, then by type.
func (c *conditions) list() []Condition {
	out := make([]Condition, 0, len(c.all))
	for _, one := range c.all {
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Condition) int {
		if a.Raised != b.Raised {
			if a.Raised {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Type, b.Type)
	})
	return out
}

// noteConditions says which condition a note of a plan raises.
var noteConditions = map[diff.NoteCode]ConditionType{
	diff.Absent:      CondAbsent,
	diff.Ambiguous:   CondAbsent,
	diff.Blinded:     CondBlind,
	diff.Conflict:    CondConflict,
	diff.Held:        CondHeld,
	diff.NotReady:    CondNotReady,
	diff.NotYet:      CondUnsupported,
	diff.Protected:   CondProtected,
	diff.TwoManagers: CondTwoManagers,
	diff.Unfit:       CondUnfit,
	diff.Waiting:     CondUpgrading,
}

// fromPlan sets the conditions that a plan tells of.
func (c *conditions) fromPlan(p diff.Plan) {
	said := make(map[ConditionType][]string)
	for _, n := range p.Notes {
		if t, ok := noteConditions[n.Code]; ok {
			said[t] = append(said[t], noteText(n))
		}
	}
	for _, b := range p.Blind {
		said[CondBlind] = append(said[CondBlind], b.String()+": "+b.Reason)
	}
	for _, t := range []ConditionType{CondAbsent, CondBlind, CondConflict, CondHeld, CondProtected, CondUnsupported, CondTwoManagers, CondNotReady, CondUnfit, CondUpgrading} {
		c.set(t, string(t), few(said[t]))
	}
}

func noteText(n diff.Note) string {
	s := n.Text
	if n.Key.Name != "" {
		s = string(n.Key.Kind) + " " + n.Key.Name + ": " + s
	}
	if n.Origin != "" {
		s = n.Origin + ": " + s
	}
	return s
}

// few joins the first lines and counts the rest.
func few(lines []string) string {
	const most = 10
	text := strings.Join(lines[:min(most, len(lines))], "\n")
	if more := len(lines) - most; more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return text
}
