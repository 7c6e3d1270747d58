package agent

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"reconciler/internal/strict"
)

// fileYAML is the file as written.
type fileYAML struct {
	strict.Here
	Version  strict.V[uint32]           `yaml:"version" min:"1" max:"1" required:"true" doc:"The version of this language: 1."`
	Source   *sourceYAML                `yaml:"source" doc:"Where the tree comes from: git or dir."`
	Hostname strict.V[name]             `yaml:"hostname" doc:"Fills {hostname}; default: the host's own name."`
	Labels   strict.Map[strict.V[name]] `yaml:"labels" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"They choose the layers of a shared tree."`
	Mode     strict.V[string]           `yaml:"mode" enum:"enforce,observe,suspended" doc:"observe plans and reports, and never writes."`
	Resync   strict.V[time.Duration]    `yaml:"resync" min:"1000" max:"86400000" doc:"How often all is read back without an event. Default 30s."`
	Confirm  *confirmYAML               `yaml:"confirm" doc:"After every apply; only probes that passed before it count."`
	Protect  *protectYAML               `yaml:"protect" doc:"Links that keep themselves, their addresses and their routes."`
	Bypass   *bypassYAML                `yaml:"bypass" doc:"Frames that reach the kernel before any program of a chain."`
	Guards   *guardsYAML                `yaml:"guards"`
	Allow    *allowYAML                 `yaml:"allow" doc:"What the tree may run; nothing of it is run yet."`
	Rescue   strict.V[path]             `yaml:"rescue" doc:"A file that is the last layer, and stands alone when no snapshot is valid."`
	Rollout  *rolloutYAML               `yaml:"rollout" doc:"Not enforced yet."`
	StateDir strict.V[path]             `yaml:"state-dir" doc:"Default /var/lib/reconciler."`
	Socket   strict.V[path]             `yaml:"socket" doc:"Default /run/reconciler/reconciler.sock."`
	Metrics  strict.V[listen]           `yaml:"metrics" doc:"Address to listen on; default 127.0.0.1:9377, off for none."`
}

type sourceYAML struct {
	strict.Here
	Git  *gitYAML                `yaml:"git"`
	Dir  strict.V[path]          `yaml:"dir" doc:"A directory to be watched."`
	Poll strict.V[time.Duration] `yaml:"poll" min:"1000" max:"86400000" doc:"Default 60s."`
}

type gitYAML struct {
	strict.Here
	URL         strict.V[string] `yaml:"url" required:"true" min:"1" max:"2048" doc:"https, http, file, or a local path."`
	Ref         strict.V[string] `yaml:"ref" min:"1" max:"255" doc:"A branch, a tag or a commit."`
	Path        strict.V[string] `yaml:"path" min:"1" max:"1024" doc:"A directory in the repository."`
	TokenFile   strict.V[path]   `yaml:"token-file" doc:"Holds a token for https."`
	CAFile      strict.V[path]   `yaml:"ca-file" doc:"Holds certificates of authorities, in PEM."`
	KeyFile     strict.V[path]   `yaml:"key-file" doc:"Not enforced yet."`
	KnownHosts  strict.V[path]   `yaml:"known-hosts" doc:"Not enforced yet."`
	TrustedKeys strict.V[path]   `yaml:"trusted-keys" doc:"Not enforced yet."`
}

type confirmYAML struct {
	strict.Here
	Enabled   strict.V[bool]          `yaml:"enabled" doc:"false: an apply is final at once. Default true."`
	Timeout   strict.V[time.Duration] `yaml:"timeout" min:"1000" max:"3600000" doc:"Default 90s."`
	Probes    []probeYAML             `yaml:"probes" doc:"Default [source, default-gateway]."`
	OnFailure strict.V[string]        `yaml:"on-failure" enum:"rollback"`
}

type probeYAML struct {
	strict.Here
	Auto strict.V[string]     `yaml:"auto" enum:"source,default-gateway" short:"true"`
	TCP  strict.V[hostPort]   `yaml:"tcp" doc:"host:port"`
	Ping strict.V[netip.Addr] `yaml:"ping"`
}

type protectYAML struct {
	strict.Here
	Interfaces []strict.V[name]   `yaml:"interfaces"`
	Auto       []strict.V[string] `yaml:"auto" enum:"default-route,source,ssh-sessions" doc:"Default all three."`
}

type bypassYAML struct {
	strict.Here
	Frames []strict.V[string]       `yaml:"frames" enum:"arp,nd,lacp,lldp,bfd" doc:"Control frames, by protocol."`
	From   []strict.V[netip.Prefix] `yaml:"from" doc:"What comes from these prefixes; at most 16 of a family."`
}

type guardsYAML struct {
	strict.Here
	MaxPrune   strict.V[percent] `yaml:"max-prune" doc:"Share of our objects that a plan may delete. Default 30%."`
	AllowEmpty strict.V[bool]    `yaml:"allow-empty" doc:"A tree may delete everything. Default false."`
}

type allowYAML struct {
	strict.Here
	Exec     []strict.V[path]               `yaml:"exec" doc:"Programs that may ask whether a daemon is ready."`
	Daemons  strict.V[bool]                 `yaml:"daemons" doc:"Processes may run at all. Default true."`
	Users    []strict.V[name]               `yaml:"users" doc:"Whom daemons may run as beside nobody."`
	Signers  []strict.V[strict.MinisignKey] `yaml:"signers" doc:"Public keys of minisign: one of them must have signed each version of an upgrade, whatever the repository says."`
	InCommit []strict.V[string]             `yaml:"in-commit" enum:"prune,churn,disruption"`
}

type rolloutYAML struct {
	strict.Here
	Delay   strict.V[time.Duration] `yaml:"delay"`
	Windows []strict.V[string]      `yaml:"windows"`
}

// name is a word of letters, digits, '.', '_' and '-'.
type name string

const namePattern = `^[a-zA-Z0-9][a-zA-Z0-9._-]*$`

func (n *name) ReadScalar(v *strict.Value) *strict.Problem {
	bad := strings.ContainsFunc(v.Text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	})
	if v.Kind != strict.String && v.Kind != strict.Int || bad || v.Text == "" || strings.Contains("._-", v.Text[:1]) {
		return strict.Problemf("bad-name", "%q is no name", v.Text).Hinted("letters, digits, '.', '_' and '-', beginning with a letter or digit")
	}
	*n = name(v.Text)
	return nil
}

func (*name) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"string", "integer"}, "pattern": namePattern}
}

// path is an absolute path on the host.
type path string

func (p *path) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String || !strings.HasPrefix(v.Text, "/") || strings.ContainsRune(v.Text, 0) {
		return strict.Problemf("bad-path", "%q is not an absolute path", v.Text)
	}
	*p = path(v.Text)
	return nil
}

func (*path) ScalarSchema() strict.Schema { return strict.Schema{"type": "string", "pattern": "^/"} }

// percent is a share: 30%.
type percent float64

func (p *percent) ReadScalar(v *strict.Value) *strict.Problem {
	number, found := strings.CutSuffix(v.Text, "%")
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case !found && err == nil:
		return strict.Problemf("bad-share", "%s has no unit", v.Text).Hinted("write %s%%", v.Text)
	case err != nil || !(n >= 0 && n <= 100):
		return strict.Problemf("bad-share", "%q is not from 0%% to 100%%", v.Text)
	}
	*p = percent(n / 100)
	return nil
}

func (*percent) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?%$`}
}

// hostPort is what to connect to.
type hostPort string

func (h *hostPort) ReadScalar(v *strict.Value) *strict.Problem {
	host, port, err := net.SplitHostPort(v.Text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if v.Kind != strict.String || err != nil || portErr != nil || n == 0 || host == "" {
		return strict.Problemf("bad-address", "%q is not host:port", v.Text).Hinted(`write "192.0.2.1:179" or "[2001:db8::1]:179"`)
	}
	*h = hostPort(v.Text)
	return nil
}

func (*hostPort) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": ":[0-9]+$"}
}

// listen is an address to listen on, or off.
type listen string

func (l *listen) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind == strict.String && v.Text == "off" {
		return nil
	}
	if a, err := netip.ParseAddrPort(v.Text); v.Kind != strict.String || err != nil || a.Port() == 0 {
		return strict.Problemf("bad-address", "%q is not an address and a port", v.Text).Hinted(`write "127.0.0.1:9377", or off`)
	}
	*l = listen(v.Text)
	return nil
}

func (*listen) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": "^(off|.*:[0-9]+)$"}
}
