package artifact

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
)

// tarGz reads the stream to its end: a tar ends before the gzip around it, and
// only that has a checksum.
func (u *unpacker) tarGz(r io.Reader) error {
	unzipped, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return blame(err)
	}
	plain := metered{unzipped, u}
	t := tar.NewReader(plain)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return onlyZeros(plain)
		}
		if err != nil {
			return blame(err)
		}
		if err := u.tarMember(h, t); err != nil {
			return err
		}
	}
}

func (u *unpacker) tarMember(h *tar.Header, r io.Reader) error {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("%w: %q is sparse", ErrArchive, h.Name)
		}
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader: // what git archive begins with
		return u.count()
	case tar.TypeDir:
		return u.folder(h.Name)
	case tar.TypeReg:
		return u.file(h.Name, h.Mode&0o111 != 0, r)
	}
	return fmt.Errorf("%w: %q is neither a file nor a folder but of type %q", ErrArchive, h.Name, h.Typeflag)
}

// onlyZeros reads what pads a tar. Anything else there would be an archive for
// some readers and none for others.
func onlyZeros(r io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return fmt.Errorf("%w: data after its end", ErrArchive)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return blame(err)
		}
	}
}
