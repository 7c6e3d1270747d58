package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// system are the Debian packages that a guest with systemd is made of, without
// what they depend on.
var system = []string{"systemd", "iproute2", "procps", "bash", "coreutils"}

// maintainers are packages that only maintainer scripts need: nothing is
// installed in the guest, only unpacked.
var maintainers = regexp.MustCompile(`perl|^(debconf|dpkg|init-system-helpers|tar|usrmerge)$`)

// unread are the folders of packages that nothing in the guest reads.
var unread = []string{"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/bash-completion"}

// manager is the first process of that guest.
const manager = "/usr/lib/systemd/systemd"

// addDebian adds Debian's userland, and of this module what is installed from it.
func addDebian(ctx context.Context, a *archive, cache string) error {
	root, err := freshly(ctx, func() (string, error) { return fetchSystem(ctx, cache) })
	if err != nil {
		return fmt.Errorf("fetch Debian: %w", err)
	}
	if err := addSystem(a, root); err != nil {
		return err
	}
	addSettings(a)
	a.addFile("module/README.md", "README.md")
	return addTree(a, "deploy")
}

// fetchSystem downloads and unpacks Debian's userland below cache, unless it is
// there. Nothing is installed.
func fetchSystem(ctx context.Context, cache string) (string, error) {
	args := []string{"-s", "-o", "Dir::State::status=/dev/null", "--no-install-recommends", "install"}
	out, err := exec.CommandContext(ctx, "apt-get", append(args, system...)...).Output()
	if err != nil {
		return "", fmt.Errorf("ask apt what %v depend on: %w", system, err)
	}
	var names []string
	for line := range strings.SplitSeq(string(out), "\n") {
		fields := strings.Fields(line) // Inst NAME (VERSION …)
		if len(fields) > 2 && fields[0] == "Inst" && !maintainers.MatchString(fields[1]) {
			names = append(names, fields[1]+"="+strings.TrimPrefix(fields[2], "("))
		}
	}
	if len(names) < len(system) {
		return "", fmt.Errorf("apt offers %v of %v", names, system)
	}
	slices.Sort(names)
	root := filepath.Join(cache, fmt.Sprintf("system-%.6x", sha256.Sum256([]byte(strings.Join(names, "\n")))))
	return root, fetch(ctx, root, names...)
}

// addSystem adds a tree of unpacked packages. Debian's usr is merged, but the
// packages still hold both halves.
func addSystem(a *archive, root string) error {
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		a.link(dir, "usr/"+dir)
	}
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		to = merged(to)
		if slices.Contains(unread, to) {
			return filepath.SkipDir
		}
		return addEntry(a, to, name, entry)
	})
}

// merged is where a path of a package stands in a merged root.
func merged(name string) string {
	switch first, _, _ := strings.Cut(name, "/"); first {
	case "bin", "sbin", "lib", "lib64":
		return path.Join("usr", name)
	}
	return name
}

func addEntry(a *archive, to, from string, entry fs.DirEntry) error {
	switch entry.Type() {
	case fs.ModeDir:
		a.mkdir(to)
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		a.link(to, target)
	case 0:
		info, err := entry.Info()
		if err != nil {
			return err
		}
		a.addMode(to, from, info.Mode().Perm())
	}
	return nil
}

// settings are what the maintainer scripts and a person would have written.
// A machine that has no id takes its boot for the first one and enables every
// unit.
var settings = map[string]string{
	"etc/machine-id":                   "0123456789abcdef0123456789abcdef\n",
	"etc/passwd":                       "root:x:0:0:root:/root:/bin/bash\n",
	"etc/group":                        "root:x:0:\n",
	"etc/systemd/system/guest.service": testUnit,
}

// testUnit runs the tests when everything else that boots is up.
const testUnit = `[Unit]
Description=Tests of this guest
After=basic.target

[Service]
Type=exec
ExecStart=/init
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
`

// addSettings adds the files of the guest that come from no package.
func addSettings(a *archive) {
	for name, text := range settings {
		a.mkdir(path.Dir(name))
		a.entry(name, modeRegular|0o644, []byte(text))
	}
	a.mkdir("etc/systemd/system/multi-user.target.wants")
	a.link("etc/systemd/system/multi-user.target.wants/guest.service", "../guest.service")
}
