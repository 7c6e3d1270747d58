package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another daemon listens on a socket.
var ErrInUse = errors.New("another daemon listens there")

// Socket is the unix socket of the daemon, and the lock that goes with it. What
// is given to a successor stays open there.
type Socket struct {
	net.Listener
	path string
	file *os.File // the same listener
	lock *os.File
	held bool // by the service manager, whose path it is
}

// Listen opens the unix socket of the daemon, mode 0660. One that a dead
// daemon left is replaced; a live daemon's is never taken: ErrInUse.
func Listen(path string) (*Socket, error) {
	s, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return s, nil
}

func listen(path string) (*Socket, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	lock, err := lockSocket(path + ".lock")
	if err != nil {
		return nil, err
	}
	l, err := replaceSocket(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.SetUnlinkOnClose(false)
	file, err := l.File()
	if err != nil {
		return nil, errors.Join(err, l.Close(), lock.Close())
	}
	return &Socket{Listener: l, path: path, file: file, lock: lock}, nil
}

// Activate is a Socket that the service manager has opened at a path, and holds.
func Activate(path string, file *os.File) (*Socket, error) {
	lock, err := lockSocket(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return Inherit(path, file, lock, true)
}

// Inherit is a Socket that another process opened at a path, or, where it is held,
// the service manager.
func Inherit(path string, file, lock *os.File, held bool) (*Socket, error) {
	if file == nil || lock == nil {
		return nil, fmt.Errorf("inherit the socket %s: it was not handed over", path)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("inherit the socket %s: %w", path, err)
	}
	return &Socket{Listener: l, path: path, file: file, lock: lock, held: held}, nil
}

// Held reports that the service manager holds it too.
func (s *Socket) Held() bool { return s.held }

// Files are the descriptors to hand over: the listener, and its lock.
func (s *Socket) Files() (listener, lock *os.File) { return s.file, s.lock }

// Again is another listener on the same socket, after the first was closed.
func (s *Socket) Again() (net.Listener, error) { return net.FileListener(s.file) }

// Close removes the socket, unless somebody else holds it, and lets go of its lock.
func (s *Socket) Close() error {
	closed := s.Listener.Close()
	if errors.Is(closed, net.ErrClosed) {
		closed = nil
	}
	var removed error
	if !s.held {
		removed = os.Remove(s.path)
	}
	if errors.Is(removed, fs.ErrNotExist) {
		removed = nil
	}
	return errors.Join(closed, removed, s.file.Close(), s.lock.Close())
}

// Leave is Close for who has handed it over: it stays.
func (s *Socket) Leave() error { return errors.Join(s.file.Close(), s.lock.Close()) }

// lockSocket keeps two daemons that start together from removing each other's
// socket. The lock goes with the process.
func lockSocket(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

func replaceSocket(path string) (*net.UnixListener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, errors.New("something that is no socket is there")
	default:
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, ErrInUse
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// ServeMetrics answers GET /metrics on a listener until the context ends.
func ServeMetrics(ctx context.Context, l net.Listener, metrics http.Handler) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	return serve(ctx, &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}, l)
}

const (
	// drainFor is how long clients have to hear that a connection is to be
	// closed: those that ask all the time do within it.
	drainFor = 100 * time.Millisecond
	// answerPatience is how long answers under way then have.
	answerPatience = time.Second
)

// serve runs a server until the context ends. Then it accepts nobody, tells
// those who still ask that their connection closes, and lets answers under way
// end: no request of a client is cut.
func serve(ctx context.Context, h *http.Server, l net.Listener) error {
	var draining atomic.Bool
	handler := h.Handler
	h.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		draining.Store(true)
		l.Close()
		time.Sleep(drainFor)
		grace, cancel := context.WithTimeout(context.Background(), answerPatience)
		defer cancel()
		if h.Shutdown(grace) != nil {
			h.Close()
		}
	})
	err := h.Serve(l)
	if stop() {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	<-drained
	return nil
}
