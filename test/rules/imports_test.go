package rules

import (
	"fmt"
	"slices"
	"strings"
)

// everything stands for all packages below internal, drivers included.
const everything = "*"

// layers says which packages of ours a package may import; imports run one
// way, from the vocabulary at the top to the wiring at the bottom.
var layers = []struct {
	dir    string
	may    []string
	reason string
}{
	{"internal/resource", nil, "the vocabulary is what all others agree on"},
	{"internal/strict", nil, "a decoder knows no meaning"},
	{"internal/clock", nil, "the kernel's time, whoever asks"},
	{"internal/state", []string{"clock"}, "records on disk are plain values"},
	{"internal/source", []string{"state"}, "bytes and revisions; what they mean is for desired to say"},
	{"internal/artifact", nil, "bytes from strangers; what is in them is for others to say"},
	{"internal/maglev", nil, "a ring is a value: what it is for is for a driver to say"},
	{"internal/testns", nil, "every test of a real kernel stands on it"},
	{"internal/agent", []string{"strict"}, "local policy is read before anything else exists"},
	{"internal/desired", []string{"resource", "strict"}, "check needs no root, kernel or network"},
	{"internal/observed", []string{"resource"}, "what is there, whoever reads it"},
	{"internal/diff", []string{"resource", "observed"}, "diff knows no YAML, no kernel and no driver"},
	{"internal/driver", []string{"resource", "observed", "diff"}, "the seam is told in the words of the plan"},
	{"internal/driver/fake", []string{"resource", "observed", "diff", "driver"}, "a host in memory is a driver like any other"},
	{"internal/driver/failpoint", []string{"resource", "observed", "diff", "driver"}, "it wraps a driver and knows none"},
	{"internal/driver/chain", []string{"resource", "observed", "diff", "driver", "driver/bpffs", "driver/chain/bpf", "driver/chain/value", "artifact", "state"}, "never another driver"},
	{"internal/driver/bpffs", nil, "where pins stand, whoever pins"},
	{"internal/driver/chain/bpf", nil, "what the kernel runs, as it was compiled"},
	{"internal/driver/lb/bpf", nil, "what the kernel runs, as it was compiled"},
	{"internal/driver/lb/plane", []string{"driver/lb/bpf"}, "maps as they are, whoever decides what is in them"},
	{"internal/driver/netlink", []string{"resource", "observed", "diff", "driver", "driver/netlink/wire", "state"}, "never another driver"},
	{"internal/driver/lb", []string{"resource", "observed", "diff", "driver", "driver/bpffs", "driver/lb/plane", "driver/netlink/wire", "clock", "maglev"}, "never another driver; the wire is nobody's"},
	{"internal/release", []string{"resource"}, "what starts when nothing else does stands on it"},
	{"internal/driver/release", []string{"resource", "observed", "diff", "driver", "artifact", "release", "shim"}, "never another driver"},
	{"internal/driver/daemon", []string{"resource", "observed", "diff", "driver", "driver/bpffs", "artifact", "clock", "shim", "state"}, "never another driver"},
	{"internal/shim", nil, "who a process is, whatever it is for"},
	{"internal/handover", nil, "what two processes say to each other, whatever they are"},
	{"internal/driver/handover", []string{"resource", "observed", "diff", "driver", "clock", "handover"}, "never another driver"},
	{"internal/driver/netlink/wire", nil, "messages as the kernel has them, whatever they are for"},
	{"internal/driver/chain/value", []string{"resource", "strict"}, "bytes of a map, whoever reads or writes them"},
	{"internal/apply", []string{"resource", "observed", "diff", "driver"}, "plans are data, and this is their one interpreter"},
	{"internal/health", nil, "what a stranger answered, in plain values"},
	{"internal/intent", []string{"resource", "observed", "diff", "maglev"}, "deciders are pure"},
	{"internal/doctor", []string{"resource"}, "rules are pure, and know no driver"},
	{"internal/capture", []string{"resource", "observed"}, "the opposite direction of desired"},
	{"internal/engine", []string{"resource", "observed", "diff", "driver", "apply", "intent", "desired", "source", "state", "agent", "clock", "strict", "health"},
		"the loop calls the stages in their order and knows no dataplane"},
	{"internal/api", []string{"resource", "observed", "diff", "apply", "engine", "source"}, "what the daemon answers, in the engine's words"},
	{"examples/chains", nil, "bytes to show"},
	{"internal/demo", nil, "it shows the binary that users run, from outside"},
	{"cmd", []string{everything}, "only the wiring knows everything"},
	{"test", []string{everything}, "nothing that ships imports it"},
}

// importsAgainstLayers finds imports that run the other way.
func importsAgainstLayers(files []file) (found []string) {
	for dir, files := range byDir(files) {
		may, ok := allowed(dir)
		if !ok {
			found = append(found, dir+": no line in layers says what it may import")
			continue
		}
		for _, f := range files {
			for _, name := range f.imports() {
				ours, internal := strings.CutPrefix(name, module+"/internal/")
				if internal && !slices.Contains(may, ours) && !slices.Contains(may, everything) {
					found = append(found, fmt.Sprintf("%s imports internal/%s; it may import %v", f.path, ours, may))
				}
			}
		}
	}
	return found
}

// allowed is the line of the package itself, or for cmd and test of the folder
// it stands below.
func allowed(dir string) ([]string, bool) {
	for _, l := range layers {
		if l.dir == dir || slices.Contains(l.may, everything) && below(dir, l.dir) {
			return l.may, true
		}
	}
	return nil, false
}

// layersWithoutCode finds lines that outlived their package.
func layersWithoutCode(files []file) (found []string) {
	dirs := byDir(files)
	for _, l := range layers {
		if len(dirs[l.dir]) == 0 && !slices.Contains(l.may, everything) {
			found = append(found, "layers has a line for "+l.dir+", which has no Go file")
		}
	}
	return found
}

// owners says where a library may be used; it can be replaced in one place.
var owners = []struct {
	library string
	dirs    []string // empty: only in tests
	reason  string
}{
	{"github.com/go-git/", []string{"internal/source", "internal/demo"}, "the parser of what strangers send stays in one package"},
	{"github.com/fsnotify/", []string{"internal/source"}, "file events are hints, and only the source knows how to doubt them"},
	{"github.com/spf13/cobra", []string{"cmd"}, "flags end where the wiring ends"},
	{"github.com/prometheus/", []string{"internal/engine", "cmd"}, "stages return values; the engine counts them, and main serves the counts"},
	{"github.com/vishvananda/", []string{"internal/driver/chain"}, "the oracle of driver/netlink's tests: what it shared with that it could not judge"},
	{"github.com/cilium/ebpf", []string{"internal/driver/chain", "internal/driver/lb/bpf", "internal/driver/lb/plane", "internal/demo"}, "BPF has one door, and maps that stay open have another; the demo breaks what stands behind it, as a stranger would"},
	{"github.com/rogpeppe/", nil, "for scenarios"},
	{"github.com/google/go-cmp", nil, "for tests"},
	{"github.com/santhosh-tekuri/", nil, "for tests of the schema"},
	{"gopkg.in/yaml.v3", []string{"internal/strict", "internal/desired", "internal/agent", "internal/capture", "cmd"}, "YAML is read and written at the edges"},
	{"os/exec", []string{"cmd", "internal/demo", "internal/testns", "internal/shim", "internal/driver/handover", "test"}, "what comes from a repository is run by drivers alone: after its digest was found good, or by a shim that has taken its rights away"},
	{"unsafe", []string{"internal/api", "internal/doctor", "internal/driver/chain", "internal/driver/lb/plane"}, "a getsockopt and an ioctl that x/sys lacks, and structs as C laid them out, no more"},
}

// librariesAstray finds libraries outside the folders that own them.
func librariesAstray(files []file) (found []string) {
	for _, f := range files {
		for _, name := range f.imports() {
			for _, o := range owners {
				if strings.HasPrefix(name, o.library) && !f.test() && !f.below(o.dirs) && !below(f.path, "test") {
					found = append(found, fmt.Sprintf("%s imports %s, which belongs to %v: %s", f.path, name, o.dirs, o.reason))
				}
			}
		}
	}
	return found
}
