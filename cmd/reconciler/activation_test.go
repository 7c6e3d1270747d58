package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestActivation is that listeners are told by their addresses, and that one that
// is none of ours is an error and not left to hang.
func TestActivation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	local, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file := func(l interface{ File() (*os.File, error) }) int {
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fd, err := unix.Dup(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	port := tcp.Addr().String()
	for name, c := range map[string]struct {
		fd              int
		socket, metrics string
		want            string // api, metrics, or part of an error
	}{
		"the socket":           {file(local.(*net.UnixListener)), path, port, "api"},
		"metrics":              {file(tcp.(*net.TCPListener)), path, port, "metrics"},
		"another socket":       {file(local.(*net.UnixListener)), "/run/other.sock", port, "is neither socket (/run/other.sock)"},
		"another port":         {file(tcp.(*net.TCPListener)), path, "127.0.0.1:1", "nor metrics (127.0.0.1:1)"},
		"metrics not wanted":   {file(tcp.(*net.TCPListener)), path, "", "nor metrics (none)"},
		"something else":       {int(null.Fd()), path, port, "is no socket"},
		"a closed descriptor":  {1 << 20, path, port, "is no socket"},
		"metrics by its name":  {file(tcp.(*net.TCPListener)), path, "localhost:" + port[strings.LastIndexByte(port, ':')+1:], "metrics"},
		"metrics on all hosts": {file(tcp.(*net.TCPListener)), path, port[strings.LastIndexByte(port, ':'):], "metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := listenersOf(c.fd, 1, c.socket, c.metrics)
			for _, f := range []*os.File{got.api, got.metrics} {
				if f != nil {
					defer f.Close()
				}
			}
			switch {
			case err != nil && !strings.Contains(err.Error(), c.want), (got.api != nil) != (c.want == "api"), (got.metrics != nil) != (c.want == "metrics"):
				t.Errorf("got %+v, %v; want %s", got, err, c.want)
			}
		})
	}
}
