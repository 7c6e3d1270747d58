package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// ownerWait is how long a connection may take to be accepted.
	ownerWait = 200 * time.Millisecond
	// ownerMisses is how often the process must be seen not to have one that was
	// accepted: it gets its descriptor a moment later.
	ownerMisses = 3
)

var errNotOurs = errors.New("another process has accepted")

// dialProcess connects, and sees that it is this process that has accepted: the
// former one listens on the same socket until it goes, and would answer in its
// place. Who of the two accepts is a race, so it is run again and again.
func (d *Driver) dialProcess(ctx context.Context, p process, address string) (net.Conn, error) {
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil || len(p.Daemon.Sockets) == 0 {
			return c, err
		}
		err = d.accepted(ctx, p, c)
		if err == nil {
			return c, nil
		}
		c.Close()
		if !errors.Is(err, errNotOurs) || ctx.Err() != nil {
			return nil, err
		}
	}
}

// accepted waits until a connection was accepted, by this process.
func (d *Driver) accepted(ctx context.Context, p process, c net.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, ownerWait)
	defer cancel()
	for misses := 0; misses < ownerMisses; {
		inode, err := serverSide(c)
		switch {
		case err != nil:
			return err
		case inode != "" && d.holds(p, "socket:["+inode+"]"):
			return nil
		case inode != "":
			misses++
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return errNotOurs
}

// serverSide is the inode of the other end of a connection within this host, as
// /proc/net/tcp has it; empty while nobody has accepted it.
func serverSide(c net.Conn) (string, error) {
	_, own, err1 := net.SplitHostPort(c.LocalAddr().String())
	_, other, err2 := net.SplitHostPort(c.RemoteAddr().String())
	ownPort, err3 := strconv.Atoi(own)
	otherPort, err4 := strconv.Atoi(other)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return "", err
	}
	local, remote := fmt.Sprintf(":%04X", otherPort), fmt.Sprintf(":%04X", ownPort)
	for _, table := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(text)) {
			const inodeField = 9
			f := strings.Fields(line)
			if len(f) > inodeField && strings.HasSuffix(f[1], local) && strings.HasSuffix(f[2], remote) && f[inodeField] != "0" {
				return f[inodeField], nil
			}
		}
	}
	return "", nil
}

// holds reports that a process, or one of its cgroup, has a descriptor of
// something.
func (d *Driver) holds(p process, of string) bool {
	pids, err := d.groups.members(d.groups.dirs(p.group()))
	if err != nil || len(pids) == 0 {
		pids = []int{p.PID}
	}
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it is gone
		}
		for _, e := range entries {
			if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && target == of {
				return true
			}
		}
	}
	return false
}
