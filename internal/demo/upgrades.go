package demo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const upgradeFile = "upgrades.yaml"

// upgradeYAML names a version of reconciler. The demo has but one binary, which
// stands for both: what it prints of itself is not asked.
const upgradeYAML = `version: 1
upgrades:
  reconciler:
    version: %s
    artifact: {url: "file://%s", sha256: "%s"}
    root: %s
    start: {mode: handover}
    preflight: {version: []}
    ready: {timeout: 10s}
    soak: 500ms
`

// offer makes the artifact of a version, and declares it in the clone.
func (w *world) offer(version string, program []byte) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	err = t.WriteHeader(&tar.Header{Name: "reconciler", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = t.Write(program)
	}
	if err := errors.Join(err, t.Close(), z.Close()); err != nil {
		return err
	}
	path := filepath.Join(w.dir, version+".tar.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return err
	}
	return w.repo.put(upgradeFile, fmt.Sprintf(upgradeYAML, version, path, fmt.Sprintf("%x", sha256.Sum256(b.Bytes())), filepath.Join(w.dir, "reconciler")))
}

func sceneUpgrade(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	c, err := w.clients()
	if err != nil {
		return "", 0, err
	}
	took, err := w.upgrade(ctx, s)
	if err == nil {
		err = w.upgradeBadly(ctx, s)
	}
	c.stop()
	t := c.take()
	if err != nil {
		return "", 0, err
	}
	s.say("%d requests through the VIP meanwhile, %d failed.", t.requests(), t.failed)
	return fmt.Sprintf("0 of %d requests failed, bad one left", t.requests()), took, t.demandNone()
}

// upgrade pushes a version that works.
func (w *world) upgrade(ctx context.Context, s *stage) (time.Duration, error) {
	program, err := os.ReadFile(w.daemon.binary)
	if err == nil {
		err = w.offer("v0.2.0", program)
	}
	if err != nil {
		return 0, err
	}
	before := w.daemon.pid()
	took, err := w.change(ctx, s, "reconciler v0.2.0")
	if err != nil {
		return took, err
	}
	if w.daemon.pid() == before {
		return took, errors.New("the same process is at work as before")
	}
	s.say("Process %d has handed over to process %d, and ended.", before, w.daemon.pid())
	return took, nil
}

// upgradeBadly pushes one that does not.
func (w *world) upgradeBadly(ctx context.Context, s *stage) error {
	if err := w.offer("v0.3.0", []byte("#!/bin/sh\nexit 3\n")); err != nil {
		return err
	}
	if _, err := w.preview(ctx, s, "reconciler v0.3.0, which does not work"); err != nil {
		return err
	}
	_, back, err := w.daemon.until(ctx, "v0.3.0 left again", func(r report) bool {
		why, unfit := r.raised("Unfit")
		return unfit && strings.Contains(why, "v0.3.0")
	})
	if err != nil {
		return err
	}
	s.say("Left again %s after the push:", short(back))
	out, err := w.daemon.ask(ctx, "get", "upgrades")
	if err != nil {
		return err
	}
	s.shell("reconciler get upgrades")
	s.show(out)
	return nil
}
