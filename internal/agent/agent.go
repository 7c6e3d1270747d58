// Package agent reads the agent's own file, /etc/reconciler/agent.yaml: the
// host's local policy, which no repository can loosen.
//
// It owns that file's language and defaults. It never opens what the file
// names, and imports only strict.
//
// Enforced are source (a directory, or git over file, http and https with
// token-file and ca-file), labels, hostname, mode, resync, confirm, protect,
// bypass, guards, rescue, state-dir, socket and metrics. A policy that this
// version does not enforce is refused, never ignored: git over ssh with its
// keys, trusted-keys, allow and rollout, where they differ from what holds
// anyway.
package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/hashicorp/go-multierror"

	"reconciler/internal/strict"
)

// Path is where the file is looked for.
const Path = "/etc/reconciler/agent.yaml"

// Config is the host's local policy, checked, with defaults.
type Config struct {
	Source   Source
	Hostname string            // for {hostname} in layers; empty is the host's own
	Labels   map[string]string // nil where none are given
	Mode     Mode
	Resync   time.Duration // between two full looks, from 1 s
	Confirm  Confirm
	Protect  Protect
	Bypass   Bypass
	Guards   Guards
	Allow    Allow
	Rescue   string // a file that is the last layer; empty for none
	StateDir string
	Socket   string
	Metrics  string // host:port to listen on; empty for none
}

// Source says where the tree comes from. Neither Dir nor Git is set where the
// file names none.
type Source struct {
	Dir  string
	Git  *Git
	Poll time.Duration // between two looks, from 1 s
}

// Git is a repository.
type Git struct {
	URL       string
	Ref       string // branch, tag or commit; empty is the remote's HEAD
	Path      string // a directory in the repository; "." is its root
	TokenFile string
	CAFile    string
}

// Mode says what the daemon may do.
type Mode string

// Modes.
const (
	Enforce   Mode = "enforce"
	Observe   Mode = "observe" // plans and reports, never writes
	Suspended Mode = "suspended"
)

// Confirm says how an apply becomes final.
type Confirm struct {
	Off     bool          // an apply is final at once
	Timeout time.Duration // until the former state is put back, from 1 s
	Probes  []Probe
}

// Probe is one way of asking whether the host is still reachable.
type Probe struct {
	Kind ProbeKind
	TCP  string     // of ProbeTCP: host:port
	Ping netip.Addr // of ProbePing
}

// ProbeKind is what a probe does.
type ProbeKind string

// Probes. The first two find their target by themselves.
const (
	ProbeSource  ProbeKind = "source"
	ProbeGateway ProbeKind = "default-gateway"
	ProbeTCP     ProbeKind = "tcp"
	ProbePing    ProbeKind = "ping"
)

// Protect names links that keep themselves, their addresses and their routes,
// whatever a plan says.
type Protect struct {
	Interfaces []string
	Auto       []Auto
}

// Auto is a protection that finds its links by itself.
type Auto string

// Automatic protections.
const (
	AutoDefaultRoute Auto = "default-route"
	AutoSource       Auto = "source"
	AutoSSH          Auto = "ssh-sessions"
)

// Allow says what the repository may have this host run.
type Allow struct {
	Daemons bool     // processes at all
	Users   []string // whom they may run as beside nobody
	Exec    []string // programs that may ask whether one is ready
	// Signers are public keys of minisign, of which one must have signed each
	// version of an upgrade; nil: none must.
	Signers []string
}

// Bypass are frames that reach the kernel whatever the programs of a chain do.
type Bypass struct {
	Frames []string       // of arp, nd, lacp, lldp, bfd
	From   []netip.Prefix // at most 16 of a family
}

// Guards bound what a plan may delete.
type Guards struct {
	MaxPrune   float64 // share of our own objects, 0 to 1
	AllowEmpty bool    // everything may go
}

// Default is the policy of a host without a file.
func Default() Config {
	return Config{
		Source:   Source{Poll: time.Minute},
		Mode:     Enforce,
		Resync:   30 * time.Second,
		Confirm:  Confirm{Timeout: 90 * time.Second, Probes: []Probe{{Kind: ProbeSource}, {Kind: ProbeGateway}}},
		Protect:  Protect{Auto: []Auto{AutoDefaultRoute, AutoSource, AutoSSH}},
		Guards:   Guards{MaxPrune: 0.30},
		Allow:    Allow{Daemons: true},
		StateDir: "/var/lib/reconciler",
		Socket:   "/run/reconciler/reconciler.sock",
		Metrics:  "127.0.0.1:9377",
	}
}

// Load reads a file. A file that cannot be read is an error that wraps that of
// the file system; anything else is a *multierror.Error of *strict.Fault.
func Load(path string) (Config, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the agent's file: %w", err)
	}
	return Parse(path, content)
}

// Parse is Load for content that is at hand; name stands in the faults.
func Parse(name string, content []byte) (Config, error) {
	r := new(strict.Report)
	f := &strict.File{Name: name}
	docs := strict.NewReader(r).Read(f, content)
	if len(docs) != 1 {
		if !r.Failed() {
			r.AtPos(strict.Pos{File: f, Line: 1, Column: 1},
				strict.Problemf("one-document", "the file holds %d documents, want 1", len(docs)).Hinted("begin with version: 1"))
		}
		return Config{}, faults(r)
	}
	y := strict.NewDecoder[fileYAML]().Decode(docs[0], r)
	c := checker{report: r}
	cfg := c.config(y)
	if r.Failed() {
		return Config{}, faults(r, docs[0])
	}
	return cfg, nil
}

// Schema is the JSON Schema of the file.
func Schema() []byte {
	return strict.WriteSchema("reconciler agent", strict.NewDecoder[fileYAML]().Define)
}

func faults(r *strict.Report, roots ...*strict.Value) error {
	var errs *multierror.Error
	for _, f := range r.Faults(roots...) {
		errs = multierror.Append(errs, f)
	}
	if errs == nil {
		return errors.New("read the agent's file: unknown fault")
	}
	errs.ErrorFormat = strict.Summary
	return errs
}
