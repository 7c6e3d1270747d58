// Command impostor is a next version of reconciler that is as bad as its build
// says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"reconciler/internal/handover"
)

// Set by the linker.
var (
	version = "v0.0.0"
	fault   = "" // exits, hangs, changes, dies-when-let, dies-later, silent
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println("reconciler", version)
		return
	}
	switch fault {
	case "exits":
		os.Exit(3)
	case "hangs":
		time.Sleep(time.Hour)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	in, err := handover.Inherit()
	if err != nil {
		return err
	}
	if in == nil {
		return errors.New("nobody hands over")
	}
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	plan := func(context.Context, string) ([]string, error) {
		if fault == "changes" {
			return []string{"- route 198.51.100.0/24"}, nil
		}
		return nil, nil
	}
	if err := in.Conn.TakeOver(context.Background(), version, filepath.Base(filepath.Dir(own)), plan); err != nil {
		return err
	}
	if fault == "dies-when-let" {
		os.Exit(5)
	}
	if fault == "dies-later" {
		time.AfterFunc(500*time.Millisecond, func() { os.Exit(6) })
	}
	return in.Conn.Serve(context.Background(), func(context.Context) error { return nil })
}
