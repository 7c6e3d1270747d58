package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
	"reconciler/internal/shim"
)

// preflightOutput is how much of what a preflight says is kept, in bytes.
const preflightOutput = 64 << 10

// preflightLimits is what a preflight may use.
func preflightLimits() []shim.Limit {
	return []shim.Limit{
		{Resource: unix.RLIMIT_CPU, Most: 30},         // seconds
		{Resource: unix.RLIMIT_DATA, Most: 1 << 30},   // bytes of memory; what a runtime only reserves does not count
		{Resource: unix.RLIMIT_FSIZE, Most: 16 << 20}, // bytes of a file
		{Resource: unix.RLIMIT_NOFILE, Most: 256},
		{Resource: unix.RLIMIT_CORE, Most: 0},
	}
}

// preflight has a version print what it is and check its configuration, in a
// child that has few rights and little of everything.
func preflight(ctx context.Context, tree string, r resource.Release) error {
	if len(r.Preflight.Version) == 0 && len(r.Preflight.Check) == 0 {
		return nil
	}
	program := filepath.Join(tree, r.Command)
	if info, err := os.Stat(program); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("there is no %s in the archive", r.Command)
	}
	run := func(args []string) ([]byte, error) {
		words := make([]string, len(args))
		for i, a := range args {
			words[i] = strings.ReplaceAll(a, "{dir}", tree)
		}
		return child{program: program, args: words, dir: tree, timeout: r.Preflight.Timeout}.run(ctx)
	}
	if len(r.Preflight.Version) > 0 {
		out, err := run(r.Preflight.Version)
		if err != nil {
			return fmt.Errorf("ask for its version: %w", err)
		}
		if !names(string(out), r.Version) {
			return fmt.Errorf("it says that it is %.100q, and not version %s", strings.TrimSpace(string(out)), r.Version)
		}
	}
	if len(r.Preflight.Check) > 0 {
		if out, err := run(r.Preflight.Check); err != nil {
			return fmt.Errorf("check its configuration: %w: %.200q", err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// names reports that a text has the version as a word, with or without its v.
func names(text, version string) bool {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t\r\n,;()\"'/", c) }) {
		if strings.TrimPrefix(word, "v") == strings.TrimPrefix(version, "v") {
			return true
		}
	}
	return false
}

// child is a program that is run for what it says.
type child struct {
	program string
	args    []string
	dir     string
	timeout time.Duration
}

func (c child) run(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	s, err := shim.As("nobody")
	if err != nil {
		return nil, fmt.Errorf("find an unprivileged user: %w", err)
	}
	if os.Geteuid() != 0 {
		s.UID, s.GID = os.Geteuid(), os.Getegid()
	}
	s.Argv, s.Dir, s.Limits = append([]string{c.program}, c.args...), c.dir, preflightLimits()
	out := &limited{left: preflightOutput}
	err = s.Run(ctx, out)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not done within %s", c.timeout)
	}
	return out.kept.Bytes(), err
}

// limited keeps the first bytes of what is written.
type limited struct {
	kept bytes.Buffer // not embedded: its ReadFrom knows no bound
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.kept.Write(p[:n])
	return len(p), nil
}
