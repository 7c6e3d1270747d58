package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// metas are the Debian packages that depend on the newest kernel of a series.
var metas = map[string]string{
	"6.1":  "linux-image-amd64",
	"6.12": "linux-image-6.12-amd64",
}

// wanted are the modules that tests need, without what they depend on: kinds
// of link, the drivers of the guest's cards, what runs BPF on a qdisc, what
// takes packets out of tunnels, and a disk.
var wanted = []string{
	"dummy", "veth", "bridge", "8021q", "vxlan", "macvlan", "bonding", "vrf", "virtio_pci", "virtio_net", "e1000", "vmxnet3",
	"sch_ingress", "cls_bpf", "ipip", "ip6_tunnel", "virtio_blk", "ext4", "crc32c_generic",
}

// kernel is an unpacked Debian kernel.
type kernel struct {
	release string            // 6.1.0-56-amd64
	image   string            // path of vmlinuz
	modules map[string]string // paths by name, dashes as underscores
}

// fetchKernel downloads and unpacks the newest kernel of a series below cache,
// unless it is there. Nothing is installed.
func fetchKernel(ctx context.Context, version, cache string) (kernel, error) {
	meta, ok := metas[version]
	if !ok {
		return kernel{}, fmt.Errorf("no Debian package known for it")
	}
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", "--important", meta).Output()
	if err != nil {
		return kernel{}, fmt.Errorf("ask apt what %s is: %w", meta, err)
	}
	_, name, found := strings.Cut(string(out), "Depends: linux-image-"+version+".")
	if !found {
		return kernel{}, fmt.Errorf("apt offers no %s of that series", meta)
	}
	name = "linux-image-" + version + "." + strings.Fields(name)[0]
	root := filepath.Join(cache, name)
	if err := fetch(ctx, root, name); err != nil {
		return kernel{}, err
	}
	return openKernel(root)
}

// openKernel finds the image and the modules of an unpacked kernel.
func openKernel(root string) (kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return kernel{}, fmt.Errorf("%s has %d kernel images", root, len(images))
	}
	k := kernel{
		release: strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-"),
		image:   images[0],
		modules: make(map[string]string),
	}
	return k, filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if base, _, found := strings.Cut(filepath.Base(name), ".ko"); found && err == nil && !entry.IsDir() {
			k.modules[strings.ReplaceAll(base, "-", "_")] = name
		}
		return err
	})
}

// closure lists the files of modules and of what they depend on, in the order
// in which they must be loaded. One that the kernel has built in is left out.
func (k kernel) closure(names []string) ([]string, error) {
	var files []string
	done := make(map[string]bool)
	var visit func(name string) error
	visit = func(name string) error {
		file, found := k.modules[name]
		if done[name] || !found {
			return nil
		}
		done[name] = true
		depends, err := dependencies(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, d := range depends {
			if err := visit(d); err != nil {
				return err
			}
		}
		files = append(files, file)
		return nil
	}
	for _, name := range names {
		if err := visit(strings.ReplaceAll(name, "-", "_")); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// dependencies reads the depends= line of a module: a package that was only
// unpacked has no modules.dep.
func dependencies(file string) ([]string, error) {
	object, err := readModule(file)
	if err != nil {
		return nil, err
	}
	parsed, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		return nil, err
	}
	defer parsed.Close()
	section := parsed.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(info), "\x00") {
		if list, found := strings.CutPrefix(line, "depends="); found && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}

// readModule reads a module, uncompressed.
func readModule(file string) ([]byte, error) {
	if strings.HasSuffix(file, ".xz") {
		return exec.Command("xz", "-dc", file).Output()
	}
	return os.ReadFile(file)
}
