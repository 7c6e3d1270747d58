package plane

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

// TestPackets runs the program on each case of testdata/packets. A file is
//
//	== world
//	what is the case in all of its cases: see world
//
//	== name of a case
//	what else is the case
//	> the frame that comes, a line a header: see encode
//	< what becomes of it: PASS, DROP, TX or REDIRECT
//	< the frame then; where there is none and it passes, it must not have changed
//	+ each counter that rises, and each flow that is put into the table
func TestPackets(t *testing.T) { packets(t) }

// TestGuestPackets is the same, for kernels in guests.
func TestGuestPackets(t *testing.T) { packets(t) }

// packetCase is one of a file.
type packetCase struct {
	name                   string
	world, in, out, counts []string
	verdict                string
}

func packets(t *testing.T) {
	p := open(t, small())
	program := load(t, p)
	files, err := filepath.Glob("testdata/packets/*.txt")
	must(t, err)
	cases := 0
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			shared, all := readCases(t, f)
			cases += len(all)
			for _, c := range all {
				t.Run(c.name, func(t *testing.T) { runCase(t, &world{Plane: p}, program, shared, c) })
			}
		})
	}
	if cases < 80 {
		t.Errorf("%d cases; there are at least 80", cases)
	}
}

func readCases(t *testing.T, file string) (shared []string, cases []packetCase) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	return parseCases(t, file, string(text))
}

func parseCases(t testing.TB, file, text string) (shared []string, cases []packetCase) {
	t.Helper()
	var c *packetCase
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		mark, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch {
		case line == "" || mark == "#":
		case line == "== world":
			c = &packetCase{}
		case mark == "==":
			if len(cases) == 0 && c != nil {
				shared = c.world
			}
			cases = append(cases, packetCase{name: rest})
			c = &cases[len(cases)-1]
		case c == nil:
			t.Fatalf("%s:%d: a line before the first ==", file, n+1)
		case mark == ">":
			c.in = append(c.in, rest)
		case mark == "<" && c.verdict == "":
			c.verdict = rest
		case mark == "<":
			c.out = append(c.out, rest)
		case mark == "+":
			c.counts = append(c.counts, rest)
		default:
			c.world = append(c.world, line)
		}
	}
	return shared, cases
}

func runCase(t *testing.T, w *world, program *ebpf.Program, shared []string, c packetCase) {
	w.reset(t)
	w.fillIn(t, append(slices.Clone(shared), c.world...))
	in, err := encode(c.in)
	must(t, err)
	before := w.table(t)
	verdict, out := w.send(t, program, in)
	if verdict != c.verdict {
		t.Errorf("verdict %s, want %s", verdict, c.verdict)
	}
	counts := append(w.rose(t), newFlows(before, w.table(t))...)
	slices.Sort(c.counts)
	slices.Sort(counts)
	if d := cmp.Diff(c.counts, counts); d != "" {
		t.Errorf("what rose (- want, + got):\n%s", d)
	}
	if verdict == "DROP" {
		return
	}
	want := in
	if len(c.out) > 0 {
		want, err = encode(c.out)
		must(t, err)
	}
	compareFrames(t, want, out)
}

// compareFrames compares bytes, and prints headers.
func compareFrames(t *testing.T, want, got []byte) {
	t.Helper()
	if again, err := encode(decode(got)); err != nil || !bytes.Equal(again, got) {
		t.Errorf("this frame is not told by its text: %x\n%s\n%x, %v", got, strings.Join(decode(got), "\n"), again, err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("frame (- want, + got):\n%s", cmp.Diff(decode(want), decode(got)))
	}
}

// newFlows says which were put into the table, and which were seen again.
func newFlows(before, after map[string]time.Duration) (lines []string) {
	for line, seen := range after {
		was, known := before[line]
		if !known {
			lines = append(lines, line)
		} else if was != seen {
			lines = append(lines, "seen "+line)
		}
	}
	return lines
}

// send has the program look at a frame.
func (w *world) send(t testing.TB, program *ebpf.Program, frame []byte) (verdict string, out []byte) {
	t.Helper()
	out = make([]byte, len(frame)+256)
	opts := ebpf.RunOptions{Data: frame, DataOut: out}
	code, err := program.Run(&opts)
	if err != nil {
		t.Fatalf("run the program: %v", err)
	}
	names := []string{"ABORTED", "DROP", "PASS", "TX", "REDIRECT"}
	if int(code) >= len(names) {
		return fmt.Sprint(code), opts.DataOut
	}
	return names[code], opts.DataOut
}
