package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	examples "reconciler/examples/chains"
	"reconciler/internal/resource"
)

// example is a program of an object that is shown to users.
func example(name, entry string, object []byte, hooks ...resource.Hook) resource.Program {
	sum := sha256.Sum256(object)
	return resource.Program{
		Name: name, Link: "p0", Entry: entry, Hooks: hooks, Version: "v1", Frags: true,
		Source: resource.ObjectSource{File: name + ".o", Tree: &resource.Blob{SHA256: hex.EncodeToString(sum[:]), Bytes: object}},
	}
}

// TestGuestExamplesRun has the oldest kernel's verifier take the examples, and
// looks at what they do to packets to port 9 of 192.0.2.2.
func TestGuestExamplesRun(t *testing.T) {
	b := newBench(t)
	count := example("count", "", examples.Count, resource.XDPIngress, resource.TCIngress)
	limit := example("limit", "", examples.RateLimit, resource.XDPIngress)
	list := example("list", "", examples.DropList, resource.XDPIngress)
	b.make(set(count, limit, list, b.chain(resource.XDPIngress, count, list, limit), b.chain(resource.TCIngress, count)))

	b.passes(100)
	if n := b.entry(count, "protocols", uint32(17)); n < 200 {
		t.Errorf("%d counts of 100 packets and more on two hooks", n)
	}

	b.put(limit, "limits", []byte{0, 9}, []byte{0, 0, 0, 0})
	before := b.entry(limit, "verdicts", uint32(1))
	b.passes(100)
	if n := b.entry(limit, "verdicts", uint32(1)) - before; n < 100 {
		t.Errorf("of 100 packets and more to a port with the limit 0, %d were dropped", n)
	}

	b.put(list, "blocked", []byte{24, 0, 0, 0, 192, 0, 2, 0}, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	b.passes(100)
	dropped := b.entry(list, "dropped", uint32(0))
	if dropped < 100 {
		t.Errorf("of 100 packets and more from a blocked prefix, %d were dropped", dropped)
	}
	b.put(list, "allowed", []byte{32, 0, 0, 0, 192, 0, 2, 1}, make([]byte, 8))
	b.passes(100)
	if n := b.entry(list, "dropped", uint32(0)); n != dropped {
		t.Errorf("%d packets from an allowed address were dropped", n-dropped)
	}
	b.make(set())
}

// passes sends at least so many packets towards p0.
func (b *bench) passes(n uint64) {
	b.t.Helper()
	f := b.startFlood(resource.XDPIngress)
	for f.sent.Load() < n {
		time.Sleep(time.Millisecond)
	}
	f.end(b.t)
}

// entry is the first number of an entry of a per-CPU map, summed.
func (b *bench) entry(p resource.Program, name string, key uint32) uint64 {
	b.t.Helper()
	m := b.open(p, name)
	defer m.Close()
	var perCPU [][]byte
	if err := m.Lookup(key, &perCPU); err != nil {
		b.t.Fatal(err)
	}
	n := uint64(0)
	for _, v := range perCPU {
		n += uint64(word(v)) // far from 32 bits
	}
	return n
}

func (b *bench) put(p resource.Program, name string, key, value []byte) {
	b.t.Helper()
	m := b.open(p, name)
	defer m.Close()
	if err := m.Put(key, value); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) open(p resource.Program, name string) *ebpf.Map {
	b.t.Helper()
	m, err := b.d.openMap(resource.Map{Program: p.Name, Link: p.Link, Digest: b.digest(p), Name: name})
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}
