package engine

import (
	"fmt"
	"slices"
	"time"
)

// maxHistory is how many applies are remembered.
const maxHistory = 20

// history is the last applies, newest first.
type history []Entry

// add puts an entry in front.
func (h history) add(e Entry) history {
	h = slices.Insert(h, 0, e)
	return h[:min(len(h), maxHistory)]
}

// verdict writes down how the last apply of a revision became final or did not.
func (h history) verdict(revision, how string, waited time.Duration) {
	for i := range h {
		if h[i].Revision == revision && !h[i].Drift {
			h[i].Confirmed, h[i].Waited = how, waited
			return
		}
	}
}

// remember puts a pass into history. Repairs of drift in a row are one entry:
// somebody's script must not push every apply out.
func (l *loop) remember(p Pass) {
	l.unsaved = true
	if p.Drift && len(l.history) > 0 {
		last := &l.history[0]
		if last.Drift && last.Revision == p.Revision && p.Outcome == last.Outcome {
			repeats := last.Repeats + 1
			*last = Entry{Pass: p, Title: last.Title, Repeats: repeats}
			return
		}
	}
	l.history = l.history.add(Entry{Pass: p, Title: l.use.rev.Title})
	if !p.Drift {
		l.event(Event{Type: EventApplied, Revision: p.Revision, Message: applied(p)})
		l.saveHistory()
	}
}

func applied(p Pass) string {
	c := p.Ops
	s := fmt.Sprintf("%d added, %d changed, %d replaced, %d removed", c.Create, c.Update, c.Replace, c.Delete)
	if c.Failed+c.Blocked > 0 {
		s += fmt.Sprintf(", %d failed, %d blocked by those", c.Failed, c.Blocked)
	}
	return s
}

func (l *loop) saveHistory() {
	if !l.unsaved {
		return
	}
	err := write(l.Records, historyFile, l.history)
	l.unsaved = err != nil
	l.stateError("write history", err)
}

func (l *loop) saveLedger() {
	l.stateError("write what was applied", write(l.Records, ledgerFile, l.ledger))
}

// stateError raises the condition of the state directory, or clears it after a
// write that worked.
func (l *loop) stateError(what string, err error) {
	if err == nil {
		l.conds.clear(CondStateDir)
		return
	}
	l.metrics.stateErrors.Inc()
	l.conds.raise(CondStateDir, "Trouble", what+": "+err.Error())
}
