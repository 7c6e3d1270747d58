package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"reconciler/test/guest/script"
)

// Where the guest's cards stand on its PCI bus. Restricted, they lead
// nowhere: neither to this host nor beyond.
const (
	virtioSlot = "10"
	e1000Slot  = "11"
	// The one whose large-receive-offload can be changed; internal/driver/chain
	// looks for it by its driver.
	vmxnet3Slot = "12"
)

// boot runs the guest and returns how many tests passed in it.
func (g guest) boot(ctx context.Context, image, initrd string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	qemu := g.machine(ctx, image, initrd)
	console, err := qemu.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := qemu.Start(); err != nil {
		return 0, err
	}
	c := g.listen(console)
	if err := qemu.Wait(); err != nil && ctx.Err() == nil {
		return 0, fmt.Errorf("qemu: %w", err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return 0, fmt.Errorf("not done after %v, the last line was %q", g.Timeout, c.last)
	}
	return c.passed, c.verdict()
}

// machine is the guest, switched off; its serial line is the output.
func (g guest) machine(ctx context.Context, image, initrd string, more ...string) *exec.Cmd {
	// One processor: an emulated one may run code that another has rewritten
	// since, which the kernel does for each swap of XDP programs, and then dies of
	// a breakpoint that is there no more.
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", append([]string{
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1536",
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-netdev", "user,id=n0,restrict=on", "-device", "virtio-net-pci,netdev=n0,romfile=,addr=" + virtioSlot,
		"-netdev", "user,id=n1,restrict=on", "-device", "e1000,netdev=n1,romfile=,addr=" + e1000Slot,
		"-netdev", "user,id=n2,restrict=on", "-device", "vmxnet3,netdev=n2,romfile=,addr=" + vmxnet3Slot,
		"-kernel", image, "-initrd", initrd,
		"-append", g.commandLine(),
	}, more...)...)
	qemu.Stderr = os.Stderr
	return qemu
}

// commandLine is what the kernel is told. A login, and logind, which wants a
// D-Bus, are of no use to tests. Memory is not zeroed before each use, for
// which an emulated processor takes longer than for all else with a packet.
func (g guest) commandLine() string {
	line := "console=ttyS0 quiet panic=-1 oops=panic init_on_alloc=0 fb_tunnels=none"
	if g.Order != "" {
		line += " " + g.Order
	}
	if g.Systemd {
		line += " systemd.unit=multi-user.target systemd.getty_auto=no systemd.mask=getty.target systemd.mask=systemd-logind.service"
	}
	return line
}

// console is what a guest said.
type console struct {
	passed   int
	failures []string
	done     bool
	last     string
}

// listen reads the console until the guest is off. It prints what tests say,
// or everything if that is asked for.
func (g guest) listen(r io.Reader) console {
	var c console
	testing := g.Verbose
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		testing = testing || strings.HasPrefix(line, "=== BINARY")
		if testing && !strings.HasPrefix(line, "=== RUN") {
			fmt.Println("  " + line)
		}
		c.hear(line)
	}
	if err := lines.Err(); err != nil {
		c.failures = append(c.failures, err.Error())
	}
	return c
}

// hear takes one line, as `go test -v` or the kernel prints it.
func (c *console) hear(line string) {
	if line == "" {
		return
	}
	c.last = line
	switch trimmed := strings.TrimSpace(line); {
	case strings.HasPrefix(line, "--- PASS"):
		c.passed++
	case strings.HasPrefix(trimmed, "--- FAIL"), strings.HasPrefix(trimmed, "--- SKIP"),
		strings.Contains(line, "Kernel panic"), strings.HasPrefix(line, "panic:"), strings.HasPrefix(line, "init:"):
		c.failures = append(c.failures, trimmed)
	case line == script.Done:
		c.done = true
	}
}

func (c *console) verdict() error {
	switch {
	case len(c.failures) > 0:
		return fmt.Errorf("%d failures:\n  %s", len(c.failures), strings.Join(c.failures, "\n  "))
	case !c.done:
		return fmt.Errorf("powered off before its tests were through, the last line was %q", c.last)
	case c.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}
