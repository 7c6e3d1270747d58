// Package engine is the loop that calls everything else in its order: source,
// desired, observe, bind, decide, compute, annotate, guard, apply, verify,
// confirm.
//
// A new revision is a change: its way back is on disk before it begins, and
// probes decide whether it stays. Where that record cannot be written the change
// is not begun, and what was there before is kept up. Repairing what was
// confirmed once needs neither record nor verdict, so it goes on with a full
// disk and while an apply waits.
//
// One goroutine owns all mutable state; everybody else posts to it. Planner is
// the part of the line that one-shot commands share with the daemon. The
// package never talks to a dataplane but through the drivers it is given, and
// never to a person: what it knows, it says as Status, Event, Entry and
// metrics. It imports all of ours but the drivers themselves.
package engine
