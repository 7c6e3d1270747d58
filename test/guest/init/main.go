// Init is the first process of a guest: it loads modules, runs tests, says so
// and powers off. In a guest with systemd it is systemd's predecessor, and then
// its service.
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
	first := os.Getpid() == 1
	if first {
		if err := mountAll(); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(script.Path)
	if err != nil {
		return err
	}
	var s script.Script
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if first {
		if err := begin(s); err != nil {
			return err
		}
	}
	for _, t := range s.Tests {
		runTest(t, s.Manager)
	}
	return nil
}

// begin is what the first process does. It does not return where another one
// takes over.
func begin(s script.Script) error {
	for _, m := range s.Modules {
		if err := load(m); err != nil {
			return fmt.Errorf("load %s: %w", m, err)
		}
	}
	if s.Manager == "" {
		return nil
	}
	if err := liftRoot(); err != nil {
		return fmt.Errorf("make / a mount: %w", err)
	}
	return unix.Exec(s.Manager, []string{s.Manager}, nil)
}

// liftRoot puts a mount over the kernel's first root, which has no parent:
// services with a root of their own could not leave it.
func liftRoot() error {
	const at = "/sysroot"
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/", at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := os.Chdir(at); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

func mountAll() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"},
		{"sysfs", "/sys"},
		{"bpf", "/sys/fs/bpf"},
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
func runTest(t script.Test, manager string) {
	kind := "1"
	if manager != "" {
		kind = "systemd"
	}
	cmd := exec.Command(t.Binary, "-test.run", t.Run, "-test.v", "-test.timeout", "6m")
	cmd.Dir = t.Dir
	cmd.Env = []string{
		"CI=true", "RECONCILER_GUEST=" + kind,
		"PATH=/bin", "HOME=/root", "TMPDIR=/tmp", "LD_LIBRARY_PATH=/lib64",
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	fmt.Println("=== BINARY", t.Binary)
	if err := cmd.Run(); err != nil {
		fmt.Println("--- FAIL:", t.Binary, err)
	}
}
