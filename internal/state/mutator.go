package state

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mutatorName is an abstract socket's, which the kernel keeps per network
// namespace: whatever state directory, mount or pid namespace two processes
// have, they meet there.
const mutatorName = "reconciler/mutator"

// mutatorBacklog is how many refused processes can learn who holds the name;
// those after them are told that somebody does.
const mutatorBacklog = 128

// claimNamespace takes the name in the calling thread's network namespace or
// fails at once. The kernel gives it back with the process. Anybody may take
// such a name; who may not change the network is no mutator and keeps nobody
// from being one.
func (d *Dir) claimNamespace() (release func(), err error) {
	address := &unix.SockaddrUnix{Name: "@" + d.mutator}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("lock network namespace: open socket: %w", err)
	}
	release = func() { unix.Close(fd) }
	err = unix.Bind(fd, address)
	if err == nil {
		err = unix.Listen(fd, mutatorBacklog)
	}
	if err == nil {
		return release, nil
	}
	release()
	if !errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("lock network namespace: bind socket: %w", err)
	}
	pid := listener(address)
	if pid != 0 && !changesNetworks(pid) {
		return func() {}, nil
	}
	return nil, &LockedError{What: "network namespace " + d.id.Name, PID: pid}
}

// listener is the process that listens at an address, 0 where that cannot be
// told.
func listener(address unix.Sockaddr) (pid int) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, address); err != nil {
		return 0
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0
	}
	return int(peer.Pid)
}

// changesNetworks reports whether a process has CAP_NET_ADMIN. One of which
// that cannot be read is taken to have it.
func changesNetworks(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(text), "\nCapEff:")
	line, _, _ := strings.Cut(after, "\n")
	caps, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return err != nil || caps&(1<<unix.CAP_NET_ADMIN) != 0
}
