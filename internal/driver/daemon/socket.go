package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
	"reconciler/internal/shim"
)

// listeners are the descriptors that a process gets, in their order. They are
// opened once and held as long as some process has them: whoever connects while
// one takes the place of another waits in their queue.
func (d *Driver) listeners(one resource.Daemon) ([]int, error) {
	var out []int
	for _, s := range one.Sockets {
		fd, ok := d.sockets[s]
		if !ok {
			f, err := listen(s)
			if err == nil {
				fd, err = bare(f)
			}
			if err != nil {
				return nil, fmt.Errorf("listen on %s: %w", s.Address, err)
			}
			d.sockets[s] = fd
		}
		out = append(out, fd)
	}
	return out, nil
}

// bare is the descriptor of a listener that nobody has yet. It blocks, as
// processes expect that know of nothing else.
func bare(f *os.File) (int, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// filer is a socket that tells its descriptor.
type filer interface {
	File() (*os.File, error)
	Close() error
}

func listen(s resource.DaemonSocket) (*os.File, error) {
	var l filer
	var err error
	switch s.Network {
	case "tcp":
		var one net.Listener
		if one, err = net.Listen("tcp", s.Address); err == nil {
			l = one.(*net.TCPListener)
		}
	case "udp":
		var one net.PacketConn
		if one, err = net.ListenPacket("udp", s.Address); err == nil {
			l = one.(*net.UDPConn)
		}
	case "unix":
		return listenUnix(s.Address)
	default:
		err = fmt.Errorf("network %q", s.Network)
	}
	if err != nil {
		return nil, err
	}
	f, err := l.File()
	return f, errors.Join(err, l.Close())
}

// listenUnix takes the place of a socket that nobody listens on.
func listenUnix(path string) (*os.File, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, errors.New("somebody else listens there")
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	return f, errors.Join(err, l.Close(), os.Chmod(path, 0o666))
}

// regain takes the listeners of a process that another run of the program
// started, out of the process itself. What it has closed, or put elsewhere, is
// not held any more.
func (d *Driver) regain(p *process) {
	for i, s := range p.Daemon.Sockets {
		if _, held := d.sockets[s]; held || d.cfg.ReadOnly {
			continue
		}
		fd, err := unix.PidfdGetfd(p.pidfd, shim.FirstListener+i, 0)
		if err != nil {
			d.cfg.Log.Warn("a listener is not held any more", "daemon", p.Daemon.Instance(), "address", s.Address, "err", err)
			continue
		}
		unix.CloseOnExec(fd)
		if !listensOn(fd, s) {
			d.cfg.Log.Warn("a listener is not held any more: the process put something else in its place", "daemon", p.Daemon.Instance(), "address", s.Address)
			unix.Close(fd)
			continue
		}
		d.sockets[s] = fd
	}
}

// listensOn reports that a descriptor is the socket that it is taken for.
func listensOn(fd int, s resource.DaemonSocket) bool {
	if s.Network != "udp" {
		if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
			return false
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	switch at := name.(type) {
	case *unix.SockaddrUnix:
		return s.Network == "unix" && at.Name == s.Address
	case *unix.SockaddrInet4:
		return samePort(s.Address, at.Port)
	case *unix.SockaddrInet6:
		return samePort(s.Address, at.Port)
	}
	return false
}

func samePort(address string, port int) bool {
	a, err := net.ResolveTCPAddr("tcp", address)
	return err == nil && a.Port == port
}
