package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"reconciler/test/guest/script"
)

const (
	diskSize = 128 << 20 // bytes
	// Between an acknowledgement and the cut. What takes its time is the next
	// swap, at each of whose steps a cut may come.
	cutWithin = 600 * time.Millisecond
	// leastSwaps is how many of a boot are acknowledged before its cut.
	leastSwaps = 2
)

// cutPower boots a guest that swaps versions on a disk, and cuts its power while
// it does; the last boot says what is left. What the guest's kernel had not yet
// given to the disk is lost, as it is with a machine.
func (g guest) cutPower(ctx context.Context, image, initrd, disk string) error {
	if err := makeDisk(ctx, disk); err != nil {
		return fmt.Errorf("make a disk: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	start, told := time.Now(), 0
	for i := range g.Cuts + 1 {
		g.Order = script.AcknowledgedOption + strconv.Itoa(told)
		over := i == g.Cuts
		if over {
			g.Order += " " + script.OverOption
		}
		last, err := g.swapUntilCut(ctx, g.machine(ctx, image, initrd, "-drive", "file="+disk+",format=raw,if=virtio"), over)
		if err != nil {
			return fmt.Errorf("boot %d, after version %d was acknowledged: %w", i+1, told, err)
		}
		told = max(told, last)
	}
	fmt.Printf("guest: the power was cut %d times, %d versions were acknowledged, none was lost, in %.1fs\n", g.Cuts, told, time.Since(start).Seconds())
	return nil
}

func makeDisk(ctx context.Context, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", path)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if !strings.Contains(cmd.Path, "/") {
		cmd.Path = "/usr/sbin/mkfs.ext4"
	}
	cmd.Err = nil
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// swapUntilCut returns the last version that was acknowledged before the power was
// cut, or 0 with what the last boot found.
func (g guest) swapUntilCut(ctx context.Context, qemu *exec.Cmd, over bool) (told int, err error) {
	out, err := qemu.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := qemu.Start(); err != nil {
		return 0, err
	}
	c, told := g.hearSwaps(out, over, func() { _ = qemu.Process.Kill() }) // it ended already if this fails
	_ = qemu.Wait()                                                       // killed, or powered off
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("not done after %v, the last line was %q", g.Timeout, c.last)
	case over, len(c.failures) > 0:
		return 0, c.verdict()
	case told == 0:
		return 0, fmt.Errorf("it ended before the cut, the last line was %q", c.last)
	}
	return told, nil
}

// hearSwaps listens, and cuts the power a while after some versions.
func (g guest) hearSwaps(r io.Reader, over bool, cut func()) (c console, told int) {
	heard := 0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		c.hear(line)
		if g.Verbose || strings.HasPrefix(line, "--- ") {
			fmt.Println("  " + line)
		}
		number, ok := strings.CutPrefix(line, script.Acknowledged+" ")
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(number); err == nil {
			told = n
		}
		if heard++; heard == leastSwaps && !over {
			timer := time.AfterFunc(time.Duration(rand.Int64N(int64(cutWithin))), cut)
			defer timer.Stop()
		}
	}
	return c, told
}
