// Package chains holds the objects of the examples, for who wants to show them
// at work.
//
// It owns the bytes and imports nothing of ours.
package chains

import _ "embed" // the objects stand in files

// Count is the object of count: entries count_xdp and count_tc.
//
//go:embed count/count.bpf.o
var Count []byte

// RateLimit is the object of ratelimit.
//
//go:embed ratelimit/ratelimit.bpf.o
var RateLimit []byte

// DropList is the object of droplist.
//
//go:embed droplist/droplist.bpf.o
var DropList []byte
