package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"reconciler/internal/testns"
)

func TestEveryClaimHolds(t *testing.T) {
	testns.NeedRoot(t)
	binary := filepath.Join(t.TempDir(), "reconciler")
	if out, err := exec.Command("go", "build", "-o", binary, "reconciler/cmd/reconciler").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var out bytes.Buffer
	start := time.Now()
	err := Run(t.Context(), Options{Binary: binary, Out: &out, Fast: true})
	t.Logf("%s\n%s", time.Since(start), out.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range scenes() {
		if !strings.Contains(out.String(), "\n✓ "+sc.name) {
			t.Errorf("scene %s is not in the summary", sc.name)
		}
	}
	for l := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colour, and the output is no terminal")
	}
	nothingLeft(t)
}

func TestBrokenBinaryFailsAndCleansUp(t *testing.T) {
	testns.NeedRoot(t)
	var out bytes.Buffer
	err := Run(t.Context(), Options{Binary: "/bin/false", Out: &out, Fast: true})
	if err == nil || !strings.Contains(err.Error(), "push: ") {
		t.Errorf("error %v, want one that names the scene", err)
	}
	nothingLeft(t)
}

func TestInterruptCleansUp(t *testing.T) {
	testns.NeedRoot(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupt := errors.New("interrupted")
	time.AfterFunc(100*time.Millisecond, func() { cancel(interrupt) })
	var out bytes.Buffer
	if err := Run(ctx, Options{Binary: "/bin/false", Out: &out}); err == nil {
		t.Error("no error")
	}
	nothingLeft(t)
}

func nothingLeft(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(fmt.Sprintf("/run/netns/*-%d", os.Getpid()))
	if err != nil || len(left) > 0 {
		t.Errorf("namespaces left: %v %v", left, err)
	}
	left, err = filepath.Glob(filepath.Join(bpffs, "reconciler", "*", "programs", "tenant-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("pins left: %v %v", left, err)
	}
	left, err = filepath.Glob(filepath.Join(os.TempDir(), "reconciler-demo-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("directories left: %v %v", left, err)
	}
}
