package chain

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// victim is the program as users have it, at work on a bench: it swaps a chain
// of two for another, and is killed at it.
type victim struct {
	*bench
	program string
	state   string
	tree    string
	took    time.Duration // a whole apply
}

const (
	kills     = 20
	killHook  = resource.XDPIngress
	eachOfTwo = "t/each" // pins of counters: of the program in both chains,
	eitherOne = "t/turn" // and of those that take turns
)

func newVictim(t *testing.T) *victim {
	v := &victim{bench: newBench(t), program: "reconciler", state: t.TempDir(), tree: t.TempDir()}
	if !inGuest() {
		v.program = filepath.Join(t.TempDir(), "reconciler")
		if out, err := exec.Command("go", "build", "-o", v.program, "reconciler/cmd/reconciler").CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	return v
}

// chainsSwapped are the two that are swapped.
func chainsSwapped() [][]string { return [][]string{{"both", "one"}, {"two", "both"}} }

func (v *victim) write(chain int) {
	v.t.Helper()
	object, err := filepath.Abs(verdictObject)
	if err != nil {
		v.t.Fatal(err)
	}
	yaml := "version: 1\nprograms:\n"
	for name, pin := range map[string]string{"both": eachOfTwo, "one": eitherOne, "two": eitherOne} {
		yaml += fmt.Sprintf("  %s: {object: {file: %s}, entry: plain, maps: {seen: {owner: external, pin: %s}}}\n", name, object, pin)
	}
	yaml += fmt.Sprintf("chains:\n  p0: {%s: {programs: [%s]}}\n", killHook, strings.Join(chainsSwapped()[chain], ", "))
	if err := os.WriteFile(filepath.Join(v.tree, "net.yaml"), []byte(yaml), 0o644); err != nil {
		v.t.Fatal(err)
	}
}

func (v *victim) command(verb string) *exec.Cmd {
	cmd := exec.Command(v.program, verb, "--netns", v.Name, "--state-dir", v.state, v.tree)
	cmd.Env = append(os.Environ(), "RECONCILER_SOCKET="+filepath.Join(v.state, "api.sock"))
	return cmd
}

func (v *victim) run(verb string) {
	v.t.Helper()
	cmd := v.command(verb)
	if out, err := cmd.CombinedOutput(); err != nil {
		v.t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// kill swaps the chain and ends the program at a random moment of that. It
// returns whether that was before it was done.
func (v *victim) kill(chain int) bool {
	v.t.Helper()
	v.write(chain)
	cmd := v.command("apply")
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	time.Sleep(time.Duration(rand.Float64() * float64(v.took)))
	_ = cmd.Process.Kill() // it may be through
	return cmd.Wait() != nil
}

// attached is the chain that packets meet.
func (v *victim) attached() []string {
	v.t.Helper()
	c := v.d.readChain(v.d.pins.chain("p0", killHook, 1), "p0", killHook)
	for _, d := range c.Seen.Damage {
		if !strings.HasSuffix(d, "is left over") {
			v.t.Errorf("damaged: %s", d)
		}
	}
	var names []string
	for _, s := range c.Slots {
		names = append(names, s.Program)
	}
	return names
}

// counted is what a pinned counter holds.
func (v *victim) counted(pin string) uint64 {
	v.t.Helper()
	m, err := ebpf.LoadPinnedMap(v.d.pins.shared(pin), nil)
	if err != nil {
		v.t.Fatal(err)
	}
	defer m.Close()
	return sum(v.t, m, 0)
}

// settled wants one whole chain, and nothing beside it.
func (v *victim) settled(chain int) {
	v.t.Helper()
	v.write(chain)
	v.run("apply")
	v.run("diff")
	if got := v.attached(); !slices.Equal(got, chainsSwapped()[chain]) {
		v.t.Errorf("chain %v, want %v", got, chainsSwapped()[chain])
	}
	pinned, err := bpffs.List(v.d.pins.chain("p0", killHook, 1))
	if err != nil || len(pinned) != 2 { // the link, and one generation
		v.t.Errorf("pins of the chain: %v, %v", pinned, err)
	}
	instances, err := filepath.Glob(filepath.Join(v.d.pins.programs(), "*", "*"))
	if err != nil || len(instances) != len(chainsSwapped()[chain]) {
		v.t.Errorf("instances: %v, %v", instances, err)
	}
}

// TestGuestKill kills the program at random moments of swaps under traffic:
// every packet meets the whole of one chain or of the other, and the next
// apply leaves nothing of what was begun.
func TestGuestKill(t *testing.T) {
	v := newVictim(t)
	v.write(0)
	v.run("apply")
	f := v.startFlood(killHook)
	began := time.Now()
	v.settled(1)
	v.took = time.Since(began) / 2 // it runs twice in there
	cut := 0
	for i := range kills {
		if v.kill(i % 2) {
			cut++
		}
		if got := v.attached(); !slices.ContainsFunc(chainsSwapped(), func(c []string) bool { return slices.Equal(c, got) }) {
			t.Fatalf("kill %d: chain %v", i, got)
		}
		if i%10 == 9 {
			v.settled(rand.IntN(2))
		}
	}
	f.end(t)
	both, turns := v.counted(eachOfTwo), v.counted(eitherOne)
	t.Logf("%d of %d applies of %v were cut short, %d packets seen", cut, kills, v.took.Round(time.Millisecond), both)
	if both != turns || both < 1000 || cut == 0 {
		t.Errorf("%d packets met the one program, %d the others", both, turns)
	}
}
