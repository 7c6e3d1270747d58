// Verdict reads the stream of `go test -json` and prints what a person wants
// of it: one line a package, the output of what failed, the slowest tests. In
// CI (CI=true) a skipped test is a failure, unless its name says that a guest
// runs it: TestGuest…, TestSystemd….
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // in place of Package, of what does not build
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

func (e event) name() string { return strings.TrimSpace(e.ImportPath + e.Package + " " + e.Test) }

// slowest is how many of the slowest tests are listed.
const slowest = 8

// verdict is what was seen so far.
type verdict struct {
	out     io.Writer
	output  map[string][]string // by name, of what still runs
	failed  []string
	skipped []string
	passed  []event
}

func main() {
	if err := run(os.Stdin, os.Stdout, os.Getenv("CI") == "true"); err != nil {
		fmt.Fprintln(os.Stderr, "verdict:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, ci bool) error {
	v := &verdict{out: out, output: make(map[string][]string)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // what a compiler says on its own
			continue
		}
		v.see(e)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return v.close(ci)
}

func (v *verdict) see(e event) {
	switch e.Action {
	case "output", "build-output":
		v.output[e.name()] = append(v.output[e.name()], e.Output)
		return
	case "fail", "build-fail":
		v.failed = append(v.failed, e.name())
		fmt.Fprintf(v.out, "FAIL  %s  %.1fs\n%s", e.name(), e.Elapsed, strings.Join(v.output[e.name()], ""))
	case "skip":
		if e.Test != "" {
			v.skipped = append(v.skipped, e.name())
		}
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(v.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
		} else {
			v.passed = append(v.passed, e)
		}
	default:
		return
	}
	delete(v.output, e.name())
}

// close sums up. What still runs when the stream ends was killed.
func (v *verdict) close(ci bool) error {
	slices.SortFunc(v.passed, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, e := range v.passed[:min(slowest, len(v.passed))] {
		fmt.Fprintf(v.out, "slow  %6.1fs  %s\n", e.Elapsed, e.name())
	}
	var refused []string
	for _, name := range v.skipped {
		fmt.Fprintf(v.out, "skip  %s\n", name)
		if !strings.Contains(name, " TestGuest") && !strings.Contains(name, " TestSystemd") {
			refused = append(refused, name)
		}
	}
	fmt.Fprintf(v.out, "%d passed, %d failed, %d skipped\n", len(v.passed), len(v.failed), len(v.skipped))
	switch {
	case len(v.failed) > 0:
		return fmt.Errorf("%d failed", len(v.failed))
	case len(v.passed) == 0:
		return fmt.Errorf("no test ran")
	case ci && len(refused) > 0:
		return fmt.Errorf("skipped in CI: %s", strings.Join(refused, ", "))
	}
	return nil
}
