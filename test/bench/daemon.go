package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	repairs   = 50 // each of another address: a second loss of one soon after is held for a fight
	startTime = 15 * time.Second
	idleTime  = 3 * time.Second

	// treeDir lies in a directory of its own: what the daemon writes beside
	// must not raise events of the directory that it watches.
	treeDir = "source/tree"
)

// daemon measures the real daemon on a small host, in a namespace with a name:
// the time from the loss of an address to its return, as events tell it, and
// the memory it takes when idle.
func (b *bench) daemon(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "reconciler-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "reconciler")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "reconciler/cmd/reconciler").CombinedOutput(); err != nil {
		return fmt.Errorf("build the daemon: %w: %s", err, out)
	}
	netns := fmt.Sprintf("bench-%d", os.Getpid())
	if out, err := exec.CommandContext(ctx, "ip", "netns", "add", netns).CombinedOutput(); err != nil {
		return fmt.Errorf("make namespace %s: %w: %s", netns, err, out)
	}
	defer func() { _ = exec.Command("ip", "netns", "delete", netns).Run() }()
	if err := writeTree(dir); err != nil {
		return err
	}
	cmd, err := startDaemon(binary, dir, netns)
	if err != nil {
		return err
	}
	defer stopDaemon(cmd)
	if err := inNamed(netns, func() error { return b.repair(ctx, filepath.Join(dir, "daemon.log")) }); err != nil {
		return err
	}
	time.Sleep(idleTime)
	return b.memory(cmd.Process.Pid)
}

// writeTree declares a bridge with addresses and a few routes.
func writeTree(dir string) error {
	var s strings.Builder
	s.WriteString("version: 1\ninterfaces:\n  lo: {state: up}\n  br0:\n    kind: bridge\n    addresses:\n      - 192.0.2.1/24\n")
	for i := range repairs {
		fmt.Fprintf(&s, "      - %s\n", nth("10.0.0.0/32", i))
	}
	s.WriteString("routes:\n")
	for i := range 20 {
		fmt.Fprintf(&s, "  - {to: %s, via: %s, dev: br0}\n", nth("20.0.0.0/24", i), gateway)
	}
	tree := filepath.Join(dir, treeDir)
	return firstOf(os.MkdirAll(tree, 0o755), os.WriteFile(filepath.Join(tree, "net.yaml"), []byte(s.String()), 0o644))
}

func startDaemon(binary, dir, netns string) (*exec.Cmd, error) {
	agent := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(agent, []byte("version: 1\n"), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "daemon.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(binary, "run", "--dir", filepath.Join(dir, treeDir), "--netns", netns, "--agent-config", agent,
		"--state-dir", filepath.Join(dir, "state"), "--socket", filepath.Join(dir, "socket"), "--metrics", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, cmd.Start()
}

func stopDaemon(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait()
}

// inNamed runs f on a thread in a named namespace.
func inNamed(netns string, f func() error) error {
	return onHost(func(*host) error {
		handle, err := os.Open("/run/netns/" + netns)
		if err != nil {
			return err
		}
		defer handle.Close()
		if err := unix.Setns(int(handle.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", netns, err)
		}
		return f()
	})
}

func (b *bench) repair(ctx context.Context, log string) error {
	index, err := awaitAddresses(ctx, repairs+1)
	if err != nil {
		text, _ := os.ReadFile(log)
		return fmt.Errorf("%w; the daemon says:\n%s", err, text)
	}
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.close()
	events, err := dial()
	if err != nil {
		return err
	}
	defer events.close()
	if err := events.subscribe(unix.RTNLGRP_IPV4_IFADDR); err != nil {
		return err
	}
	var times []time.Duration
	for i := range repairs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d, err := lose(c, events, index, nth("10.0.0.0/32", i))
		if err != nil {
			return fmt.Errorf("lose address %d: %w", i, err)
		}
		times = append(times, d)
		time.Sleep(20 * time.Millisecond) // a loss on its own, not a storm
	}
	const most = 5 * time.Millisecond
	b.row(row{
		load: "daemon on a small host", measure: "repair of a lost address",
		value:  fmt.Sprintf("p50 %s, p95 %s", short(median(times)), short(quantile(times, 0.95))),
		target: "≤ " + short(most), met: median(times) <= most,
	})
	return nil
}

// lose deletes an address and waits for the event of its return. The clock
// starts before the request.
func lose(c, events *client, index int, p netip.Prefix) (time.Duration, error) {
	start := time.Now()
	if err := c.do(func(b *batch) { b.deleteAddress(uint32(index), p) }); err != nil {
		return 0, err
	}
	for back := false; !back; {
		err := events.read(func(m message) {
			back = back || m.kind == unix.RTM_NEWADDR && strings.Contains(string(m.body), string(p.Addr().AsSlice()))
		})
		if err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// awaitAddresses waits for the daemon's first work and returns br0's index.
func awaitAddresses(ctx context.Context, least int) (int, error) {
	for start := time.Now(); time.Since(start) < startTime; time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		link, err := net.InterfaceByName("br0")
		if err != nil {
			continue
		}
		if addrs, err := link.Addrs(); err == nil && len(addrs) >= least {
			return link.Index, nil
		}
	}
	return 0, errors.New("the daemon does nothing")
}

func (b *bench) memory(pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	mib := func(field string) (float64, error) {
		_, rest, ok := strings.Cut(string(text), field+":")
		words := strings.Fields(rest)
		if !ok || len(words) == 0 {
			return 0, fmt.Errorf("read memory: no %s", field)
		}
		kib, err := strconv.ParseFloat(words[0], 64)
		return kib / 1024, err
	}
	all, err := mib("VmRSS")
	own, ownErr := mib("RssAnon")
	if err := firstOf(err, ownErr); err != nil {
		return err
	}
	b.row(row{
		load: "daemon on a small host", measure: "memory when idle",
		value: fmt.Sprintf("%.0f MiB RSS, %.0f its own", all, own),
	})
	return nil
}
