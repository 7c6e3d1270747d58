package desired

import (
	"strings"
	"testing"

	"reconciler/internal/resource"
)

const (
	sum      = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	artifact = `artifact: {url: "https://r.example/x.tar.gz", sha256: "` + sum + `"}`
)

// TestUpgradeFaults lists what is refused of daemons and upgrades, and by which
// words.
func TestUpgradeFaults(t *testing.T) {
	const daemon = "daemons: {d: {command: [/opt/x/latest/x]}}\n"
	upgrade := func(more string) string { return "upgrades: {x: {version: v1.0.0, " + artifact + ", " + more + "}}" }
	for _, tt := range []struct{ name, text, want string }{
		{"no root", upgrade("start: {mode: none}"), "root is missing"},
		{"a short root", upgrade("root: /opt, start: {mode: none}"), "not directly below /"},
		{"a relative root", upgrade("root: opt/x, start: {mode: none}"), "no directory for versions"},
		{"an unclean root", upgrade("root: /opt/../x/y, start: {mode: none}"), "no directory for versions"},
		{"no daemon", upgrade("root: /opt/x, start: {mode: daemon}"), "needs to know which"},
		{"an unknown daemon", daemon + upgrade("root: /opt/x, start: {mode: daemon, daemon: dd}"), "did you mean d?"},
		{"a daemon of another mode", daemon + upgrade("root: /opt/x, start: {mode: none, daemon: d}"), "daemon belongs to mode daemon"},
		{"a unit without a name", upgrade("root: /opt/x, start: {mode: unit}"), "NAME.service"},
		{"nothing to run before", upgrade("root: /opt/x, start: {mode: none}, preflight: {version: [--version]}"), "what is it to run?"},
		{"a way out of the version", upgrade("root: /opt/x, start: {mode: none}, preflight: {command: ../y, version: [-v]}"), "no path within the version"},
		{"a plan of somebody else", upgrade("root: /opt/x, start: {mode: none}, ready: {plan-unchanged: true}"), "only reconciler makes plans"},
		{"a probe of nobody", upgrade("root: /opt/x, start: {mode: none}, ready: {http: \"http://127.0.0.1/\"}"), "starts nothing"},
		{"two probes", daemon + upgrade("root: /opt/x, start: {mode: daemon, daemon: d}, ready: {notify: true, tcp: \"127.0.0.1:1\"}"), "exclude each other"},
		{"hooks of no unit", upgrade("root: /opt/x, start: {mode: none}, hooks: {hold: [{exec: [/x]}]}"), "of mode unit"},
		{"a hook by name", upgrade("root: /opt/x, start: {mode: unit, unit: x.service}, hooks: {hold: [{exec: [x]}]}"), "no absolute path"},
		{"a key that is none", "upgrades: {x: {version: v1, root: /opt/x, start: {mode: none}, artifact: {url: \"https://r.example/x\", sha256: \"" + sum +
			"\", signature: {type: minisign, key: RWQ}}}}", "not a public key of minisign"},
		{"no digest of this architecture", "upgrades: {x: {version: v1, root: /opt/x, start: {mode: none}, artifact: {url: \"https://r.example/x\", sha256: {arm64: \"" + sum + "\"}}}}", "no sha256 for amd64"},
		{"one root of two", "upgrades:\n  x: {version: v1, " + artifact + ", root: /opt/x, start: {mode: none}}\n  y: {version: v1, " + artifact + ", root: /opt/x/y, start: {mode: none}}", "root of another upgrade"},
		{"one daemon of two", daemon + "upgrades:\n  x: {version: v1, " + artifact + ", root: /opt/x, start: {mode: daemon, daemon: d}}\n  y: {version: v1, " + artifact + ", root: /opt/y, start: {mode: daemon, daemon: d}}", "runs the versions of upgrade x already"},

		{"a relative command", "daemons: {d: {command: [x]}}", "no absolute path"},
		{"no command", "daemons: {d: {command: []}}", "0 words"},
		{"an unknown word", "daemons: {d: {command: [/x, \"{interfaces}\"]}}", "nothing is known to fill in"},
		{"an interface of none", "daemons: {d: {command: [/x, \"{interface}\"]}}", "for names a chain"},
		{"an unknown artifact", "daemons: {d: {command: [\"{artifact:zz}/x\"]}}", "no program is named zz"},
		{"an unknown chain", "daemons: {d: {command: [/x], for: chains/up}}", "no chain is named up"},
		{"a chain by its bare name", "daemons: {d: {command: [/x], for: up}}", "no chains/NAME"},
		{"a path as a file", "daemons: {d: {command: [/x], files: {a/b: x}}}", "a/b"},
		{"one address of two", "daemons:\n  d: {command: [/x], sockets: [{listen: \"127.0.0.1:1\"}]}\n  e: {command: [/x], sockets: [{listen: \"127.0.0.1:1\"}]}", "listens there already"},
		{"nowhere to listen", "daemons: {d: {command: [/x], sockets: [{listen: \"example:1\"}]}}", "nowhere to listen"},
		{"memory without a unit", "daemons: {d: {command: [/x], limits: {memory: \"64\"}}}", "write 64MiB"},
		{"a share of nothing", "daemons: {d: {command: [/x], limits: {cpu: 0%}}}", "no share of a CPU"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(flat("version: 1\n"+tt.text+"\n"), Options{Arch: "amd64"})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "f0.yaml:") {
				t.Errorf("got %v, want %q and a position", err, tt.want)
			}
		})
	}
}

// TestDaemonOfAnUpgrade is that the version, the command and the readiness of
// an upgrade are its process's.
func TestDaemonOfAnUpgrade(t *testing.T) {
	d := mustLoad(t, flat("version: 1\ndaemons: {d: {command: [/opt/x/latest/bin/x, -a]}}\nupgrades: {x: {version: v1.0.0, "+artifact+
		", root: /opt/x, start: {mode: daemon, daemon: d}, preflight: {version: [-v]}, ready: {tcp: \"127.0.0.1:1\", timeout: 3s}}}\n"))
	dir := resource.ReleaseDir("v1.0.0", sum)
	o, ok := d.Want.Get(resource.Daemon{Name: "d", Release: dir}.Key())
	if !ok {
		t.Fatalf("no process of %s in %v", dir, d.Want.All())
	}
	one := o.Resource.(resource.Daemon)
	if one.Upgrade != "x" || one.Ready.TCP != "127.0.0.1:1" || one.StopAfter != defaultStopTimeout {
		t.Errorf("the process is %+v", one)
	}
	r, _ := d.Want.Get(resource.ReleaseKey("x", dir))
	if got := r.Resource.(resource.Release); got.Command != "bin/x" || got.Source.SHA256 != sum {
		t.Errorf("the version is %+v", got)
	}
}

// TestWayOut is that a tree for a newer build tells an older one how to become
// that, whatever else is in it.
func TestWayOut(t *testing.T) {
	tree := files(treeFile, "version: 1\nmin-version: v2.0.0\nlayers: [base]\nnew-key: 1\n", "base/n.yaml",
		"version: 1\nnew-section: {a: 1}\nvips: {a: {new: 1}}\nupgrades:\n"+
			"  other: {version: v1, root: /opt/o, start: {mode: later}, "+artifact+"}\n"+
			"  reconciler: {version: v2.0.0, start: {mode: handover}, new-too: {b: 2}, "+artifact+"}\n")
	d, err := Load(tree, Options{Host: "a", Version: "v1.9.0", Arch: "amd64"})
	if err == nil || d.Want != nil || !strings.Contains(err.Error(), "the tree needs reconciler v2.0.0") {
		t.Fatalf("got %v, %v", d.Want, err)
	}
	if d.WayOut == nil || d.WayOut.Len() != 3 {
		t.Fatalf("the way out is %v", d.WayOut)
	}
	o, ok := d.WayOut.Get(resource.SelfKey("reconciler"))
	if !ok || o.Resource.(resource.Self).Dir != resource.ReleaseDir("v2.0.0", sum) || o.Resource.(resource.Self).Root != ownRoot {
		t.Errorf("reconciler itself: %+v", o)
	}
	for name, text := range map[string]string{
		"nothing of it":    "version: 1\n",
		"not pinned":       "version: 1\nupgrades: {reconciler: {version: v2.0.0, start: {mode: handover}, artifact: {url: \"https://r.example/x\"}}}\n",
		"of somebody else": "version: 1\nupgrades: {x: {version: v2.0.0, root: /opt/x, start: {mode: none}, " + artifact + "}}\n",
	} {
		d, _ := Load(files(treeFile, "version: 1\nmin-version: v2.0.0\nlayers: [base]\n", "base/n.yaml", text), Options{Host: "a", Version: "v1.9.0", Arch: "amd64"})
		if d.WayOut != nil {
			t.Errorf("%s: %v", name, d.WayOut.All())
		}
	}
}
