// Package health asks backends whether they can serve, and tells what it was
// answered: one goroutine a target, one counter that decides between up and
// down, one snapshot for whoever wants to know.
//
// It owns the sockets of its probes, in whatever network namespace they are
// wanted, and the states that follow from the answers. A probe that this host
// could not make says nothing about the backend and changes no state. The
// package never decides what a state means for traffic, never touches the
// dataplane, never believes more of a stranger's answer than it has room for,
// and imports nothing of ours.
package health
