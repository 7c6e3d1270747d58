// Command reconciler makes the network dataplane of a Linux host look like the
// YAML in a Git repository or a directory, and keeps it so.
//
// This package owns flags, exit statuses and output. It decides nothing about
// the host: each command is a prefix of the line that internal/engine runs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"reconciler/internal/shim"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the whole program; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "internal error: %v\n%s", p, debug.Stack())
			status = exitInternal
		}
	}()
	if len(args) == 1 && args[0] == shim.Command {
		fmt.Fprintln(stderr, shim.Exec())
		return exitInternal
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c := &cli{stdout: stdout, stderr: stderr}
	return c.execute(ctx, args)
}
