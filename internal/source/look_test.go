package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLookReturnsAfterTheDelivery(t *testing.T) {
	root := t.TempDir()
	src := NewDir(root, DirOptions{Poll: time.Hour})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	trees, done := make(chan Tree, 10), make(chan error, 1)
	go func() { done <- src.Run(ctx, func(tree Tree) { trees <- tree }, func(error) {}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	look := src.(Looker).Look
	if err := look(ctx); !errors.Is(err, ErrEmpty) {
		t.Errorf("a look at an empty directory says %v, want ErrEmpty", err)
	}
	for _, content := range []string{"version: 1\n", "version: 1 # again\n"} {
		if err := os.WriteFile(filepath.Join(root, "net.yaml"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := look(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case tree := <-trees:
			if string(tree.Files["net.yaml"]) != content {
				t.Errorf("delivered %q, want %q", tree.Files["net.yaml"], content)
			}
		default:
			t.Fatal("the look returned before the tree was delivered")
		}
	}
	if err := look(ctx); err != nil || len(trees) > 0 {
		t.Errorf("a look at what is known says %v and delivers %d trees", err, len(trees))
	}
	cancel()
	if err := look(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a look after the end says %v", err)
	}
}
