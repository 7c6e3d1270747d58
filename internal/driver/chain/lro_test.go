package chain

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// TestFixedLRO leaves alone what cannot be changed.
func TestFixedLRO(t *testing.T) {
	b := newBench(t)
	p := b.object("one", "p0", verdictObject, "plain", resource.XDPIngress)
	want := set(p, b.chain(resource.XDPIngress, p))
	if plan := text(b.plan(want)); strings.Contains(plan, "large-receive-offload") {
		t.Errorf("the plan changes what is fixed:\n%s", plan)
	}
	b.make(want)
	b.make(set())
	if _, err := os.Stat(filepath.Join(b.cfg.Records, lroRecord)); err == nil {
		t.Error("a record is left of what was not changed")
	}
}

// TestGuestLRO wants it off as long as there is a chain, on a card that has it
// on, and told in the plan.
func TestGuestLRO(t *testing.T) {
	testns.NeedGuest(t) // its card has it
	b := newBench(t)
	card := b.take("vmxnet3")
	p := b.object("one", card, verdictObject, "plain", resource.XDPIngress)
	chain := b.chain(resource.XDPIngress, p)
	chain.Link, chain.Mode = card, resource.Auto
	want := set(p, chain)
	b.lro(card, true)
	b.tells(want, "turns large-receive-offload of "+card+" off")
	b.make(want)
	b.lro(card, false)

	// Another process, which remembers by what is on disk.
	b.d = Open(b.cfg)
	b.tells(set(), "turns large-receive-offload of "+card+" on again")
	b.make(set())
	b.lro(card, true)

	// What somebody had turned off stays off.
	l, err := b.d.linkByName(card)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.d.setLRO(l.index, false); err != nil {
		t.Fatal(err)
	}
	b.make(want)
	b.make(set())
	b.lro(card, false)
	if err := b.d.setLRO(l.index, true); err != nil {
		t.Fatal(err)
	}
}

// TestGuestLROIsDrift wants it off again where somebody turns it on under a
// chain, and the former value back when the chain goes.
func TestGuestLROIsDrift(t *testing.T) {
	testns.NeedGuest(t)
	b := newBench(t)
	card, index := b.cardWithLRO()
	p := b.object("one", card, verdictObject, "plain", resource.XDPIngress)
	chain := b.chain(resource.XDPIngress, p)
	chain.Link, chain.Mode = card, resource.Generic // native XDP of some drivers refuses it
	want := set(p, chain)
	b.make(want)
	if err := b.d.setLRO(index, true); err != nil {
		t.Fatal(err)
	}
	b.tells(want, "large-receive-offload is on")
	b.make(want)
	b.lro(card, false)
	b.make(set())
	b.lro(card, true)
}

// TestGuestLROLeftOff puts it back where a run was killed before there was a
// chain, or its pins were lost: whether or not a chain is wanted by then.
func TestGuestLROLeftOff(t *testing.T) {
	testns.NeedGuest(t)
	b := newBench(t)
	card, index := b.cardWithLRO()
	if err := b.d.lroOff(index); err != nil {
		t.Fatal(err)
	}
	b.d = Open(b.cfg)
	b.tells(set(), "turns large-receive-offload of "+card+" on again")
	b.make(set())
	b.lro(card, true)

	p := b.object("one", card, verdictObject, "plain", resource.XDPIngress)
	chain := b.chain(resource.XDPIngress, p)
	chain.Link, chain.Mode = card, resource.Auto
	if err := b.d.lroOff(index); err != nil {
		t.Fatal(err)
	}
	b.d = Open(b.cfg)
	b.make(set(p, chain))
	b.lro(card, false)
	if err := bpffs.RemoveTree(b.d.pins.Dir()); err != nil {
		t.Fatal(err)
	}
	b.d = Open(b.cfg)
	b.make(set())
	b.lro(card, true)
}

// cardWithLRO takes a card and turns it on.
func (b *bench) cardWithLRO() (name string, index int) {
	b.t.Helper()
	name = b.take("vmxnet3")
	l, err := b.d.linkByName(name)
	if err == nil {
		err = b.d.setLRO(l.index, true)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.lro(name, true)
	return name, l.index
}

// take moves the card of a driver into the namespace, until that ends.
func (b *bench) take(driver string) string {
	b.t.Helper()
	found, err := filepath.Glob("/sys/bus/pci/drivers/" + driver + "/0*/net/*")
	if err != nil || len(found) != 1 {
		b.t.Fatalf("cards of %s: %v, %v", driver, found, err)
	}
	card := filepath.Base(found[0])
	moved := make(chan error)
	go func() { // on a thread that is where the card is
		moved <- exec.Command("ip", "link", "set", card, "netns", b.Name).Run()
	}()
	if err := <-moved; err != nil {
		b.t.Fatalf("move %s: %v", card, err)
	}
	b.t.Cleanup(func() { b.IP("link", "set", card, "netns", "1") })
	b.IP("link", "set", card, "up")
	return card
}

// lro wants it on or off.
func (b *bench) lro(link string, want bool) {
	b.t.Helper()
	l, err := b.d.linkByName(link)
	if err != nil {
		b.t.Fatal(err)
	}
	if got, err := b.d.lro(l.index); got != want || err != nil {
		b.t.Errorf("large-receive-offload of %s is on: %v, %v, want %v", link, got, err, want)
	}
}

// tells wants a plan to say something.
func (b *bench) tells(want *resource.Set, what string) {
	b.t.Helper()
	if plan := text(b.plan(want)); !strings.Contains(plan, what) {
		b.t.Errorf("the plan does not tell %q:\n%s", what, plan)
	}
}

// TestLROThatCannotBe is a driver that does not do what it is asked for.
func TestLROThatCannotBe(t *testing.T) {
	b := newBench(t)
	l, err := b.d.linkByName("p0")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.d.setLRO(l.index, true); err == nil || !strings.HasSuffix(err.Error(), "on: its driver does not") {
		t.Errorf("the error is %v, want one that says that the driver does not", err)
	}
}
