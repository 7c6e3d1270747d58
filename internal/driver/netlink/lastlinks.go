package netlink

import (
	"bytes"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// lastLinks is what the kernel told of the links at the last look. A message of
// more than 1 KiB that comes again is not decoded again, and where all say the
// same no object is made anew: that was half of what a look at 2,000 links cost
// beside its system calls.
type lastLinks struct {
	told []toldLink
	n    int // how many of told are of this look
	// stale is set while names and objects are not made of what was told.
	stale   bool
	all     forAll
	names   *names
	objects []resource.Object
}

// toldLink is a message and what it says.
type toldLink struct {
	message []byte
	link    rawLink
}

// forAll are the settings for all links that mean something for each.
type forAll struct{ promoteSecondaries, keepAddrOnDown bool }

// see takes the next message of a dump.
func (l *lastLinks) see(m wire.Message) {
	clearCounters(m.Body)
	if l.n < len(l.told) && bytes.Equal(l.told[l.n].message, m.Body) {
		l.n++
		return
	}
	link, ok := readLink(m)
	if !ok {
		return
	}
	if l.n == len(l.told) {
		l.told = append(l.told, toldLink{})
	}
	t := &l.told[l.n]
	l.stale = l.stale || !t.link.same(link)
	t.message, t.link = append(t.message[:0], m.Body...), link
	l.n++
}

// clearCounters clears what each packet changes; the kernel cannot be asked to
// leave it out.
func clearCounters(link []byte) {
	for a := wire.After(link, unix.SizeofIfInfomsg); a.Next(); {
		switch a.Type {
		case unix.IFLA_STATS64:
			clear(a.Value)
		case unix.IFLA_STATS: // the last of the two
			clear(a.Value)
			return
		}
	}
}

// same reports that two messages say the same: that of a bridge has timers too.
func (r rawLink) same(o rawLink) bool {
	return r.lower == o.lower && r.master == o.master && r.elsewhere == o.elsewhere &&
		resource.Object{Resource: r.Link}.Same(resource.Object{Resource: o.Link})
}

// end ends a dump, and reports whether it told the same as the one before.
func (l *lastLinks) end(all forAll) (same bool) {
	if l.n < len(l.told) {
		clear(l.told[l.n:])
		l.told = l.told[:l.n]
		l.stale = true
	}
	l.stale = l.stale || l.all != all || l.names == nil
	l.all = all
	return !l.stale
}
