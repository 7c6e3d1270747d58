// Command reconciler-boot starts reconciler: the version in use, or the best
// one that is there. It is what a unit names, and no upgrade replaces it. It
// counts the starts of a version that is being tried and puts back the former
// one after too many, so that what goes back is not what has to be gone back
// from.
//
//	RECONCILER_ROOT  the directory of versions and latest (/usr/local/lib/reconciler)
package main

import (
	"cmp"
	"fmt"
	"os"
	"syscall"

	"reconciler/internal/release"
)

const (
	ownRoot   = "/usr/local/lib/reconciler"
	installed = "/usr/bin/reconciler"
	program   = "reconciler"

	exitInternal = 70 // as of reconciler
)

func main() {
	root := cmp.Or(os.Getenv("RECONCILER_ROOT"), ownRoot)
	candidates, err := release.At(root).Boot(program)
	if err != nil {
		fmt.Fprintf(os.Stderr, "reconciler-boot: %v\n", err)
	}
	for _, path := range append(candidates, installed) {
		err := syscall.Exec(path, append([]string{path}, os.Args[1:]...), os.Environ())
		fmt.Fprintf(os.Stderr, "reconciler-boot: start %s: %v\n", path, err)
	}
	os.Exit(exitInternal)
}
