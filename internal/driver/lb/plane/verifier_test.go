package plane

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// mostVerified is how many instructions a kernel may have to walk to take the
// program: what it costs to load, and far from the million that it is allowed.
const mostVerified = 250_000

// TestGuestVerifier has the verifier of this kernel judge the program, for one
// buffer and for several.
func TestGuestVerifier(t *testing.T) { verifier(t) }

// TestVerifier is the same for this kernel.
func TestVerifier(t *testing.T) { verifier(t) }

func verifier(t *testing.T) {
	p := open(t, small())
	for _, frags := range []bool{false, true} {
		spec := programOf(t, p)
		if frags {
			spec.Programs[Program].Flags |= 1 << 5 // BPF_F_XDP_HAS_FRAGS
		}
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
			MapReplacements: p.maps, Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
		})
		if err != nil {
			t.Fatalf("several buffers %v: %+v", frags, err)
		}
		log := coll.Programs[Program].VerifierLog
		coll.Close()
		n := 0
		if _, line, found := strings.Cut(log, "processed "); found {
			if _, err := fmt.Sscan(line, &n); err != nil {
				t.Error(err)
			}
		}
		t.Logf("several buffers %v: the verifier walks %d instructions", frags, n)
		if n == 0 || n > mostVerified {
			t.Errorf("the verifier walks %d instructions, and may %d:\n%s", n, mostVerified, log)
		}
	}
}
