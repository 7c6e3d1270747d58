package netlink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TestLinksAreReadAgain compares, after each change, what a driver sees that
// remembers its last look with what one sees that has none.
func TestLinksAreReadAgain(t *testing.T) {
	b := newBench(t)
	b.batch("link add a0 type veth peer name a1\nlink add br0 type bridge\nlink add c0 type veth peer name c1")
	for _, change := range []string{
		"link set a0 up", "link set a0 mtu 1400", "link set a1 master br0", "link set br0 up", "link set br0 up",
		"link set a1 nomaster", "link set br0 down", "link set br0 name br1", "link set c0 alias words", "link set c1 address 02:00:00:00:00:01",
		"link set a0 up", "link del a0", "link add e0 type veth peer name e1", "link set br1 type bridge stp_state 1",
		"link property add dev c0 altname other", "link set c0 group 21059",
	} {
		b.batch(change)
		b.sameAsNew(change)
	}
	for _, p := range []string{"net/ipv4/conf/all/promote_secondaries", "net/ipv6/conf/all/keep_addr_on_down"} {
		for _, value := range []string{"1", "0"} {
			var err error
			b.Do(func() { err = writeSysctl(p, value) })
			if err != nil {
				t.Fatal(err)
			}
			b.sameAsNew(p + " " + value)
		}
	}
}

func (b *bench) sameAsNew(change string) {
	b.t.Helper()
	d, err := Open(Config{Netns: b.Path()})
	if err != nil {
		b.t.Fatal(err)
	}
	defer d.Close()
	want, err := d.Observe(context.Background(), observed.Query{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range want.Objects.All() {
		if l, ok := o.Resource.(resource.Link); ok {
			if have, _ := b.look(observed.Query{}).Objects.Get(l.Key()); !have.Same(o) {
				b.t.Fatalf("after %s: %+v\nwant %+v", change, have, o)
			}
		}
	}
}

// TestQuietLinksCostNoMemory counts what a look allocates when nothing changed
// but the timers of a bridge.
func TestQuietLinksCostNoMemory(t *testing.T) {
	const pairs, most = 200, 250
	b := newBench(t)
	lines := []string{"link add br0 type bridge", "link set br0 up"}
	for i := range pairs {
		lines = append(lines, fmt.Sprintf("link add v%d type veth peer name w%d", i, i))
	}
	b.batch(strings.Join(lines, "\n"))
	q := observed.Query{}
	n := testing.AllocsPerRun(10, func() { b.look(q) })
	if n > most {
		t.Errorf("a look at %d quiet links allocates %v times, want at most %d", 2*pairs, n, most)
	}
}

// TestCountersAreNotLookedAt sends packets between two looks.
func TestCountersAreNotLookedAt(t *testing.T) {
	b := newBench(t)
	b.batch("link set lo up")
	b.look(observed.Query{})
	before := slices.Clone(b.lastLinks.told[0].message)
	var err error
	b.Do(func() {
		var conn net.Conn
		if conn, err = net.Dial("udp", "127.0.0.1:9"); err == nil {
			_, err = conn.Write([]byte("hello"))
			err = errors.Join(err, conn.Close())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.look(observed.Query{})
	if !bytes.Equal(before, b.lastLinks.told[0].message) {
		t.Error("packets make a link another one")
	}
}
