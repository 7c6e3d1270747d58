package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"reconciler/internal/testns"
)

// TestWholeLanguage applies the example that has everything. Left undone is
// what the kernel or this build refuses, and nothing because of it.
func TestWholeLanguage(t *testing.T) {
	h := &failHost{T: t, program: buildProgram(t), ns: testns.New(t), state: t.TempDir()}
	tree := filepath.Join(t.TempDir(), "ok")
	if err := os.CopyFS(tree, os.DirFS("../../internal/desired/testdata/ok")); err != nil {
		t.Fatal(err)
	}
	h.mustRun("", 0, "check", tree)
	// Versions stand where this host has its own.
	if err := os.Remove(filepath.Join(tree, "upgrades.yaml")); err != nil {
		t.Fatal(err)
	}
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
			left = append(left, digest.ReplaceAllString(strings.Join(strings.Fields(line), " "), "#DIGEST:"))
		}
	}
	want := []string{
		"+ address 10.0.0.3/24 dev br0 scope link interfaces.yaml:24",
		"? optional: interface uplink: this host does not have it interfaces.yaml:11",
		"! unsupported: fdb of vx100: fdb of vx100 is not applied by this build interfaces.yaml:37",
		"! unsupported: offload of uplink: offload of uplink is not applied by this build interfaces.yaml:18",
		"! unsupported: probe conn-states: probe conn-states is not applied by this build chains.yaml:39",
		"! not ready: program count@p1: read /usr/local/lib/bpf/count.bpf.o: not fetched chains.yaml:14",
		"! not ready: program count@uplink: read /usr/local/lib/bpf/count.bpf.o: not fetched chains.yaml:14",
		"! not ready: program droplist: read /usr/local/lib/bpf/droplist.bpf.o: open /usr/local/lib/bpf/droplist.bpf.o: no such file or directory chains.yaml:17",
		"! not ready: program ratelimit@p1: read https://repo.example/ratelimiting/v2.1.0/ratelimiting-" + runtime.GOARCH + ".tar.gz: not fetched chains.yaml:3",
		"! not ready: program ratelimit@uplink: read https://repo.example/ratelimiting/v2.1.0/ratelimiting-" + runtime.GOARCH + ".tar.gz: not fetched chains.yaml:3",
		"! not ready: program builtin:lb#DIGEST: waits for program droplist chains.yaml:32", // of the chain of p1
		"! not ready: daemon exporter@p1: read https://repo.example/ratelimiting/v2.1.0/ratelimiting-" + runtime.GOARCH + ".tar.gz: not fetched chains.yaml:42",
		"! not ready: daemon exporter@uplink: read https://repo.example/ratelimiting/v2.1.0/ratelimiting-" + runtime.GOARCH + ".tar.gz: not fetched chains.yaml:42",
	}
	if !slices.Equal(left, want) {
		t.Errorf("left undone:\n%s\nwant:\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
	// VIPs wait for no chain.
	h.mustRun("", 0, "get", "vips")
	for _, vip := range []string{"dns  ipv4  ", "www  ipv4  ", "www  ipv6  "} {
		if !strings.Contains("\n"+string(h.last), "\n"+vip) {
			t.Errorf("want %q in:\n%s", vip, h.last)
		}
	}
}

// digest is that of a program of this build.
var digest = regexp.MustCompile(`#[0-9a-f]{12}:`)
