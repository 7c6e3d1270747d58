package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// groups are the cgroups of processes: directories below reconciler/NAMESPACE, in
// the one hierarchy of version 2, or in those of version 1 that limit something.
type groups struct {
	v2     string            // the mount; empty where it limits nothing
	v1     map[string]string // mounts by controller
	within string
}

// The period of CPU time that a share is of, in µs; the kernel's default.
const cpuPeriod = 100000

func findGroups(mount, namespace string) groups {
	g := groups{within: filepath.Join("reconciler", namespace), v1: map[string]string{}}
	if text, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers")); err == nil && strings.Contains(string(text), "memory") {
		g.v2 = mount
		return g
	}
	for _, controller := range []string{"memory", "cpu", "pids"} {
		if _, err := os.Stat(filepath.Join(mount, controller, "cgroup.procs")); err == nil {
			g.v1[controller] = filepath.Join(mount, controller)
		}
	}
	return g
}

// dirs are the directories of a cgroup; none where there are no cgroups.
func (g groups) dirs(name string) []string {
	var out []string
	if g.v2 != "" {
		return []string{filepath.Join(g.v2, g.within, name)}
	}
	for _, controller := range []string{"memory", "cpu", "pids"} {
		if mount := g.v1[controller]; mount != "" {
			out = append(out, filepath.Join(mount, g.within, name))
		}
	}
	return out
}

// procs are the files by which a process enters a cgroup.
func (g groups) procs(name string) []string {
	var out []string
	for _, dir := range g.dirs(name) {
		out = append(out, filepath.Join(dir, "cgroup.procs"))
	}
	return out
}

// prepare makes an empty cgroup with the limits of a process.
func (g groups) prepare(name string, one resource.Daemon) error {
	if len(g.dirs(name)) == 0 {
		if one.Memory != 0 || one.CPU != 0 {
			return errors.New("there are no cgroups here, so nothing can be limited")
		}
		return nil
	}
	if err := g.delegate(); err != nil {
		return err
	}
	for _, dir := range g.dirs(name) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a cgroup: %w", err)
		}
	}
	if err := g.kill(name); err != nil {
		return err
	}
	return g.limit(name, one)
}

// delegate lets the hierarchy of version 2 limit what is below ours.
func (g groups) delegate() error {
	if g.v2 == "" {
		return nil
	}
	dir := g.v2
	for _, name := range append([]string{""}, strings.Split(g.within, "/")...) {
		dir = filepath.Join(dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a cgroup: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory +cpu +pids"), 0o644); err != nil {
			return fmt.Errorf("let a cgroup limit memory and cpu: %w", err)
		}
	}
	return nil
}

func (g groups) limit(name string, one resource.Daemon) error {
	var errs []error
	set := func(v1controller, v1file, v2file, value string) {
		path := filepath.Join(g.v2, g.within, name, v2file)
		if g.v2 == "" {
			if g.v1[v1controller] == "" {
				errs = append(errs, fmt.Errorf("there is no cgroup here that limits %s", v1controller))
				return
			}
			path = filepath.Join(g.v1[v1controller], g.within, name, v1file)
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("limit %s: %w", v1controller, err))
		}
	}
	if one.Memory != 0 {
		set("memory", "memory.limit_in_bytes", "memory.max", strconv.FormatUint(one.Memory, 10))
	}
	if one.CPU != 0 {
		quota := strconv.Itoa(int(one.CPU) * cpuPeriod / 100)
		set("cpu", "cpu.cfs_quota_us", "cpu.max", quota)
	}
	return errors.Join(errs...)
}

// used is how much memory a cgroup uses, in bytes; 0 where that is not known.
func (g groups) used(name string) uint64 {
	path := filepath.Join(g.v2, g.within, name, "memory.current")
	if g.v2 == "" {
		path = filepath.Join(g.v1["memory"], g.within, name, "memory.usage_in_bytes")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// killRounds bounds how often processes are looked for that one starts while
// it is killed.
const killRounds = 50

// kill ends all that is in a cgroup. Where there are none it ends nothing.
func (g groups) kill(name string) error {
	dirs := g.dirs(name)
	if len(dirs) == 0 {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dirs[0], "cgroup.kill"), []byte("1"), 0o644); err != nil && errors.Is(err, fs.ErrNotExist) && g.v2 != "" {
		return nil // Linux 5.14 has it, so it is the cgroup that is not there
	}
	for range killRounds {
		pids, err := g.members(dirs)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it is gone if this fails
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the cgroup %s has processes that do not end", name)
}

func (g groups) members(dirs []string) ([]int, error) {
	var out []int
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 && !zombie(pid) {
				out = append(out, pid)
			}
		}
	}
	return out, nil
}

// zombie reports a process that ended and is not yet waited for.
func zombie(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	i := strings.LastIndexByte(string(text), ')')
	return i < 0 || strings.HasPrefix(string(text[i+1:]), " Z")
}

// remove removes an empty cgroup.
func (g groups) remove(name string) error {
	var errs []error
	for _, dir := range g.dirs(name) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
