package main

import (
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"reconciler/test/guest/script"
)

// tools are programs of this host that tests call in the guest.
var tools = []string{"ip", "bridge", "sysctl"}

// systemdPackage is the folder whose tests begin with TestSystemd.
const systemdPackage = "test/guest"

// writeInitrd builds the guest's root, below work first, and returns how many
// packages it holds tests of. What is downloaded for it is kept in cache.
func (g guest) writeInitrd(ctx context.Context, file, work, cache string, modules []string) (int, error) {
	out, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	a := newArchive(out)
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "run", "root", "etc", "var/lib"} {
		a.mkdir(dir)
	}
	userland := addTools
	if g.Systemd {
		userland = func(a *archive) error { return addDebian(ctx, a, cache) }
	}
	if err := userland(a); err != nil {
		return 0, err
	}
	s, err := g.addTests(ctx, a, work)
	if err != nil {
		return 0, err
	}
	if err := addScript(a, s, modules); err != nil {
		return 0, err
	}
	if err := a.close(); err != nil {
		return 0, err
	}
	return len(s.Tests), out.Close()
}

// addTests adds what is built here: init, the reconciler and the test binaries,
// and returns what init is to do with them.
func (g guest) addTests(ctx context.Context, a *archive, work string) (script.Script, error) {
	var s script.Script
	build := func(to, folder string, verb ...string) error {
		built := filepath.Join(work, filepath.Base(to))
		args := append(verb, "-trimpath", "-ldflags=-s -w", "-o", built, "./"+folder)
		if err := command(ctx, ".", "go", args...); err != nil {
			return err
		}
		a.addFile(to, built)
		return nil
	}
	if err := build("init", "test/guest/init", "build"); err != nil {
		return s, err
	}
	if g.Cuts > 0 {
		s.Tests = []script.Test{{Dir: "/", Binary: "/swap"}}
		return s, build("swap", "test/guest/swap", "build")
	}
	if err := build(g.program(), "cmd/reconciler", "build"); err != nil {
		return s, err
	}
	if g.Systemd {
		if err := build("module/bin/reconciler-boot", "cmd/reconciler-boot", "build"); err != nil {
			return s, err
		}
	}
	packages, err := g.packages()
	if err != nil {
		return s, err
	}
	for _, p := range packages {
		binary := "tests/" + strings.ReplaceAll(p, "/", "-") + ".test"
		if err := build(binary, p, "test", "-c"); err != nil {
			return s, err
		}
		a.mkdir("module/" + p)
		if err := addTree(a, filepath.Join(p, "testdata")); err != nil {
			return s, err
		}
		s.Tests = append(s.Tests, script.Test{Dir: "/module/" + p, Binary: "/" + binary, Run: g.pattern(p)})
	}
	if g.Systemd {
		s.Manager = manager
	}
	return s, nil
}

// program is where the reconciler stands in the guest: with systemd it is
// installed by a test.
func (g guest) program() string {
	if g.Systemd {
		return "module/bin/reconciler"
	}
	return "bin/reconciler"
}

// pattern is of the tests that run of a package.
func (g guest) pattern(folder string) string {
	switch {
	case g.Run != "":
		return g.Run
	case g.Systemd:
		return systemdRun
	case slices.Contains(whole, folder):
		return "."
	}
	return defaultRun
}

func (g guest) packages() ([]string, error) {
	if g.Systemd {
		return []string{systemdPackage}, nil
	}
	return guestPackages(".")
}

// addScript adds modules and the script, which tells init to load them.
func addScript(a *archive, s script.Script, modules []string) error {
	for _, m := range modules {
		name := "modules/" + strings.TrimSuffix(filepath.Base(m), ".xz")
		object, err := readModule(m)
		if err != nil {
			return err
		}
		a.add(name, object)
		s.Modules = append(s.Modules, "/"+name)
	}
	text, err := json.Marshal(s)
	a.add(strings.TrimPrefix(script.Path, "/"), text)
	return err
}

// whole are the packages of which every test runs in the guest: what they
// speak to is the kernel, and an older one answers differently.
var whole = []string{"internal/driver/netlink"}

var guestTest = regexp.MustCompile(`(?m)^func TestGuest\w*\(\w+ \*testing\.T\)`)

// guestPackages are the folders with a test for guests.
func guestPackages(root string) ([]string, error) {
	found := make(map[string]bool)
	for _, name := range whole {
		found[name] = true
	}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		if guestTest.Match(text) {
			found[filepath.ToSlash(filepath.Dir(name))] = true
		}
		return err
	})
	var packages []string
	for name := range found {
		packages = append(packages, name)
	}
	slices.Sort(packages)
	if len(packages) == 0 {
		return nil, fmt.Errorf("no test begins with TestGuest")
	}
	return packages, err
}

// addTree adds the files below a folder of the module, if there is one.
func addTree(a *archive, root string) error {
	if _, err := os.Stat(root); os.IsNotExist(err) {
		return nil
	}
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			a.addFile("module/"+filepath.ToSlash(name), name)
		}
		return err
	})
}

func addTools(a *archive) error {
	for _, tool := range tools {
		if err := addTool(a, tool); err != nil {
			return fmt.Errorf("tool %s: %w", tool, err)
		}
	}
	return nil
}

// addTool adds a program of this host with its loader and libraries.
func addTool(a *archive, name string) error {
	found, err := exec.LookPath(name)
	if err != nil {
		found = filepath.Join("/usr/sbin", name)
	}
	a.addFile("bin/"+name, found)
	return addLibraries(a, found)
}

// libraryDirs is where Debian on amd64 keeps libraries.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64"}

// addLibraries adds what a program or library is linked with. A file that is
// added twice is written twice, which the kernel does not mind.
func addLibraries(a *archive, file string) error {
	parsed, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer parsed.Close()
	names, err := parsed.ImportedLibraries()
	if err != nil {
		return err
	}
	if parsed.Section(".interp") != nil {
		names = append(names, "ld-linux-x86-64.so.2")
	}
	for _, name := range names {
		if a.dirs[name] {
			continue
		}
		a.dirs[name] = true
		if err := addLibrary(a, name); err != nil {
			return err
		}
	}
	return nil
}

func addLibrary(a *archive, name string) error {
	for _, dir := range libraryDirs {
		from := filepath.Join(dir, name)
		if _, err := os.Stat(from); err != nil {
			continue
		}
		a.addFile("lib64/"+name, from)
		return addLibraries(a, from)
	}
	return fmt.Errorf("library %s not found in %v", name, libraryDirs)
}
