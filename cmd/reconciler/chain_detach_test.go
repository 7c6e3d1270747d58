package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler/internal/state"
	"reconciler/internal/testns"
)

// TestDetachPins removes the pins of maps that are ours, and names those of
// others and those that an earlier tree has left.
func TestDetachPins(t *testing.T) {
	t.Parallel()
	testns.NeedRoot(t)
	h := &failHost{T: t, program: buildProgram(t), ns: testns.New(t), state: t.TempDir()}
	dropPins(t, h.ns)
	object, err := filepath.Abs(verdictObject)
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	apply := func(maps string) {
		t.Helper()
		text := fmt.Sprintf("version: 1\ninterfaces:\n  v0: {kind: veth, veth: {peer: v1}}\nprograms:\n  a: {object: {file: %s}, entry: plain, maps: {%s}}\n"+
			"chains:\n  v0: {xdp-ingress: {programs: [a]}}\n", object, maps)
		if err := state.WriteFile(filepath.Join(tree, "net.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h.mustRun("", 0, "apply", tree)
	}
	apply("settings_of_the_program: {owner: external, pin: left}")
	apply("seen: {pin: ours}, settings_of_the_program: {owner: external, pin: theirs/map}")
	for _, args := range [][]string{{"detach"}, {"detach", "--yes"}} {
		h.run("", args...)
		said := string(h.last)
		for pin, stays := range map[string]bool{"left": true, "ours": false, "theirs/map": true} {
			path := filepath.Join(pinsOf(t, h.ns), "maps", pin)
			if told := strings.Contains(said, "Stays: "+path); told != stays {
				t.Errorf("%v: %s stays: %t, want %t\n%s", args, pin, told, stays, said)
			}
			if _, err := os.Stat(path); len(args) > 1 && (err == nil) != stays {
				t.Errorf("%s: %v, stays: %t", pin, err, stays)
			}
		}
	}
}
