// Command impostor is a next version of reconciler that is as bad as its build
// says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"reconciler/internal/handover"
)

// Set by the linker.
var (
	version = "v0.0.0"
	fault   = "" // see main and run
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
	case "exits-late":
		time.Sleep(time.Second)
		os.Exit(4)
	case "kills-at-start":
		kill()
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// kill kills the former process, and ends.
func kill() {
	_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
	os.Exit(7)
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
		switch fault {
		case "changes":
			return []string{"- route 198.51.100.0/24"}, nil
		case "kills-at-look":
			kill()
		}
		return nil, nil
	}
	says := version
	if fault == "lies" {
		says = "v9.9.9"
	}
	if err := in.Conn.TakeOver(context.Background(), says, filepath.Base(filepath.Dir(own)), plan); err != nil {
		return err
	}
	switch fault {
	case "dies-when-let":
		os.Exit(5)
	case "silent":
		time.Sleep(time.Hour)
	case "kills-when-let":
		kill()
	case "kills-later":
		time.AfterFunc(300*time.Millisecond, kill)
	}
	if fault == "dies-later" {
		time.AfterFunc(500*time.Millisecond, func() { os.Exit(6) })
	}
	return in.Conn.Serve(context.Background(), func(context.Context) error { return nil })
}
