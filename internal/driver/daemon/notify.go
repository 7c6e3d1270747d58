package daemon

import (
	"crypto/rand"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/clock"
	"reconciler/internal/shim"
)

// notifier hears what a process says of itself, as for sd_notify(3).
type notifier struct{ fd int }

func (n *notifier) close() { unix.Close(n.fd) }

// maxMessage bounds what a process may say at once, in bytes.
const maxMessage = 4096

// hear opens the socket that a process is told of. Its name is abstract, so
// that it is of the network namespace and leaves nothing behind.
func (d *Driver) hear(p *process, s *shim.Spec) error {
	if !p.Daemon.Ready.Notify {
		return nil
	}
	p.Notify = "@reconciler/" + rand.Text()
	s.Env = append(s.Env, "NOTIFY_SOCKET="+p.Notify)
	return p.listen()
}

// rehear goes on listening to a process that was not ready yet.
func (d *Driver) rehear(p *process) {
	if p.Daemon.Ready.Notify && p.Ready == 0 && p.Notify != "" && !d.cfg.ReadOnly {
		if err := p.listen(); err != nil {
			d.cfg.Log.Warn("a process is not heard", "daemon", p.Daemon.Instance(), "err", err)
		}
	}
}

func (p *process) listen() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: p.Notify}); err != nil {
		unix.Close(fd)
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		unix.Close(fd)
		return err
	}
	p.hears = &notifier{fd}
	return nil
}

// heard reads what a process has said. Others may know the name: only what the
// process itself says counts.
func (p *process) heard() {
	for range 64 {
		text, oob := make([]byte, maxMessage), make([]byte, 256)
		n, m, _, _, err := unix.Recvmsg(p.hears.fd, text, oob, 0)
		if err != nil {
			return
		}
		if sender(oob[:m]) == p.PID && saysReady(string(text[:n])) && p.Ready == 0 {
			p.Ready = clock.Boottime()
		}
	}
}

func sender(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if c, err := unix.ParseUnixCredentials(&m); err == nil {
			return int(c.Pid)
		}
	}
	return 0
}

func saysReady(text string) bool {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "READY=1" {
			return true
		}
	}
	return false
}

// Probes of readiness.
const (
	probeEvery   = 100 * time.Millisecond
	probeTimeout = time.Second
)
