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

// procs are the files by which a process enters a cgroup that was made.
func (g groups) procs(name string) []string {
	var out []string
	for _, dir := range g.dirs(name) {
		if path := filepath.Join(dir, "cgroup.procs"); exists(path) {
			out = append(out, path)
		}
	}
	return out
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// prepare makes an empty cgroup with the limits of a process. Where it cannot
// limit, the cgroup may be there all the same: it still says what belongs together.
func (g groups) prepare(name string, one resource.Daemon) error {
	limited := one.Memory != 0 || one.CPU != 0
	if len(g.dirs(name)) == 0 {
		if limited {
			return errors.New("there are no cgroups here")
		}
		return nil
	}
	delegated := g.delegate()
	for _, dir := range g.dirs(name) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a cgroup: %w", err)
		}
	}
	err := errors.Join(g.kill(name), g.limit(name, one))
	if limited {
		err = errors.Join(delegated, err)
	}
	return err
}

// delegate lets the hierarchy of version 2 limit what is below ours.
func (g groups) delegate() error {
	if g.v2 == "" {
		return nil
	}
	dir := g.v2
	var errs []error
	for _, name := range append([]string{""}, strings.Split(g.within, "/")...) {
		dir = filepath.Join(dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a cgroup: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory +cpu +pids"), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("let a cgroup limit memory and cpu: %w", err))
		}
	}
	return errors.Join(errs...)
}

// maxTasks bounds the threads of a process and of what it starts.
const maxTasks = 4096

// setting is a limit, in the files of both versions.
type setting struct {
	controller, v1, v2, value string
	extra                     bool // does without where there is no such file
}

// settings are all limits: the cgroup may have those of a former process.
func settings(one resource.Daemon) []setting {
	memory, memoryV1, cpu, cpuV1, swap := "max", "-1", "max", "-1", "max"
	if one.Memory != 0 {
		memory = strconv.FormatUint(one.Memory, 10)
		memoryV1, swap = memory, "0"
	}
	if one.CPU != 0 {
		cpu = strconv.FormatUint(uint64(one.CPU)*cpuPeriod/100, 10)
		cpuV1 = cpu
	}
	return []setting{
		{"memory", "memory.memsw.limit_in_bytes", "", "-1", true}, // or the next could not grow
		{"memory", "memory.limit_in_bytes", "", memoryV1, one.Memory == 0},
		{"memory", "memory.memsw.limit_in_bytes", "", memoryV1, true},
		{"memory", "", "memory.max", memory, one.Memory == 0},
		{"memory", "", "memory.swap.max", swap, true},
		{"memory", "", "memory.oom.group", "1", true},
		{"cpu", "cpu.cfs_quota_us", "", cpuV1, one.CPU == 0},
		{"cpu", "", "cpu.max", cpu, one.CPU == 0},
		{"pids", "pids.max", "pids.max", strconv.Itoa(maxTasks), true},
	}
}

func (g groups) limit(name string, one resource.Daemon) error {
	var errs []error
	for _, s := range settings(one) {
		if err := g.set(name, s); err != nil && !s.extra {
			errs = append(errs, fmt.Errorf("limit %s: %w", s.controller, err))
		}
	}
	return errors.Join(errs...)
}

func (g groups) set(name string, s setting) error {
	mount, file := g.v2, s.v2
	if g.v2 == "" {
		mount, file = g.v1[s.controller], s.v1
	}
	switch {
	case file == "":
		return nil
	case mount == "":
		return errors.New("there is no cgroup here for it")
	}
	return os.WriteFile(filepath.Join(mount, g.within, name, file), []byte(s.value), 0o644)
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

// remove removes an empty cgroup, and that of the namespace with the last.
func (g groups) remove(name string) error {
	var errs []error
	for _, dir := range g.dirs(name) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		_ = os.Remove(filepath.Dir(dir)) // it holds others if this fails
	}
	return errors.Join(errs...)
}
