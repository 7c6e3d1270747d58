package resource

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// DaemonDriver is the driver of processes.
const DaemonDriver = "daemon"

// KindDaemon is a process that is kept running.
const KindDaemon Kind = "daemon"

// RestartPolicy says when a process that ended is started again.
type RestartPolicy string

// The policies. How one that was adopted ended nobody can tell, so that counts
// as a failure.
const (
	RestartAlways    RestartPolicy = "always"
	RestartOnFailure RestartPolicy = "on-failure" // the default
	RestartNever     RestartPolicy = "never"
)

// Restart bounds how often a process is started again.
type Restart struct {
	Policy RestartPolicy `json:"policy,omitempty"`
	Max    uint32        `json:"max,omitempty"`    // within Window; then it is left alone
	Window time.Duration `json:"window,omitempty"` // in ns
}

// Ready says how a process shows that it serves: at most one of HTTP, TCP, Exec
// and Notify is set. With none it is ready once it has run for Timeout.
type Ready struct {
	HTTP    string        `json:"http,omitempty"` // a URL that answers 2xx
	TCP     string        `json:"tcp,omitempty"`  // host:port that accepts
	Exec    []string      `json:"exec,omitempty"` // an argument vector that exits 0
	Notify  bool          `json:"notify,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // in ns, since its start

	// PlanUnchanged is of the reconciler's own upgrade: what the new version
	// would change is what the old one would.
	PlanUnchanged bool `json:"plan-unchanged,omitempty"`
}

// DaemonSocket is a listener that is held for a process and passed to it.
type DaemonSocket struct {
	Network string `json:"network"` // tcp, udp or unix
	Address string `json:"address"`
}

// NamedText is a variable of the environment, or a file.
type NamedText struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// DaemonState is what became of a process.
type DaemonState string

// The states of a process.
const (
	DaemonRunning  DaemonState = "running"
	DaemonStopping DaemonState = "stopping" // asked to end; killed at its deadline
	DaemonExited   DaemonState = "exited"
)

// Daemon is one process.
type Daemon struct {
	Name      string         `json:"name"`              // as in YAML
	Link      string         `json:"link,omitempty"`    // whose it is; empty: it is the only one
	Upgrade   string         `json:"upgrade,omitempty"` // whose versions it runs
	Release   string         `json:"release,omitempty"` // the version, by its folder
	Argv      []string       `json:"argv"`
	Env       []NamedText    `json:"env,omitempty"` // sorted
	Files     []NamedText    `json:"files,omitempty"`
	User      string         `json:"user,omitempty"`   // empty: nobody
	Memory    uint64         `json:"memory,omitempty"` // bytes; 0: no limit
	CPU       uint32         `json:"cpu,omitempty"`    // percent of one CPU; 0: no limit
	Restart   Restart        `json:"restart,omitzero"`
	Reload    string         `json:"reload,omitempty"` // the signal for a change of Files alone: HUP
	Stop      string         `json:"stop,omitempty"`   // the signal; empty: TERM
	StopAfter time.Duration  `json:"stop-after,omitempty"`
	Sockets   []DaemonSocket `json:"sockets,omitempty"`
	Ready     Ready          `json:"ready,omitzero"`
	RestartOn []string       `json:"restart-on,omitempty"` // programs, by name: another version of one is another process
	After     []Key          `json:"after,omitempty"`      // what it needs

	// Digest is SHA-256, in hex, over all that only a start can change, but for
	// Release. It is known once all that Argv names is there.
	Digest string `json:"digest,omitempty"`

	Seen DaemonSeen `json:"seen,omitzero"`
}

// DaemonSeen is what only looking at a process tells. Instants are in ns of
// CLOCK_BOOTTIME.
type DaemonSeen struct {
	State    DaemonState   `json:"state,omitempty"`
	PID      int           `json:"pid,omitempty"`
	Started  time.Duration `json:"started,omitempty"`
	Ready    time.Duration `json:"ready,omitempty"`    // since when; 0: not yet
	Ended    time.Duration `json:"ended,omitempty"`    // of one that exited
	Kill     time.Duration `json:"kill,omitempty"`     // of one that stops: its deadline
	Reason   string        `json:"reason,omitempty"`   // exit status 1, signal: killed
	Failed   bool          `json:"failed,omitempty"`   // it ended otherwise than by status 0
	Restarts uint32        `json:"restarts,omitempty"` // starts of this key within Restart.Window, but the first
	Memory   uint64        `json:"memory,omitempty"`   // bytes in use
}

// Instance is the daemon's name, and whose it is.
func (d Daemon) Instance() string { return Instance(d.Name, d.Link) }

// Key identifies a process by all that only a start can change: another one
// stands beside the former until it takes over.
func (d Daemon) Key() Key {
	name := loaded(d.Name, d.Link, d.Digest)
	if d.Release != "" {
		name += "@" + d.Release
	}
	return Key{DaemonDriver, KindDaemon, name}
}

// Requires what it needs, and its version.
func (d Daemon) Requires() []Key {
	keys := slices.Clone(d.After)
	if d.Upgrade != "" {
		keys = append(keys, CurrentKey(d.Upgrade))
	}
	return keys
}

// Equal wants it running, with the files that it is to have.
func (d Daemon) Equal(o Resource) bool {
	e, ok := o.(Daemon)
	return ok && d.Key() == e.Key() && slices.Equal(d.Files, e.Files) && d.runs() == e.runs()
}

// runs tells a process that is to stay from one that ended or is to end.
func (d Daemon) runs() bool { return d.Seen.State == "" || d.Seen.State == DaemonRunning }

// Rename passes the name of the interface on.
func (d Daemon) Rename(to func(string) string) Resource {
	if d.Link != "" {
		d.Link = to(d.Link)
	}
	return d
}

// Fields lists what people read. Environment and files may hold secrets.
func (d Daemon) Fields() []Field {
	var f fields
	f.add("version", d.Release)
	f.add("command", strings.Join(d.Argv, " "))
	f.add("user", d.User)
	if d.Memory != 0 {
		f.add("memory", bytesText(d.Memory))
	}
	if d.CPU != 0 {
		f.add("cpu", fmt.Sprintf("%d%%", d.CPU))
	}
	f.add("state", string(d.Seen.State))
	f.add("reason", d.Seen.Reason)
	return f
}

// bytesText is an amount of memory in the largest unit that divides it.
func bytesText(n uint64) string {
	for _, u := range []struct {
		name  string
		shift uint
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d%s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprint(n)
}
