package state

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// playing makes this test binary play another process: "lock" holds the lock
// of a directory, "mutator" a name in the network namespace, "write" replaces a file for ever.
const playing = "STATE_TEST_PLAYS"

func TestMain(m *testing.M) {
	switch os.Getenv(playing) {
	case "":
		goleak.VerifyTestMain(m)
	case "lock":
		holdLock(os.Args[1])
	case "mutator":
		holdName(os.Args[1])
	case "write":
		writeForEver(os.Args[1])
	}
}

func holdLock(base string) {
	d, err := open(base, testIdentity)
	if err != nil {
		panic(err)
	}
	d.mutator = testMutator(base)
	if _, err := d.Lock(); err != nil {
		panic(err)
	}
	fmt.Println("locked")
	time.Sleep(time.Hour)
}

// testMutator keeps a test from meeting what else runs on the host.
func testMutator(base string) string { return "reconciler/test" + base }

func holdName(name string) {
	if _, err := (&Dir{mutator: name}).claimNamespace(); err != nil {
		panic(err)
	}
	fmt.Println("claimed")
	time.Sleep(time.Hour)
}

// letters is a content that tells whether it is whole.
func letters(i int) []byte { return bytes.Repeat([]byte{byte('a' + i%26)}, 64<<10) }

func writeForEver(dir string) {
	for i := 0; ; i++ {
		if err := WriteFile(filepath.Join(dir, "file"), letters(i), 0o600); err != nil {
			panic(err)
		}
		if i == 0 {
			fmt.Println("writing")
		}
	}
}

// play starts another process and returns once it has said its first line.
func play(t *testing.T, role, arg string) *exec.Cmd {
	t.Helper()
	return playIn(t, exec.Command(os.Args[0], arg), role)
}

// playIn is play in a process that the caller prepared.
func playIn(t *testing.T, cmd *exec.Cmd, role string) *exec.Cmd {
	t.Helper()
	cmd.Env = append(os.Environ(), playing+"="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatalf("%s process: %v", role, err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
