package artifact

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// unpackTo unpacks an artifact through a cache and returns its folder there.
func unpackTo(t *testing.T, data []byte, o Options) (string, error) {
	t.Helper()
	s := open(t, o)
	ref := Ref{File: put(t, data), SHA256: digest(data)}
	err := s.Fetch(context.Background(), ref)
	wantClean(t, s)
	if err != nil {
		if left := listing(t, filepath.Join(s.dir, trees)); len(left) != 1 {
			t.Errorf("left after %v: %v", err, left)
		}
	}
	return filepath.Join(s.tree(ref.SHA256), files), err
}

func TestUnpack(t *testing.T) {
	long := strings.Repeat("d/", 100) + strings.Repeat("n", 200) + ".o"
	for _, c := range []struct {
		name string
		data []byte
		want []string
	}{
		{"tar", tgz(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700}, file("d/a.o"),
			tar.Header{Name: "d/run", Mode: 0o4711, Size: 1}, file("empty/e.o")),
			[]string{"drwxr-xr-x .", "drwxr-xr-x d", "-rw-r--r-- d/a.o", "-rwxr-xr-x d/run", "drwxr-xr-x empty", "-rw-r--r-- empty/e.o"}},
		{"tar of the folder itself", tgz(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}, file("./a.o")),
			[]string{"drwxr-xr-x .", "-rw-r--r-- a.o"}},
		{"names to clean", tgz(t, file("d//a.o"), file("./d/./b.o")),
			[]string{"drwxr-xr-x .", "drwxr-xr-x d", "-rw-r--r-- d/a.o", "-rw-r--r-- d/b.o"}},
		{"a folder told of late", tgz(t, file("d/a.o"), tar.Header{Name: "d", Typeflag: tar.TypeDir}),
			[]string{"drwxr-xr-x .", "drwxr-xr-x d", "-rw-r--r-- d/a.o"}},
		{"names that differ in case", tgz(t, file("a.o"), file("A.o")),
			[]string{"drwxr-xr-x .", "-rw-r--r-- A.o", "-rw-r--r-- a.o"}},
		{"dots that lead nowhere", tgz(t, file("..a..o")),
			[]string{"drwxr-xr-x .", "-rw-r--r-- ..a..o"}},
		{"git archive", tgz(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "abc"}}, file("a.o")),
			[]string{"drwxr-xr-x .", "-rw-r--r-- a.o"}},
		{"gzip of several members", func() []byte {
			whole := tarred(t, file("a.o"))
			return slices.Concat(gzipped(t, whole[:700]), gzipped(t, nil), gzipped(t, whole[700:]))
		}(), []string{"drwxr-xr-x .", "-rw-r--r-- a.o"}},
		{"tar with padding", gzipped(t, append(tarred(t, file("a.o")), make([]byte, 10240)...)),
			[]string{"drwxr-xr-x .", "-rw-r--r-- a.o"}},
		{"zip", zipOf(t, zipMode("d/", fs.ModeDir|0o700), zipFile("d/a.o"), zipMode("run", 0o711)),
			[]string{"drwxr-xr-x .", "drwxr-xr-x d", "-rw-r--r-- d/a.o", "-rwxr-xr-x run"}},
		{"zip of stored members", zipOf(t, zip.FileHeader{Name: "a.o", Method: zip.Store}),
			[]string{"drwxr-xr-x .", "-rw-r--r-- a.o"}},
		{"zip64", zip64(t), []string{"drwxr-xr-x .", "-rw-r--r-- a.o"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := syscall.Umask(0o077) // of the process; these tests are not parallel
			defer syscall.Umask(old)
			dir, err := unpackTo(t, c.data, Options{})
			must(t, err)
			if got := listing(t, dir); !slices.Equal(got, c.want) {
				t.Errorf("unpacked %q, want %q", got, c.want)
			}
		})
	}
	for _, format := range []tar.Format{tar.FormatPAX, tar.FormatGNU} {
		t.Run("long names in "+format.String(), func(t *testing.T) {
			dir, err := unpackTo(t, tgz(t, tar.Header{Name: long, Size: 8, Format: format}), Options{})
			must(t, err)
			must(t, verifyFile(filepath.Join(dir, long), digest(content(long, 8))))
		})
	}
}

func TestRefusals(t *testing.T) {
	link := func(kind byte) []byte {
		return tgz(t, file("a.o"), tar.Header{Name: "l", Typeflag: kind, Linkname: "a.o"})
	}
	name := func(name string) []byte { return tgz(t, file("a.o"), file(name)) }
	zipName := func(name string) []byte { return zipOf(t, zipFile("a.o"), zipFile(name)) }
	whole := tgz(t, file("a.o"))
	small := Options{MaxUnpacked: 64 << 10}
	few := Options{MaxEntries: 3}
	bomb := tgz(t, tar.Header{Name: "a.o", Size: 1 << 20})
	for _, c := range []struct {
		name string
		data []byte
		opt  Options
		want error
	}{
		{"nothing", nil, Options{}, ErrFormat},
		{"text", []byte("<html>"), Options{}, ErrFormat},
		{"tar without gzip", tarred(t, file("a.o")), Options{}, ErrFormat},
		{"object in gzip", gzipped(t, elf("x")), Options{}, ErrArchive},
		{"empty tar", tgz(t), Options{}, ErrArchive},
		{"only folders", tgz(t, tar.Header{Name: "d", Typeflag: tar.TypeDir}), Options{}, ErrArchive},
		{"empty zip", zipOf(t), Options{}, ErrArchive},

		{"symbolic link", link(tar.TypeSymlink), Options{}, ErrArchive},
		{"hard link", link(tar.TypeLink), Options{}, ErrArchive},
		{"character device", link(tar.TypeChar), Options{}, ErrArchive},
		{"block device", link(tar.TypeBlock), Options{}, ErrArchive},
		{"fifo", link(tar.TypeFifo), Options{}, ErrArchive},
		{"contiguous file", gzipped(t, patched(tarred(t, file("a.o")), typeAt, tar.TypeCont)), Options{}, ErrArchive},
		{"sparse file", sparse(t), Options{}, ErrArchive},

		{"twice", name("a.o"), Options{}, ErrArchive},
		{"twice once clean", name("./a.o"), Options{}, ErrArchive},
		{"folder twice", tgz(t, file("d/a.o"), tar.Header{Name: "d", Typeflag: tar.TypeDir}, tar.Header{Name: "./d", Typeflag: tar.TypeDir}), Options{}, ErrArchive},
		{"file where a folder is", tgz(t, file("d/a.o"), file("d")), Options{}, ErrArchive},
		{"folder where a file is", name("a.o/b.o"), Options{}, ErrArchive},
		{"absolute", name("/b.o"), Options{}, ErrArchive},
		{"above", name("../b.o"), Options{}, ErrArchive},
		{"above and back", name("d/../b.o"), Options{}, ErrArchive},
		{"folder above", tgz(t, file("a.o"), tar.Header{Name: "..", Typeflag: tar.TypeDir}), Options{}, ErrArchive},
		{"backslash", name(`..\b.o`), Options{}, ErrArchive},
		{"line feed", name("b\n.o"), Options{}, ErrArchive},
		{"no UTF-8", name("b\xff.o"), Options{}, ErrArchive},
		{"long name", name(strings.Repeat("d/", 512) + "b.o"), Options{}, ErrArchive},
		{"long element", name(strings.Repeat("n", 256)), Options{}, ErrArchive},
		{"file that is the folder", name("."), Options{}, ErrArchive},
		{"file with a slash", gzipped(t, patched(tarred(t, file("b_")), 1, '/')), Options{}, ErrArchive},

		{"truncated", whole[:len(whole)-10], Options{}, ErrArchive},
		{"wrong checksum", flipped(whole, len(whole)-8), Options{}, ErrArchive},
		{"wrong length", flipped(whole, len(whole)-4), Options{}, ErrArchive},
		{"garbage after gzip", append(slices.Clone(whole), "garbage"...), Options{}, ErrArchive},
		{"zeros after gzip", append(slices.Clone(whole), 0, 0, 0, 0), Options{}, ErrArchive},
		{"tar after tar", slices.Concat(whole, whole), Options{}, ErrArchive},
		{"bomb", bomb, small, ErrTooLarge},
		{"bomb after the end", gzipped(t, append(tarred(t, file("a.o")), make([]byte, 1<<20)...)), small, ErrTooLarge},
		{"bomb of headers", tgz(t, tar.Header{Name: "a.o", Size: 8, PAXRecords: map[string]string{"comment": strings.Repeat("x", 1<<19)}}), small, ErrTooLarge},
		{"many files", tgz(t, file("a"), file("b"), file("c"), file("d")), few, ErrTooLarge},
		{"many folders above", tgz(t, file("a/b/c/d")), few, ErrTooLarge},
		{"many folders", tgz(t, slices.Repeat([]tar.Header{{Name: ".", Typeflag: tar.TypeDir}}, 4)...), few, ErrTooLarge},
		{"many global headers", tgz(t, slices.Repeat([]tar.Header{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}}, 4)...), few, ErrTooLarge},

		{"zip: symbolic link", zipOf(t, zipFile("a.o"), zipMode("l", fs.ModeSymlink|0o777)), Options{}, ErrArchive},
		{"zip: device", zipOf(t, zipFile("a.o"), zipMode("l", fs.ModeDevice|0o777)), Options{}, ErrArchive},
		{"zip: fifo", zipOf(t, zipFile("a.o"), zipMode("l", fs.ModeNamedPipe|0o777)), Options{}, ErrArchive},
		{"zip: twice", zipName("./a.o"), Options{}, ErrArchive},
		{"zip: absolute", zipName("/b.o"), Options{}, ErrArchive},
		{"zip: above", zipName("../b.o"), Options{}, ErrArchive},
		{"zip: backslash", zipName(`d\b.o`), Options{}, ErrArchive},
		{"zip: NUL", zipName("b\x00.o"), Options{}, ErrArchive},
		{"zip: no name", zipName(""), Options{}, ErrArchive},
		{"zip: encrypted", encrypted(t), Options{}, ErrArchive},
		{"zip: garbage", append(zipOf(t, zipFile("a.o")), "garbage"...), Options{}, ErrArchive},
		{"zip: truncated", zipOf(t, zipFile("a.o"))[:100], Options{}, ErrArchive},
		{"zip: wrong checksum", flipped(zipOf(t, zip.FileHeader{Name: "a.o", Method: zip.Store}), 30+len("a.o")+4), Options{}, ErrArchive},
		{"zip: bomb", zipBomb(t, 1<<20), small, ErrTooLarge},
		{"zip: bomb that tells less", zipBomb(t, 1), small, ErrArchive},
		{"zip: many files", zipOf(t, zipFile("a"), zipFile("b"), zipFile("c"), zipFile("d")), few, ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := unpackTo(t, c.data, c.opt)
			wantError(t, err, c.want)
		})
	}
}

// TestZipDirectoryIsBounded has an archive whose list of members alone would
// fill the memory.
func TestZipDirectoryIsBounded(t *testing.T) {
	var headers []zip.FileHeader
	for i := range 1000 {
		headers = append(headers, zipFile(fmt.Sprintf("%0200d", i)))
	}
	_, err := unpackTo(t, zipOf(t, headers...), Options{MaxEntries: 10})
	wantError(t, err, ErrTooLarge)
	if !strings.Contains(err.Error(), "directory") {
		t.Errorf("error %v, want one about the directory", err)
	}
}

func TestUnpackStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := open(t, Options{})
	for _, data := range [][]byte{tgz(t, file("a.o")), zipOf(t, zipFile("a.o"))} {
		wantError(t, s.Fetch(ctx, Ref{File: put(t, data), SHA256: digest(data)}), context.Canceled)
		wantClean(t, s)
	}
}

const typeAt = 156 // in the header of a member of a tar

// patched is a tar with another byte in the header of its first member.
func patched(data []byte, at int, to byte) []byte {
	const sumAt, sumLen, block = 148, 8, 512
	data[at] = to
	copy(data[sumAt:], strings.Repeat(" ", sumLen))
	sum := 0
	for _, b := range data[:block] {
		sum += int(b)
	}
	copy(data[sumAt:], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

// sparse has a member with holes, which archive/tar reads and does not write.
func sparse(t *testing.T) []byte {
	data := tarred(t, tar.Header{Name: "a.o", Size: 8, PAXRecords: map[string]string{
		"XXX.sparse.map": "0,8", "XXX.sparse.size": "8", "XXX.sparse.numblocks": "1",
	}})
	return gzipped(t, bytes.ReplaceAll(data, []byte("XXX.sparse"), []byte("GNU.sparse")))
}

func flipped(data []byte, at int) []byte {
	data = slices.Clone(data)
	data[at] ^= 1
	return data
}

// encrypted has a member that says it is, though one can read it.
func encrypted(t *testing.T) []byte {
	data := zipOf(t, zipFile("a.o"))
	entry := bytes.Index(data, []byte("PK\x01\x02"))
	data[entry+8] |= zipEncrypted
	return data
}

// zipBomb has a member of a megabyte, whatever it tells.
func zipBomb(t *testing.T, told uint64) []byte {
	var deflated, b bytes.Buffer
	f, err := flate.NewWriter(&deflated, flate.BestCompression)
	must(t, err)
	_, err = f.Write(make([]byte, 1<<20))
	must(t, err)
	must(t, f.Close())
	w := zip.NewWriter(&b)
	out, err := w.CreateRaw(&zip.FileHeader{Name: "a.o", Method: zip.Deflate, CompressedSize64: uint64(deflated.Len()), UncompressedSize64: told})
	must(t, err)
	_, err = out.Write(deflated.Bytes())
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// zip64 is a small zip in the form of a large one: its end is told in 64 bits.
func zip64(t *testing.T) []byte {
	data := zipOf(t, zipFile("a.o"))
	end := bytes.LastIndex(data, []byte(zipEnd))
	at, size := binary.LittleEndian.Uint32(data[end+16:]), binary.LittleEndian.Uint32(data[end+12:])
	le := binary.LittleEndian
	var b []byte
	b = append(b, data[:end]...)
	b = append(b, "PK\x06\x06"...)
	b = le.AppendUint64(b, 44)
	b = le.AppendUint32(b, 45<<16|45)
	b = le.AppendUint64(b, 0) // disks
	b = le.AppendUint64(b, 1)
	b = le.AppendUint64(b, 1)
	b = le.AppendUint64(b, uint64(size))
	b = le.AppendUint64(b, uint64(at))
	b = append(b, "PK\x06\x07"...)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(end))
	b = le.AppendUint32(b, 1)
	b = append(b, zipEnd...)
	b = le.AppendUint32(b, 0)
	b = append(b, bytes.Repeat([]byte{0xff}, 12)...)
	return le.AppendUint16(b, 0)
}
