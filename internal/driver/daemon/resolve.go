package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"reconciler/internal/artifact"
	"reconciler/internal/diff"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// word is what is filled in of a command.
var word = regexp.MustCompile(`\{([a-z]+)(?::([^{}]*))?\}`)

// pinnedLink stands for the kernel's name of the interface as pins have it.
const pinnedLink = "{interface-pinned}"

// resolved is an answer and what it was made from.
type resolved struct {
	want, answer *resource.Set
	notes        []diff.Note
}

// Resolve fills in what only artifacts and loaded programs tell, and with it
// the digest: of all that only a start can change.
func (d *Driver) Resolve(_ context.Context, want *resource.Set) (*resource.Set, []diff.Note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last.want == want && len(d.last.notes) == 0 {
		return d.last.answer, nil
	}
	out := want
	var notes []diff.Note
	for _, o := range want.All() {
		one, ok := o.Resource.(resource.Daemon)
		if !ok {
			continue
		}
		whole, err := d.resolve(want, one)
		if err != nil {
			notes = append(notes, diff.Note{Code: diff.NotReady, Key: o.Key(), Text: err.Error(), Origin: o.Origin})
			continue
		}
		if out == want {
			out = want.Clone()
		}
		out.Remove(o.Key())
		o.Resource = whole
		out.Put(o)
	}
	if d.last.want == want && slices.Equal(d.last.notes, notes) {
		return d.last.answer, notes
	}
	d.last = resolved{want: want, answer: out, notes: notes}
	return out, notes
}

func (d *Driver) resolve(want *resource.Set, one resource.Daemon) (resource.Daemon, error) {
	argv := make([]string, len(one.Argv))
	var failed error
	for i, text := range one.Argv {
		argv[i] = word.ReplaceAllStringFunc(text, func(w string) string {
			m := word.FindStringSubmatch(w)
			value, err := d.value(want, one, m[1], m[2])
			if err != nil && failed == nil {
				failed = err
			}
			return value
		})
	}
	if failed != nil {
		return one, failed
	}
	one.Argv = argv
	digest, err := digestOf(want, one)
	one.Digest = digest
	return one, err
}

// value is what stands for a word. The kernel's name of the interface is known
// only when it starts.
func (d *Driver) value(want *resource.Set, one resource.Daemon, name, of string) (string, error) {
	switch name {
	case "artifact":
		return d.artifact(want, of)
	case "map":
		program, m, _ := strings.Cut(of, "/")
		p, ok := programOf(want, program, one.Link)
		if !ok || p.Digest == "" {
			return "", fmt.Errorf("program %s is not ready", program)
		}
		instance := bpffs.Escape(p.Name)
		if p.Link != "" {
			instance = resource.Instance(instance, pinnedLink)
		}
		dir := filepath.Join(d.cfg.Pins.Dir(), "programs", instance, p.Digest)
		return filepath.Join(dir, "map:"+bpffs.Escape(m)), nil
	case "platform":
		return "linux", nil
	case "arch":
		return runtime.GOARCH, nil
	}
	return "{" + name + "}", nil
}

// artifact is where the archive of a program is unpacked.
func (d *Driver) artifact(want *resource.Set, program string) (string, error) {
	p, ok := programOf(want, program, "")
	if !ok {
		return "", fmt.Errorf("program %s runs in no chain, so nothing of it is fetched", program)
	}
	if d.cfg.Objects == nil || p.Source.Tree != nil {
		return "", fmt.Errorf("the object of program %s comes in no archive", program)
	}
	return d.cfg.Objects.Tree(artifact.Ref{URL: p.Source.URL, File: absolute(p.Source.File), SHA256: p.Source.SHA256, Path: p.Source.Path})
}

func absolute(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return ""
}

// programOf finds an instance of a program: the one of an interface, the one of
// all, or with no interface any.
func programOf(want *resource.Set, name, link string) (resource.Program, bool) {
	var found resource.Program
	ok := false
	for _, o := range want.All() {
		p, is := o.Resource.(resource.Program)
		if is && p.Name == name && (link == "" || p.Link == "" || p.Link == link) {
			found, ok = p, true
		}
	}
	return found, ok
}

// digestOf is over what a start is made of. What can change while it runs is
// not in it: how it is restarted, stopped and asked.
func digestOf(want *resource.Set, one resource.Daemon) (string, error) {
	made := struct {
		Argv    []string
		Env     []resource.NamedText
		Files   []resource.NamedText
		User    string
		Memory  uint64
		CPU     uint32
		Sockets []resource.DaemonSocket
		Notify  bool
		Follows []string
	}{one.Argv, one.Env, nil, one.User, one.Memory, one.CPU, one.Sockets, one.Ready.Notify, nil}
	if one.Reload == "" {
		made.Files = one.Files
	}
	for _, name := range one.RestartOn {
		if p, ok := programOf(want, name, one.Link); ok {
			if p.Digest == "" { // not known is not another version
				return "", fmt.Errorf("program %s is not ready", name)
			}
			made.Follows = append(made.Follows, name+" "+p.Digest)
		}
	}
	text, err := json.Marshal(made)
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", one.Instance(), err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
