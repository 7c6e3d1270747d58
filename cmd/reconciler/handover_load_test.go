package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"reconciler/internal/state"
	"reconciler/test/traffic"
)

// template builds a version whose name can be changed in the file, for a build
// takes seconds.
func (s *succeeding) template() (versioned func(n int) (version, sum string)) {
	s.Helper()
	const name = "v0.7.990"
	program := filepath.Join(s.TempDir(), "reconciler")
	if out, err := exec.Command("go", "build", "-o", program, "-ldflags", "-s -w -X main.version="+name, ".").CombinedOutput(); err != nil {
		s.Fatalf("build: %v\n%s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil || !bytes.Contains(content, []byte(name)) {
		s.Fatalf("the version is not in the file (%v)", err)
	}
	return func(n int) (string, string) {
		version := fmt.Sprintf("v0.7.%03d", n)
		return version, s.offer("/"+version+".tar.gz", "reconciler", bytes.ReplaceAll(content, []byte(name), []byte(version)))
	}
}

// flooding sends frames from v1 to v0 until it is stopped, which tells how many.
func (s *succeeding) flooding() (stop func() uint64) {
	s.Helper()
	var sender *traffic.Sender
	var err error
	s.ns.Do(func() { sender, err = traffic.Open("v1", traffic.UDP()) })
	if err != nil {
		s.Fatal(err)
	}
	var sent atomic.Uint64
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer sender.Close()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			n, _ := sender.Send(20) // what is lost in a queue that is full is not sent
			sent.Add(uint64(n))
		}
	}()
	return func() uint64 { cancel(); <-ended; return sent.Load() }
}

// usage is what may not grow over handovers.
type usage struct{ descriptors, pins, processes, memory int }

func (s *succeeding) usage() (u usage) {
	s.Helper()
	pid := s.main(0)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		s.Fatal(err)
	}
	u.descriptors = len(fds)
	var pages int
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d %d", new(int), &pages)
	}
	if err != nil {
		s.Fatal(err)
	}
	u.memory = pages * os.Getpagesize()
	_ = filepath.WalkDir(pinsOf(s, s.ns), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			u.pins++
		}
		return nil
	})
	u.processes = s.processes()
	return u
}

// handovers is how many there are under load.
const handovers = 20

// balanced has packets of the flood go through a program and then to a VIP, whose
// only backend is behind l1.
const balanced = `programs: {a: {object: {file: verdict.o}, entry: plain}}
chains: {v0: {xdp-ingress: {programs: [a, {builtin: lb}]}}}
lb: {ring-size: 4093, max-vips: 8, max-backends: 8, max-rings: 4, max-flows: 64, defaults: {encap: l2dsr, slow-start: 0s}}
backends: {b1: {address: 10.0.1.2}}
pools: {one: {backends: {b1: 100}}}
vips: {flood: {address: 192.0.2.2, ports: [udp/9], pools: [one]}}
`

// backend is where the VIP leads, on a link of its own. It takes what comes for the
// VIP, and tells how many that were.
func (s *succeeding) backend() (arrived func() uint64) {
	s.Helper()
	b := newServer(s.T, 1)
	s.ns.IP("link", "add", "l1", "type", "veth", "peer", "name", "e0", "netns", b.ns.Name)
	s.ns.IP("link", "set", "l1", "up")
	s.ns.IP("address", "add", "10.0.1.1/24", "dev", "l1")
	b.ns.IP("link", "set", "e0", "up")
	b.ns.IP("address", "add", "10.0.1.2/24", "dev", "e0")
	return b.takes("192.0.2.2")
}

// TestHandoversUnderLoad is that one version after another takes over without a
// request lost, or a packet through a chain and to a VIP, and without anything that
// grows.
//
// It has the machine for itself: others count what they can do in some time.
func TestHandoversUnderLoad(t *testing.T) {
	s := newSucceeding(t)
	dropPins(t, s.ns)
	s.ns.Do(func() {
		for _, which := range []string{"all", "default"} { // nobody but the flood sends
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0); err != nil {
				t.Error(err)
			}
		}
	})
	object, err := os.ReadFile(verdictObject)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := state.WriteFile(filepath.Join(s.tree, "verdict.o"), object, 0o600); err != nil {
		t.Fatal(err)
	}
	versioned := s.template()
	version, sum := versioned(0)
	arrived := s.backend()
	s.push(version, sum, balanced)
	s.first()
	s.works(version)
	s.ns.IP("link", "set", "v1", "up")
	counted := &killed{failHost: s.failHost}
	before := s.usage()
	was, served := counted.counted("a"), arrived()
	l, stop := s.load(100), s.flooding()
	began := time.Now()
	for n := range handovers {
		version, sum = versioned(n + 1)
		s.push(version, sum, balanced)
		s.works(version)
	}
	took := time.Since(began)
	sent := stop()
	s.unbroken(l)
	seen, came := counted.counted("a")-was, arrived()-served
	after := s.usage()
	t.Logf("%d handovers in %s; %d packets sent, %d seen, %d at the backend; before %+v, after %+v", handovers, took.Round(time.Millisecond), sent, seen, came, before, after)
	if sent != seen || sent != came || sent < 1000 {
		t.Errorf("%d packets were sent, %d seen by the chain, and %d came to the backend of the VIP", sent, seen, came)
	}
	if after.processes != 1 || after.pins != before.pins || after.descriptors > before.descriptors+10 || after.memory > 3*before.memory {
		t.Errorf("it grew from %+v to %+v", before, after)
	}
}
