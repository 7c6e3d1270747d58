package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"reconciler/internal/resource"
)

const (
	// journalSocket is where journald takes streams.
	journalSocket = "/run/systemd/journal/stdout"
	// priorityInfo is that of syslog(3).
	priorityInfo = 6

	maxLog = 1 << 20 // bytes; then it is rotated
)

// openLog opens what a process writes to: the journal where there is one, else
// a file. It is never a pipe of ours, which would end with us.
func (d *Driver) openLog(one resource.Daemon) (*os.File, error) {
	if f, err := openJournal(d.cfg.Journal, one.Instance()); err == nil {
		return f, nil
	}
	return os.OpenFile(d.logOf(one), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
}

// openJournal begins a stream of the journal, as sd_journal_stream_fd(3) does.
func openJournal(socket, name string) (*os.File, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// The name, no unit, the priority, prefixes of levels, and no copy elsewhere.
	if _, err := fmt.Fprintf(c, "%s\n\n%d\n1\n0\n0\n0\n", name, priorityInfo); err != nil {
		return nil, err
	}
	return c.File()
}

// logOf is one for all versions of a process.
func (d *Driver) logOf(one resource.Daemon) string { return d.path(safe(one.Instance()) + ".log") }

// rotate copies a log that has grown, and empties it: the process goes on
// writing to the same file. What it writes between the two is lost.
func (d *Driver) rotate(one resource.Daemon) {
	if d.cfg.ReadOnly {
		return
	}
	path := d.logOf(one)
	info, err := os.Lstat(path)
	if err != nil || info.Size() <= maxLog || !info.Mode().IsRegular() {
		return
	}
	err = os.Rename(path+".1", path+".2")
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = copyTail(path, path+".1")
	}
	if err == nil {
		err = os.Truncate(path, 0)
	}
	if err != nil {
		d.cfg.Log.Warn("a log is not rotated", "file", path, "err", err)
	}
}

// copyTail copies the last bytes of a log: one that grew fast is not kept whole.
func copyTail(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := in.Seek(max(0, size-maxLog), io.SeekStart); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, maxLog))
	return errors.Join(err, out.Close())
}
