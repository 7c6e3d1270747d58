package main

import (
	"os"
	"strings"
	"testing"

	"reconciler/internal/testns"
)

// TestGuestBackends sets up backends behind the kernel's own tunnels, as
// docs/backends.md says.
func TestGuestBackends(t *testing.T) {
	testns.NeedGuest(t)
	play(t, "testdata/guest/backends.txtar")
}

// TestBackendRecipesAreRun wants each command of docs/backends.md in one of the
// scripts that set backends up.
func TestBackendRecipesAreRun(t *testing.T) {
	scripts := read(t, "testdata/backends.txtar") + read(t, "testdata/guest/backends.txtar")
	n := 0
	for _, block := range strings.Split(read(t, "../../docs/backends.md"), "```sh\n")[1:] {
		commands, _, _ := strings.Cut(block, "```")
		for _, command := range strings.Split(strings.TrimSpace(commands), "\n") {
			if strings.HasPrefix(command, "tcpdump") {
				continue // a script cannot wait for what it sees
			}
			n++
			if !strings.Contains(scripts, "exec ip netns exec $NS-far "+command+"\n") {
				t.Errorf("no script runs %q", command)
			}
		}
	}
	if n < 15 {
		t.Errorf("%d commands", n)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
