package api

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is who is at the other end of a connection, as the kernel says.
type peer struct {
	uid    uint32
	pid    int32
	groups []uint32
	socket uint32 // the group of the socket's file
	err    error  // the kernel did not say
}

type peerKey struct{}

// withPeer asks once, when a connection is accepted.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerOf(c))
}

func peerOf(c net.Conn) peer {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return peer{err: fmt.Errorf("%s is no unix socket", c.LocalAddr().Network())}
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return peer{err: err}
	}
	var p peer
	if err := raw.Control(func(fd uintptr) { p = peerOfFD(int(fd)) }); err != nil {
		return peer{err: err}
	}
	var st unix.Stat_t
	if err := unix.Stat(u.LocalAddr().String(), &st); err != nil {
		return peer{err: fmt.Errorf("look at the socket: %w", err)}
	}
	p.socket = st.Gid
	return p
}

func peerOfFD(fd int) peer {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{err: fmt.Errorf("ask who is there: %w", err)}
	}
	return peer{uid: cred.Uid, pid: cred.Pid, groups: append(peerGroups(fd), cred.Gid)}
}

// peerGroups are the supplementary groups of the peer, at most 1,024 of them;
// none where the kernel does not say (before 4.13).
func peerGroups(fd int) []uint32 {
	var groups [1024]uint32
	size := uint32(unsafe.Sizeof(groups))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&groups)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil
	}
	return groups[:size/4]
}

// mayWrite lets root, the daemon's own user and members of the socket's group
// change something.
func mayWrite(ctx context.Context) error {
	p, ok := ctx.Value(peerKey{}).(peer)
	switch {
	case !ok:
		return fmt.Errorf("nobody knows who asks")
	case p.err != nil:
		return p.err
	case p.uid == 0 || int(p.uid) == os.Geteuid() || slices.Contains(p.groups, p.socket):
		return nil
	}
	return fmt.Errorf("user %d may read only: neither root nor in the socket's group", p.uid)
}

func peerText(ctx context.Context) string {
	p, _ := ctx.Value(peerKey{}).(peer)
	return fmt.Sprintf("uid %d pid %d", p.uid, p.pid)
}
