package intent

// Revisions is what there is to choose from. A revision that is empty is not
// there.
type Revisions struct {
	// Newest is what the source delivered last, if it has no faults.
	Newest string
	// Former are the ones to fall back to, best first: what is in use and
	// confirmed, then the last good one.
	Former []string
	// Bad are in quarantine.
	Bad map[string]bool
	Pin Pin
}

// Pin holds a revision until a deadline.
type Pin struct {
	Revision string
	Until    Instant
}

// Active reports whether a pin holds now.
func (p Pin) Active(now Instant) bool { return p.Revision != "" && now < p.Until }

// Choose says which revision the host is to be made into, and when that answer
// changes by itself. Empty means that there is none.
//
// A pin is a person's word and holds even for a revision in quarantine. A
// newest revision that is faulty or in quarantine leaves what was there.
func Choose(r Revisions, now Instant) (revision string, next Instant) {
	if r.Pin.Active(now) {
		return r.Pin.Revision, r.Pin.Until
	}
	if r.Newest != "" && !r.Bad[r.Newest] {
		return r.Newest, Never
	}
	for _, f := range r.Former {
		if f != "" && !r.Bad[f] {
			return f, Never
		}
	}
	return "", Never
}
