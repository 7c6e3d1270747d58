// Package tarball makes the artifacts of tests.
//
// It never ships, and it imports nothing of ours.
package tarball

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Of is an archive of executable files by their paths, with its SHA-256 in hex.
// It is not compressed, which takes long under the race detector.
func Of(files map[string][]byte) (content []byte, sum string) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	if err != nil {
		panic(err)
	}
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}))
		_, wrote := w.Write(files[name])
		err = errors.Join(err, wrote)
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		panic(err) // nothing but memory was written to
	}
	return b.Bytes(), fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
}
