package artifact

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
)

const (
	zipEnd       = "PK\x05\x06"
	zipEndLen    = 22 // bytes, without the comment that follows
	zipEncrypted = 1  // a flag
)

// zip needs no end to read to: every member has a checksum of its own.
func (u *unpacker) zip(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// The whole directory is read at once. 1 KiB an entry leaves room for long
	// names, and not for millions.
	directory := &budget{r: f, left: 128<<10 + 1024*int64(u.opt.MaxEntries)}
	z, err := zip.NewReader(directory, info.Size())
	if err != nil {
		return blame(err)
	}
	directory.left = -1
	end := make([]byte, len(zipEnd))
	if _, err := f.ReadAt(end, info.Size()-zipEndLen-int64(len(z.Comment))); err != nil || string(end) != zipEnd {
		return fmt.Errorf("%w: data after its end", ErrArchive)
	}
	for _, m := range z.File {
		if err := u.zipMember(m); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipMember(m *zip.File) error {
	switch mode := m.Mode(); {
	case mode.IsDir():
		return u.folder(m.Name)
	case !mode.IsRegular():
		return fmt.Errorf("%w: %q is neither a file nor a folder but %v", ErrArchive, m.Name, mode)
	case m.Flags&zipEncrypted != 0:
		return fmt.Errorf("%w: %q is encrypted", ErrArchive, m.Name)
	}
	r, err := m.Open()
	if err != nil {
		return blame(err)
	}
	defer r.Close()
	return u.file(m.Name, m.Mode()&0o111 != 0, metered{r, u})
}

// budget bounds how much is read, as long as left is not negative.
type budget struct {
	r    io.ReaderAt
	left int64 // bytes
}

func (b *budget) ReadAt(p []byte, off int64) (int, error) {
	if b.left >= 0 {
		if b.left -= int64(len(p)); b.left < 0 {
			b.left = 0
			return 0, fmt.Errorf("%w: the directory of the zip", ErrTooLarge)
		}
	}
	return b.r.ReadAt(p, off)
}
