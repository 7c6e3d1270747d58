package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// freshly tries something that asks apt, and once more with new package lists:
// they may be absent or stale.
func freshly[T any](ctx context.Context, try func() (T, error)) (T, error) {
	got, err := try()
	if err == nil {
		return got, nil
	}
	if upErr := command(ctx, ".", "apt-get", "update", "-qq"); upErr != nil {
		return got, errors.Join(err, upErr)
	}
	return try()
}

// fetch downloads packages and unpacks them as root, unless that is there. It
// appears complete or not at all.
func fetch(ctx context.Context, root string, names ...string) error {
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	download, err := os.MkdirTemp("", "reconciler-deb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(download)
	if err := command(ctx, download, "apt-get", append([]string{"download", "-qq"}, names...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(download, "*.deb"))
	if err != nil || len(debs) != len(names) {
		return fmt.Errorf("apt left %d of %d packages in %s", len(debs), len(names), download)
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	partial := fmt.Sprintf("%s.%d", root, os.Getpid())
	defer os.RemoveAll(partial)
	for _, deb := range debs {
		if err := command(ctx, ".", "dpkg-deb", "-x", deb, partial); err != nil {
			return err
		}
	}
	return os.Rename(partial, root)
}

// command runs a program and puts what it said into the error.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
