package daemon

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"reconciler/internal/artifact"
	"reconciler/internal/diff"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/test/tarball"
)

// archive packs the helper, as a program's artifact has it beside its object.
func (r *rig) archive() artifact.Ref {
	r.Helper()
	content, err := os.ReadFile(r.helper)
	if err != nil {
		r.Fatal(err)
	}
	packed, sum := tarball.Of(map[string][]byte{"bin/helper": content})
	path := filepath.Join(r.TempDir(), "a.tar.gz")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		r.Fatal(err)
	}
	return artifact.Ref{File: path, SHA256: sum}
}

func setOf(all ...resource.Resource) *resource.Set {
	out := resource.NewSet(len(all))
	for _, r := range all {
		out.Put(resource.Object{Resource: r})
	}
	return out
}

// resolvedDaemon is the one daemon of a set.
func resolvedDaemon(s *resource.Set) (out resource.Daemon) {
	for _, o := range s.All() {
		if d, ok := o.Resource.(resource.Daemon); ok {
			out = d
		}
	}
	return out
}

// A program that came in the archive of a BPF object runs as nobody, out of a
// cache that nobody may enter.
func TestRunsOutOfAnArtifact(t *testing.T) {
	r := newRig(t)
	store, err := artifact.Open(filepath.Join(r.cfg.State, "objects"), artifact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.cfg.Objects = store
	r.reopen()
	if err := os.Chmod(r.cfg.State, 0o700); err != nil {
		t.Fatal(err)
	}
	ref := r.archive()
	d := r.daemon("sleep")
	d.Argv[0], d.Digest = "{artifact:limit}/bin/helper", ""
	want := setOf(d, resource.Program{Name: "limit", Source: resource.ObjectSource{File: ref.File, SHA256: ref.SHA256}, Digest: strings.Repeat("a", 64)})
	same, notes := r.Resolve(t.Context(), want)
	if len(notes) != 1 || notes[0].Code != diff.NotReady || notes[0].Key != d.Key() || same != want {
		t.Fatalf("notes %+v", notes)
	}
	if err := store.Fetch(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	out, notes := r.Resolve(t.Context(), want)
	if again, _ := r.Resolve(t.Context(), want); len(notes) != 0 || again != out {
		t.Fatalf("notes %+v, the same set: %v", notes, again == out)
	}
	whole := resolvedDaemon(out)
	r.apply(create(whole))
	r.waitFor("its word", func() bool { return strings.Contains(r.log(whole), "up") })
	if s := r.seen(whole); s.State != resource.DaemonRunning {
		t.Errorf("seen %+v", s)
	}
}

func TestWords(t *testing.T) {
	r := newRig(t)
	r.cfg.Pins = bpffs.Root{Mount: "/sys/fs/bpf", Namespace: "7"}
	r.reopen()
	sum := strings.Repeat("ab", 32)
	d := resource.Daemon{Name: "x", Link: "eth0.5", Argv: []string{"/x", "{platform}/{arch}", "{map:limit/seen.v4}", "{interface}", "{other}"}}
	out, notes := r.Resolve(t.Context(), setOf(d, resource.Program{Name: "limit", Link: "eth0.5", Digest: sum}))
	if len(notes) != 0 {
		t.Fatal(notes)
	}
	got := filled(resolvedDaemon(out).Argv, "eth0.5")
	want := []string{"/x", "linux/" + runtime.GOARCH, "/sys/fs/bpf/reconciler/7/programs/limit@eth0%2e5/" + sum + "/map:seen%2ev4", "eth0.5", "{other}"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// What a start is made of is another process; how it is stopped is not. Another
// version of a program is one where it is asked for.
func TestDigest(t *testing.T) {
	r := newRig(t)
	program := resource.Program{Name: "limit", Digest: strings.Repeat("a", 64)}
	digest := func(d resource.Daemon, p resource.Program) string {
		out, notes := r.Resolve(t.Context(), setOf(d, p))
		if len(notes) != 0 {
			t.Fatal(notes)
		}
		return resolvedDaemon(out).Digest
	}
	base := resource.Daemon{Name: "x", Argv: []string{"/x"}, Files: []resource.NamedText{{Name: "a", Text: "1"}}, Reload: "HUP", RestartOn: []string{"limit"}}
	was := digest(base, program)
	for name, change := range map[string]func(d *resource.Daemon, p *resource.Program) (other bool){
		"argv":       func(d *resource.Daemon, _ *resource.Program) bool { d.Argv = []string{"/x", "y"}; return true },
		"env":        func(d *resource.Daemon, _ *resource.Program) bool { d.Env = d.Files; return true },
		"user":       func(d *resource.Daemon, _ *resource.Program) bool { d.User = "bin"; return true },
		"memory":     func(d *resource.Daemon, _ *resource.Program) bool { d.Memory = 1; return true },
		"program":    func(_ *resource.Daemon, p *resource.Program) bool { p.Digest = strings.Repeat("b", 64); return true },
		"files":      func(d *resource.Daemon, _ *resource.Program) bool { d.Files = nil; return false },
		"no reload":  func(d *resource.Daemon, _ *resource.Program) bool { d.Reload = ""; return true },
		"stop":       func(d *resource.Daemon, _ *resource.Program) bool { d.Stop, d.StopAfter = "INT", 1; return false },
		"restart":    func(d *resource.Daemon, _ *resource.Program) bool { d.Restart.Max = 9; return false },
		"release":    func(d *resource.Daemon, _ *resource.Program) bool { d.Release = "v2"; return false },
		"ready.http": func(d *resource.Daemon, _ *resource.Program) bool { d.Ready.HTTP = "http://x"; return false },
	} {
		d, p := base, program
		if other := change(&d, &p); (digest(d, p) != was) != other {
			t.Errorf("%s: another digest: %v, want %v", name, !other, other)
		}
	}
	// One that is not known yet is not another version.
	program.Digest = ""
	if _, notes := r.Resolve(t.Context(), setOf(base, program)); len(notes) != 1 || notes[0].Code != diff.NotReady {
		t.Errorf("notes %+v", notes)
	}
}

// How a process that runs is asked and stopped follows the YAML.
func TestWhatOnlyTheDriverUsesFollows(t *testing.T) {
	r := newRig(t)
	d := r.daemon("sleep")
	d.Ready.Timeout = 1 << 40
	r.apply(create(d))
	next := d
	next.StopAfter, next.Ready.Timeout = 1<<30, 0
	if _, err := r.Driver.Observe(t.Context(), observed.Query{Want: setOf(next)}); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if all := r.observe(); len(all) != 1 || all[0].StopAfter != 1<<30 || all[0].Seen.Ready == 0 {
		t.Errorf("seen %+v", all)
	}
}
