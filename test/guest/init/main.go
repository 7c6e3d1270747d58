// Init is the first process of a guest: it loads modules, runs tests, says so
// and powers off.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"reconciler/test/guest/script"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("init:", err)
	} else {
		fmt.Println(script.Done)
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("init: power off:", err)
	}
}

func run() error {
	if err := mountAll(); err != nil {
		return err
	}
	text, err := os.ReadFile(script.Path)
	if err != nil {
		return err
	}
	var s script.Script
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	for _, m := range s.Modules {
		if err := load(m); err != nil {
			return fmt.Errorf("load %s: %w", m, err)
		}
	}
	for _, t := range s.Tests {
		runTest(t)
	}
	return nil
}

func mountAll() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"},
		{"sysfs", "/sys"},
		{"devtmpfs", "/dev"},
		{"tmpfs", "/tmp"},
		{"tmpfs", "/run"},
	} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	return nil
}

func load(module string) error {
	f, err := os.Open(module)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// runTest runs a test binary; the host reads its verdict from the console.
func runTest(t script.Test) {
	cmd := exec.Command(t.Binary, "-test.run", t.Run, "-test.v", "-test.timeout", "3m")
	cmd.Dir = t.Dir
	cmd.Env = []string{
		"CI=true", "RECONCILER_GUEST=1",
		"PATH=/bin", "HOME=/root", "TMPDIR=/tmp", "LD_LIBRARY_PATH=/lib64",
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	fmt.Println("=== BINARY", t.Binary)
	if err := cmd.Run(); err != nil {
		fmt.Println("--- FAIL:", t.Binary, err)
	}
}
