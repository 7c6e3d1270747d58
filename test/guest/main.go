// Guest runs tests on a kernel of Debian's, under qemu without KVM: those that
// want kinds of link which the kernel at hand has not.
//
//	go run ./test/guest -kernel 6.12
//	go run ./test/guest -systemd
//	go run ./test/guest -cuts 3
//
// It runs every test whose name begins with TestGuest, wherever it stands, and
// all tests of the netlink driver. A test for guests skips unless
// RECONCILER_GUEST=1, and there it must run: in the guest a skip is a failure.
// With -systemd the guest is a small Debian that systemd boots, and it runs the
// tests whose name begins with TestSystemd. With -cuts the guest upgrades a tool on
// a disk, again and again, and its power is cut so often.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

// Patterns of the tests that are for guests, and for guests with systemd.
const (
	defaultRun = "^TestGuest"
	systemdRun = "^TestSystemd"
)

func main() {
	kernel := flag.String("kernel", "6.1", "version of Debian's kernel: 6.1 or 6.12")
	systemd := flag.Bool("systemd", false, "boot systemd and test the unit under it")
	cuts := flag.Int("cuts", 0, "cut the power of a guest that upgrades so often, in place of tests")
	run := flag.String("run", "", "pattern of the tests to run; by default all that are for the guest")
	timeout := flag.Duration("timeout", 15*time.Minute, "for the guest, from power on to power off")
	verbose := flag.Bool("v", false, "print all that the guest's console says")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	g := guest{Version: *kernel, Run: *run, Systemd: *systemd, Cuts: *cuts, Timeout: *timeout, Verbose: *verbose}
	if err := g.test(ctx, ".cache/guest"); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

// guest is one run of one kernel.
type guest struct {
	Version string
	Run     string // "" for the default
	Systemd bool
	Cuts    int    // of its power
	Order   string // for what runs in it, by the kernel's command line
	Timeout time.Duration
	Verbose bool
}

// test fetches the kernel, builds what runs in it, boots it and judges what it
// says. cache is kept from run to run.
func (g guest) test(ctx context.Context, cache string) error {
	start := time.Now()
	k, err := freshly(ctx, func() (kernel, error) { return fetchKernel(ctx, g.Version, cache) })
	if err != nil {
		return fmt.Errorf("fetch kernel %s: %w", g.Version, err)
	}
	modules, err := k.closure(wanted)
	if err != nil {
		return fmt.Errorf("find modules of %s: %w", k.release, err)
	}
	work, err := os.MkdirTemp("", "reconciler-guest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	initrd := filepath.Join(work, "initrd")
	packages, err := g.writeInitrd(ctx, initrd, work, cache, modules)
	if err != nil {
		return fmt.Errorf("build initrd: %w", err)
	}
	fmt.Printf("guest %s: %d packages built in %.1fs\n", g.name(k), packages, time.Since(start).Seconds())
	booted := time.Now()
	if g.Cuts > 0 {
		return g.cutPower(ctx, k.image, initrd, filepath.Join(work, "disk"))
	}
	tests, err := g.boot(ctx, k.image, initrd)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", k.release, err)
	}
	fmt.Printf("guest %s: %d tests passed in %.1fs\n", g.name(k), tests, time.Since(booted).Seconds())
	return nil
}

// name is what the guest is called in messages.
func (g guest) name(k kernel) string {
	if g.Systemd {
		return k.release + " with systemd"
	}
	return k.release
}
