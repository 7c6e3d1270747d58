package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a member's name, in bytes; they are the kernel's, but for a whole
// name, whose folders would otherwise be many.
const (
	maxName    = 1024
	maxElement = 255
)

// form is what an artifact is by its content; its name proves nothing.
type form int

const (
	formless form = iota
	formELF
	formTarGz
	formZip
)

func formOf(head []byte) form {
	switch {
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return formELF
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return formTarGz
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return formZip
	}
	return formless
}

// sniff reads the form of a file.
func sniff(f io.ReaderAt) (form, error) {
	head := make([]byte, 4)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return formless, err
	}
	return formOf(head[:n]), nil
}

// sink takes what an archive holds. Names are clean, and a folder comes before
// what is in it.
type sink interface {
	folder(name string) error
	file(name string, executable bool, r io.Reader) error
}

// entry is what stands under a name so far.
type entry int

const (
	absent  entry = iota
	implied       // a folder that only names of its members told of
	told
	regular
)

// unpacker passes an archive on to a sink, and refuses what exceeds its bounds
// or should be in no archive.
type unpacker struct {
	ctx     context.Context
	opt     Options
	out     sink
	left    int64 // bytes that may still come out
	entries int
	names   map[string]entry
}

// unpack reads an archive to its end.
func unpack(ctx context.Context, f *os.File, opt Options, out sink) error {
	u := &unpacker{ctx: ctx, opt: opt, out: out, left: opt.MaxUnpacked, names: make(map[string]entry)}
	what, err := sniff(f)
	switch {
	case err != nil:
		return err
	case what == formTarGz:
		err = u.tarGz(f)
	case what == formZip:
		err = u.zip(f)
	default:
		return ErrFormat
	}
	if err == nil && !u.holdsFile() {
		err = fmt.Errorf("%w: it is empty", ErrArchive)
	}
	return err
}

func (u *unpacker) holdsFile() bool {
	for _, e := range u.names {
		if e == regular {
			return true
		}
	}
	return false
}

func (u *unpacker) file(raw string, executable bool, r io.Reader) error {
	name, err := u.enter(raw, regular)
	if err != nil {
		return err
	}
	return u.out.file(name, executable, broken{r})
}

func (u *unpacker) folder(raw string) error {
	name, err := u.enter(raw, told)
	if err != nil || name == "" {
		return err
	}
	return u.out.folder(name)
}

// enter notes a name, and makes the folders above it. It returns none for a
// folder that is made already.
func (u *unpacker) enter(raw string, as entry) (string, error) {
	if err := u.count(); err != nil {
		return "", err
	}
	name, err := clean(raw)
	if err != nil {
		return "", err
	}
	if name == "." && as == told {
		return "", nil
	}
	if name == "." || as == regular && strings.HasSuffix(raw, "/") {
		return "", fmt.Errorf("%w: %q is no name of a file", ErrArchive, raw)
	}
	if err := u.above(name); err != nil {
		return "", err
	}
	was := u.names[name]
	if was != absent && !(was == implied && as == told) {
		return "", fmt.Errorf("%w: %q is there twice", ErrArchive, raw)
	}
	u.names[name] = as
	if was == implied {
		return "", nil
	}
	return name, nil
}

// above makes the folders that a name stands in.
func (u *unpacker) above(name string) error {
	for i, c := range name {
		if c != '/' {
			continue
		}
		switch parent := name[:i]; u.names[parent] {
		case regular:
			return fmt.Errorf("%w: %q is a file, and %q is in it", ErrArchive, parent, name)
		case absent:
			if err := u.count(); err != nil {
				return err
			}
			u.names[parent] = implied
			if err := u.out.folder(parent); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unpacker) count() error {
	u.entries++
	if u.entries > u.opt.MaxEntries {
		return fmt.Errorf("%w: more than %d files and folders", ErrTooLarge, u.opt.MaxEntries)
	}
	return u.ctx.Err()
}

// clean is a name without "." and doubled slashes.
func clean(raw string) (string, error) {
	elements := strings.Split(raw, "/")
	for _, e := range elements {
		if e == ".." || len(e) > maxElement {
			return "", fmt.Errorf("%w: name %.100q", ErrArchive, raw)
		}
	}
	odd := func(r rune) bool { return r == '\\' || unicode.IsControl(r) }
	if raw == "" || len(raw) > maxName || raw[0] == '/' || !utf8.ValidString(raw) || strings.ContainsFunc(raw, odd) {
		return "", fmt.Errorf("%w: name %.100q", ErrArchive, raw)
	}
	return path.Clean(raw), nil
}

// metered counts what comes out, whatever the archive says it would be.
type metered struct {
	r io.Reader
	u *unpacker
}

func (m metered) Read(p []byte) (int, error) {
	if err := m.u.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	if m.u.left -= int64(n); m.u.left < 0 {
		return 0, fmt.Errorf("%w: more than %d bytes unpacked", ErrTooLarge, m.u.opt.MaxUnpacked)
	}
	return n, err
}

// broken makes the archive's errors tell that they are that, so that those of
// the disk that is unpacked to are not taken for them.
type broken struct{ r io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = blame(err)
	}
	return n, err
}

func blame(err error) error {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrArchive, err)
}
