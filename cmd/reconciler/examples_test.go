package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reconciler/internal/source"
	"reconciler/internal/strict"
	"reconciler/internal/testns"
)

// TestExamplesOfChains checks each example as users do, and that what is
// checked is the object, too.
func TestExamplesOfChains(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/chains/*/chain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 3 {
		t.Errorf("found only %d examples", len(dirs))
	}
	for _, name := range dirs {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, []byte("# yaml-language-server: $schema=../../../schemas/reconciler.schema.json\n")) {
				t.Error("it does not begin with the line that names its schema")
			}
			tree, err := source.ReadDir(filepath.Dir(name))
			if err != nil {
				t.Fatal(err)
			}
			if faults := checkTree(tree, checkOptions{}); len(faults) > 0 {
				t.Errorf("faults: %v", faults)
			}
			for file := range tree.Files {
				if filepath.Ext(file) == ".o" {
					tree.Files[file] = []byte("no object")
				}
			}
			faults := checkTree(tree, checkOptions{})
			if !slices.ContainsFunc(faults, func(f *strict.Fault) bool { return f.Code == "bad-object" }) {
				t.Errorf("an object was spoilt, and the faults are %v", faults)
			}
		})
	}
}

// TestExamplesOfVIPs checks each example as users do, and applies it on a host
// that has its interface.
func TestExamplesOfVIPs(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/vips/*/vips.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 3 {
		t.Errorf("found only %d examples", len(dirs))
	}
	program := buildProgram(t)
	for _, name := range dirs {
		dir := filepath.Dir(name)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, []byte("# yaml-language-server: $schema=../../../schemas/reconciler.schema.json\n")) {
				t.Error("it does not begin with the line that names its schema")
			}
			h := &failHost{T: t, program: program, ns: testns.New(t), state: t.TempDir()}
			h.ns.IP("link", "add", "p0", "type", "veth", "peer", "name", "p1")
			h.ns.IP("link", "set", "p0", "up")
			h.ns.IP("link", "set", "p1", "up")
			h.ns.IP("address", "add", "10.0.0.1/24", "dev", "p0")
			h.ns.IP("address", "add", "2001:db8::1/64", "dev", "p0", "nodad")
			h.mustRun("", exitOK, "check", "--fail-on=warning", dir)
			h.mustRun("", exitOK, "apply", dir)
			h.mustRun("", exitOK, "diff", dir)
			h.mustRun("", exitOK, "get", "vips")
			if vip := "www  ipv4  198.51.100.80  tcp/"; !strings.HasPrefix(string(h.last), vip) {
				t.Errorf("want %q at the beginning of:\n%s", vip, h.last)
			}
			h.mustRun("", exitOK, "detach", "--yes")
			if strings.Contains(string(h.last), "Stays") {
				t.Errorf("pins of the balancer stay:\n%s", h.last)
			}
		})
	}
}

// TestContentsAreChecked is that check holds what maps are to hold against the
// object of the tree, each fault at its place.
func TestContentsAreChecked(t *testing.T) {
	object, err := os.ReadFile("../../examples/chains/ratelimit/ratelimit.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	for maps, want := range map[string]string{
		`limits: {entries: [{key: 53, value: 5}]}`:                                         "",
		`limits: {entries: [{key: 53, value: x}]}`:                                         "value of key 53",
		`limits: {entries: [{key: 70000, value: 5}]}`:                                      "key 70000",
		`limits: {entries: [{key: 53, value: 5}, {key: 0x35, value: 6}]}`:                  "another entry has the same key",
		`limits: {max-entries: 1, entries: [{key: 53, value: 5}, {key: 54, value: 6}]}`:    "room for 1 entries, and 2 are declared",
		`limits: {key-size: 4, entries: [{key: 53, value: 5}]}`:                            "key-size: 4",
		`limts: {entries: [{key: 53, value: 5}]}`:                                          "no map limts",
		`limits: {max-entries: 2000, entries: [{key: 53, value: 5}, {key: 54, value: 6}]}`: "",
		`limits: {mode: exact, entries: []}`:                                               "",
	} {
		text := "version: 1\nprograms:\n  limit:\n    object: {file: limit.o}\n    maps:\n      " + maps + "\nchains: {p0: {xdp-ingress: {programs: [limit]}}}\n"
		faults := checkTree(source.Tree{Files: map[string][]byte{"net.yaml": []byte(text), "limit.o": object}}, checkOptions{})
		switch {
		case want == "" && len(faults) == 0:
		case want != "" && len(faults) == 1 && faults[0].Line == 6 && strings.Contains(faults[0].Error(), want):
		default:
			t.Errorf("%s: faults %v, want one at line 6 of %q", maps, faults, want)
		}
	}
}
