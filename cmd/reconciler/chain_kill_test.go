package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/chain"
	"reconciler/internal/driver/failpoint"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/state"
	"reconciler/internal/testns"
	"reconciler/test/traffic"
)

// killed is a host whose chains are swapped by a program that is killed.
type killed struct {
	failHost
	trees []string
}

// newKilled has two trees: the order differs, and the version of a program.
func newKilled(t *testing.T, program string) *killed {
	t.Helper()
	k := &killed{failHost: failHost{T: t, program: program, ns: testns.New(t), state: t.TempDir()}}
	dropPins(t, k.ns)
	for i, order := range [][]string{{"a", "b", "c"}, {"c", "a", "b"}} {
		tree := filepath.Join(t.TempDir(), "tree")
		chainTree(t, tree, order...)
		k.trees = append(k.trees, tree)
		if i == 0 {
			continue
		}
		file := filepath.Join(tree, "net.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		next := strings.Replace(string(text), "entry: plain,", "entry: plain, constants: {verdict: 0x2},", 1)
		if err := os.WriteFile(file, []byte(next), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// chains reads the chains back, and how many programs are pinned.
func (k *killed) chains() (chains []resource.Chain, programs int) {
	k.Helper()
	var have observed.State
	var err error
	k.ns.Do(func() {
		var id state.Identity
		if id, err = state.Namespace(); err == nil {
			have, err = chain.Open(chain.Config{Namespace: id.Name, Cookie: id.Cookie}).Observe(context.Background(), observed.Query{All: true})
		}
	})
	if err != nil {
		k.Fatal(err)
	}
	for _, o := range have.Objects.All() {
		switch r := o.Resource.(type) {
		case resource.Chain:
			chains = append(chains, r)
		case resource.Program:
			programs++
		}
	}
	return chains, programs
}

// whole wants each chain to be the old or the new one, all of it. What a kill
// may leave beside is told; where nothing may be left, clean says so.
func (k *killed) whole(clean bool) {
	k.Helper()
	chains, programs := k.chains()
	if len(chains) != 3 {
		k.Errorf("%d chains, want 3", len(chains))
	}
	for _, c := range chains {
		var order []string
		for _, s := range c.Slots {
			order = append(order, s.Program[:1])
		}
		if got := strings.Join(order, ""); got != "abc" && got != "cab" || c.Seen.Dispatcher == 0 {
			k.Errorf("%s: program %d runs %q, neither the old nor the new", c.Key(), c.Seen.Dispatcher, got)
		}
		for _, d := range c.Seen.Damage {
			if clean || strings.Contains(d, "slot") {
				k.Errorf("%s: %s", c.Key(), d)
			}
		}
	}
	if clean && programs != 6 {
		k.Errorf("%d programs are pinned, want 6", programs)
	}
}

// counted sums what a program has seen.
func (k *killed) counted(program string) uint64 {
	k.Helper()
	m, err := ebpf.LoadPinnedMap(programPin(k, k.ns, program+"@v0", "map:seen"), nil)
	if err != nil {
		k.Fatal(err)
	}
	defer m.Close()
	var perCPU []uint64
	if err := m.Lookup(uint32(0), &perCPU); err != nil {
		k.Fatal(err)
	}
	n := uint64(0)
	for _, v := range perCPU {
		n += v
	}
	return n
}

// traffic sends frames to v0 until the test stops it.
func (k *killed) traffic() (stop func()) {
	k.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	var sender *traffic.Sender
	var err error
	k.ns.Do(func() { sender, err = traffic.Open("v1", traffic.UDP()) })
	if err != nil {
		k.Fatal(err)
	}
	go func() {
		defer close(ended)
		defer sender.Close()
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
				_, _ = sender.Send(10) // what is lost in a queue that is full is not sent
			}
		}
	}()
	return func() { close(done); <-ended }
}

// swapAndKill applies a tree and kills the program after a while.
func (k *killed) swapAndKill(tree string, after time.Duration) {
	k.Helper()
	cmd := exec.Command(k.program, "apply", tree)
	cmd.Env = append(os.Environ(), "RECONCILER_NETNS="+k.ns.Name, "RECONCILER_STATE_DIR="+k.state,
		"RECONCILER_SOCKET="+filepath.Join(k.state, "api.sock"))
	if err := cmd.Start(); err != nil {
		k.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Kill() // or it is done
	_ = cmd.Wait()
}

// killsOf is how many times a swap is killed; soak asks for more.
func killsOf() int {
	if n, err := strconv.Atoi(os.Getenv("RECONCILER_KILLS")); err == nil {
		return n
	}
	return 100
}

// TestKilledSwaps kills the program at random moments of swaps under traffic:
// what is attached is the old chain or the new one, all of it, no packet misses
// a program, and the next start leaves nothing behind.
func TestKilledSwaps(t *testing.T) {
	testns.NeedRoot(t)
	t.Parallel()
	k := newKilled(t, buildProgram(t))
	k.mustRun("", 0, "apply", k.trees[0])
	began := time.Now()
	k.mustRun("", 0, "apply", k.trees[1])
	took := time.Since(began)
	k.ns.IP("link", "set", "v1", "up")
	stop := k.traffic()
	before := k.counted("a")
	for i := range killsOf() {
		k.swapAndKill(k.trees[i%2], rand.N(took))
		k.whole(false)
		k.mustRun("", 0, "apply", k.trees[i%2])
		k.whole(true)
		now := k.counted("a")
		if now <= before {
			t.Errorf("kill %d: no packet is seen", i)
		}
		before = now
		if t.Failed() {
			t.Fatalf("at kill %d", i)
		}
	}
	stop()
	time.Sleep(100 * time.Millisecond)
	a, b, c := k.counted("a"), k.counted("b"), k.counted("c")
	if slices.Max([]uint64{a, b, c}) != slices.Min([]uint64{a, b, c}) {
		t.Errorf("the programs have seen %d, %d and %d packets", a, b, c)
	}
	t.Logf("%d kills within %v, %d packets", killsOf(), took, a)
}

// TestFailpointsOfChains lets a swap fail, and be killed, at every operation.
func TestFailpointsOfChains(t *testing.T) {
	testns.NeedRoot(t)
	program := buildProgram(t)
	for _, action := range []string{"error", "kill"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			k := newKilled(t, program)
			k.mustRun("", 0, "apply", k.trees[0])
			for at := range 100 {
				passed := k.run(fmt.Sprintf("%d:%s", at, action), "apply", k.trees[(at+1)%2]) == 0
				k.whole(false)
				k.mustRun("", 0, "apply", k.trees[(at+1)%2])
				k.whole(true)
				switch {
				case passed && at < 5:
					t.Fatalf("the plan had %d operations: not the test that was meant", at)
				case passed:
					return
				case t.Failed():
					t.Fatalf("at operation %d (%s)", at, failpoint.Env)
				}
			}
		})
	}
}
