package main

import (
	"slices"
	"strings"
	"testing"

	"reconciler/internal/testns"
)

// TestWholeLanguage applies the example that has everything. Left undone is
// what the kernel or this build refuses, and nothing because of it.
func TestWholeLanguage(t *testing.T) {
	h := &failHost{T: t, program: buildProgram(t), ns: testns.New(t), state: t.TempDir()}
	const tree = "../../internal/desired/testdata/ok"
	h.mustRun("", 0, "check", tree)
	if !strings.Contains(string(h.last), "scope-mismatch") {
		t.Errorf("check does not warn of the scope:\n%s", h.last)
	}
	h.mustRun("", applyFailed, "apply", tree)
	var said []string
	for line := range strings.Lines(string(h.last)) {
		if strings.HasPrefix(line, "reconciler: ") {
			said = append(said, line)
		}
	}
	const refusal = "interfaces.yaml:24: create address 10.0.0.3/24 dev br0: an address of 10.0.0.0/24 on br0 has another scope: "
	if len(said) != 1 || !strings.Contains(said[0], refusal) {
		t.Errorf("apply said %q, want only the refusal of an address", said)
	}

	h.mustRun("", diffChanges, "diff", tree)
	var left []string
	for line := range strings.Lines(string(h.last)) {
		if strings.HasPrefix(line, "  ") {
			left = append(left, strings.Join(strings.Fields(line), " "))
		}
	}
	want := []string{
		"+ address 10.0.0.3/24 dev br0 scope link interfaces.yaml:24",
		"? optional: interface uplink: this host does not have it interfaces.yaml:11",
		"! unsupported: fdb of vx100: fdb of vx100 is not applied by this build interfaces.yaml:37",
		"! unsupported: offload of uplink: offload of uplink is not applied by this build interfaces.yaml:18",
	}
	if !slices.Equal(left, want) {
		t.Errorf("left undone:\n%s\nwant:\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
}
