// Command dist packs what upgrades of reconciler consume: a tar.gz and a zip with
// its programs for each architecture, and their digests. Two runs on the same tree make the same bytes, wherever
// it lies.
//
//	go run ./test/dist -version v0.3.0 -out dist
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var (
	architectures = []string{"amd64", "arm64"}
	programs      = []string{"reconciler", "reconciler-boot"}
	documents     = []string{"LICENSE"}
)

func main() {
	version := flag.String("version", "", "what the programs say they are")
	out := flag.String("out", "dist", "where the archives go")
	stamp := flag.Int64("stamp", 0, "the time of all members, in seconds since 1970")
	flag.Parse()
	if err := run(*version, *out, time.Unix(*stamp, 0).UTC()); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

// member is a file of an archive.
type member struct {
	name    string
	mode    int64
	content []byte
}

func run(version, out string, at time.Time) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var sums strings.Builder
	for _, arch := range architectures {
		members, err := build(version, arch)
		if err != nil {
			return err
		}
		for suffix, pack := range map[string]func(io.Writer, []member, time.Time) error{".tar.gz": packTar, ".zip": packZip} {
			var b bytes.Buffer
			if err := pack(&b, members, at); err != nil {
				return err
			}
			name := "reconciler-" + arch + suffix
			if err := os.WriteFile(filepath.Join(out, name), b.Bytes(), 0o644); err != nil {
				return err
			}
			line := fmt.Sprintf("%x  %s\n", sha256.Sum256(b.Bytes()), name)
			if err := os.WriteFile(filepath.Join(out, name+".sha256"), []byte(line), 0o644); err != nil {
				return err
			}
			sums.WriteString(line)
		}
	}
	fmt.Print(sums.String())
	return nil
}

// build makes the programs for an architecture.
func build(version, arch string) ([]member, error) {
	dir, err := os.MkdirTemp("", "dist-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var out []member
	for _, name := range documents {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, member{name, 0o644, content})
	}
	for _, name := range programs {
		path := filepath.Join(dir, name)
		// No path, no revision and no build id: only the sources decide.
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+version, "-o", path, "./cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("build %s for %s: %w", name, arch, err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, member{name, 0o755, content})
	}
	return out, nil
}

func packTar(w io.Writer, members []member, at time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: m.mode, Size: int64(len(m.content)), ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(m.content); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func packZip(w io.Writer, members []member, at time.Time) error {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: at}
		h.SetMode(os.FileMode(m.mode))
		f, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(m.content); err != nil {
			return err
		}
	}
	return z.Close()
}
