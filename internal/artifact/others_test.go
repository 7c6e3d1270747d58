package artifact

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestArchivesOfOthers unpacks what GNU tar and Python's zipfile wrote, which
// is also what fuzzing begins with. Each has its own ways to write long names,
// holes and sizes of 64 bits.
func TestArchivesOfOthers(t *testing.T) {
	corpus := filepath.Join("testdata", "fuzz", "FuzzUnpack")
	verdicts := map[string]error{
		"gnu-tgz": nil, "pax-tgz": nil, "v7-tgz": nil, "gnu-long-tgz": nil, "pax-long-tgz": nil, "folder-tgz": nil,
		"plain-zip": nil, "comment-zip": nil, "zip64-zip": nil,
		"sparse-gnu-tgz": ErrArchive, "sparse-pax-tgz": ErrArchive, "links-tgz": ErrArchive, "fifo-tgz": ErrArchive,
		"dots-tgz": ErrArchive, "garbage-tgz": ErrArchive, "twice-tgz": ErrArchive, "cut-tgz": ErrArchive,
		"link-zip": ErrArchive, "dots-zip": ErrArchive, "twice-zip": ErrArchive,
		"bomb-tgz": ErrTooLarge, "bomb-zip": ErrTooLarge, "text": ErrFormat,
	}
	for name, want := range verdicts {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(corpus, name))
			must(t, err)
			_, quoted, _ := strings.Cut(strings.TrimSuffix(string(text), ")\n"), "[]byte(")
			data, err := strconv.Unquote(quoted)
			must(t, err)
			_, err = unpackTo(t, []byte(data), Options{MaxUnpacked: 64 << 10})
			wantError(t, err, want)
		})
	}
}
