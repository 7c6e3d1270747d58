package chain

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/chain/bpf"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// In a guest, whose processor is emulated, a flood is not faster than this.
const guestFlood = 7000 // frames a second

// guestSwaps is how many there are of each hook: 51 in all.
const guestSwaps = 17

func inGuest() bool { return os.Getenv("RECONCILER_GUEST") == "1" }

// TestGuestDispatchers has the verifier of this kernel judge every length of a
// chain, with nothing to bypass and with all there can be.
func TestGuestDispatchers(t *testing.T) {
	testns.NeedRoot(t)
	for _, hook := range []resource.Hook{resource.XDPIngress, resource.TCIngress} {
		program := trivial(t, hook)
		for _, b := range []Bypass{{}, fullBypass(t)} {
			for n := range resource.MaxSlots + 1 {
				c := resource.Chain{Link: "p0", Hook: hook, Slots: make([]resource.Slot, n)}
				var programs []*ebpf.Program
				for i := range c.Slots {
					c.Slots[i] = resource.Slot{Program: "trivial", Digest: fmt.Sprintf("%064d", i), Proceed: hook.DefaultProceed()}
					programs = append(programs, program)
				}
				state := bpf.XDPChain{Magic: magic, Abi: abi, Count: uint32(n)}
				b.fill(&state)
				made, err := Open(Config{}).build(c, programs, state)
				if err != nil {
					t.Fatalf("%s, %d programs, bypass [%s]: %+v", hook, n, b, err)
				}
				made.close()
			}
		}
	}
}

// fullBypass has all frames and as many prefixes as there can be.
func fullBypass(t *testing.T) Bypass {
	t.Helper()
	var from []netip.Prefix
	for i := range maxPrefixes {
		from = append(from, netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i)), netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/48", i)))
	}
	b, err := NewBypass(frameNames(), from)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// trivial is a program that lets everything pass.
func trivial(t *testing.T, hook resource.Hook) *ebpf.Program {
	t.Helper()
	spec := &ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, int32(neighbourCode(hook))), asm.Return()},
	}
	if hook.IsXDP() {
		spec.Type = ebpf.XDP
	}
	fit(spec, false)
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestGuestSwaps changes chains of three under traffic, as TestSwapsUnderFlood
// does, in the way of this kernel: TCX from Linux 6.6 on, before it clsact.
func TestGuestSwaps(t *testing.T) {
	for _, hook := range resource.Hooks() {
		t.Run(string(hook), func(t *testing.T) {
			b := newBench(t)
			if !hook.IsXDP() && b.d.hasTCX() != kernelFrom(t, 6, 6) {
				t.Errorf("TCX is found: %v", b.d.hasTCX())
			}
			b.swaps(hook, 3, guestSwaps)
		})
	}
}

// kernelFrom reports a kernel of a version or of a later one.
func kernelFrom(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var has, part int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &has, &part); err != nil {
		t.Fatal(err)
	}
	return has > major || has == major && part >= minor
}

// pace waits until it is time for the next frame of so many a second.
func pace(began time.Time, sent uint64, rate int) {
	if rate > 0 {
		time.Sleep(time.Until(began.Add(time.Duration(sent) * time.Second / time.Duration(rate))))
	}
}
