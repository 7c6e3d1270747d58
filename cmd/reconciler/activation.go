package main

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// listeners are what somebody else has opened for the daemon; nil where it has to
// do so itself.
type listeners struct {
	api, metrics *os.File
	lock         *os.File // that of the API's, from a former process
	held         bool     // the API's is the service manager's too
}

// firstListener is the descriptor where those of the service manager begin.
const firstListener = 3

// activated takes the listeners that the service manager holds for this process,
// as sd_listen_fds(3) has it. Which is which their addresses say: socket is a path,
// metrics HOST:PORT or empty.
func activated(socket, metrics string) (listeners, error) {
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if pid != os.Getpid() || err != nil {
		return listeners{}, nil
	}
	return listenersOf(firstListener, n, socket, metrics)
}

func listenersOf(first, n int, socket, metrics string) (out listeners, err error) {
	for fd := first; fd < first+n; fd++ {
		unix.CloseOnExec(fd)
		address, err := unix.Getsockname(fd)
		if err != nil {
			return out, fmt.Errorf("descriptor %d of the service manager is no socket: %w", fd, err)
		}
		switch {
		case isPath(address, socket) && out.api == nil:
			out.api = os.NewFile(uintptr(fd), socket)
		case isPort(address, metrics) && out.metrics == nil:
			out.metrics = os.NewFile(uintptr(fd), metrics)
		default:
			return out, fmt.Errorf("descriptor %d of the service manager is neither socket (%s) nor metrics (%s) of the agent's file: ListenStream= of its unit must say the same", fd, socket, orElse(metrics, "none"))
		}
	}
	return out, nil
}

func isPath(address unix.Sockaddr, path string) bool {
	at, ok := address.(*unix.SockaddrUnix)
	return ok && at.Name == path
}

// isPort compares ports alone: names have many addresses.
func isPort(address unix.Sockaddr, metrics string) bool {
	want, err := net.ResolveTCPAddr("tcp", metrics)
	if err != nil || metrics == "" {
		return false
	}
	switch at := address.(type) {
	case *unix.SockaddrInet4:
		return at.Port == want.Port
	case *unix.SockaddrInet6:
		return at.Port == want.Port
	}
	return false
}
