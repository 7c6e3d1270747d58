package daemon

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Where there is a journal, a process has a stream of its own there, which does
// not end with the program and blocks as a file would.
func TestJournal(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "stdout")
	journal, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	r.cfg.Journal = path
	r.reopen()
	d := r.daemon("sleep")
	d.Link = "eth0"
	r.apply(create(d))
	if err := journal.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c, err := journal.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	want := []string{"one@eth0", "", "6", "1", "0", "0", "0", "up false"} // as systemd documents the stream
	lines := bufio.NewScanner(c)
	for i, w := range want {
		if !lines.Scan() || lines.Text() != w {
			t.Fatalf("line %d is %q, want %q: %v", i, lines.Text(), w, lines.Err())
		}
	}
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/1", r.seen(d).PID))
	var flags int
	for line := range strings.Lines(string(info)) {
		_, _ = fmt.Sscanf(line, "flags: %o", &flags)
	}
	if err != nil || flags&unix.O_RDWR == 0 || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %o, %v", flags, err)
	}
	if _, err := os.Stat(r.logOf(d)); err == nil {
		t.Error("it has a file as well")
	}
	r.reopen()
	r.observe()
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if lines.Scan() || lines.Err() == nil {
		t.Error("the stream has ended")
	}
}
