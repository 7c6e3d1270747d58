// Package clock reads the kernel's clocks and its name for this boot: what is
// written down of an instant is worth nothing after another one. It imports none
// of our packages.
package clock

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is the time since this boot, in which the host may have slept; see
// CLOCK_BOOTTIME of clock_gettime(2).
func Boottime() time.Duration { return read(unix.CLOCK_BOOTTIME) }

// Monotonic is the time since this boot without that, which is what BPF programs
// read; see CLOCK_MONOTONIC of clock_gettime(2).
func Monotonic() time.Duration { return read(unix.CLOCK_MONOTONIC) }

func read(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		panic("clock: every kernel that we run on has it: " + err.Error())
	}
	return time.Duration(t.Nano())
}

// BootID is the kernel's name for this boot; see random(4).
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}
