package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// underStrace runs a copy of this program with a flag, and returns what strace
// wrote of it: strings in hexadecimal.
func (b *bench) underStrace(ctx context.Context, flag string, options ...string) (string, error) {
	dir, err := os.MkdirTemp("", "reconciler-bench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	trace := filepath.Join(dir, "trace")
	args := append([]string{"-f", "-qq", "-xx", "-o", trace}, append(options, self, flag)...)
	if b.quick {
		args = append(args, "-quick")
	}
	if out, err := exec.CommandContext(ctx, "strace", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("strace: %w: %s", err, out)
	}
	text, err := os.ReadFile(trace)
	return string(text), err
}
