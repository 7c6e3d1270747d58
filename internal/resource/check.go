package resource

import (
	"net/netip"
	"time"
)

// CheckType is how a backend is asked whether it is well.
type CheckType string

// The types of health check.
const (
	CheckICMP  CheckType = "icmp"
	CheckTCP   CheckType = "tcp"
	CheckHTTP  CheckType = "http"
	CheckHTTPS CheckType = "https"
)

// Check is a health check of backends. It is comparable: one that is the same
// as before goes on undisturbed.
type Check struct {
	Name string    `json:"name"` // as in YAML
	Type CheckType `json:"type"`
	Port uint16    `json:"port,omitempty"` // not of icmp
	HTTP HTTPCheck `json:"http,omitzero"`  // of http and https

	Interval     time.Duration `json:"interval"`      // while up; in ns
	FastInterval time.Duration `json:"fast-interval"` // while the counter is on its way; in ns
	DownInterval time.Duration `json:"down-interval"` // while down; in ns
	Timeout      time.Duration `json:"timeout"`       // of one probe, all of it; in ns
	Jitter       uint16        `json:"jitter"`        // by which each interval is longer or shorter; in percent, 50 at most
	Rise         uint16        `json:"rise"`          // good probes until it is up; 1 at least
	Fall         uint16        `json:"fall"`          // bad probes until it is down; 1 at least

	Source netip.Addr `json:"source,omitzero"` // that probes come from; zero: the kernel's choice
	Netns  string     `json:"netns,omitempty"` // a name below /run/netns; empty: that of the dataplane
	Mark   uint32     `json:"mark,omitempty"`  // SO_MARK; 0: none
}

// HTTPCheck is what a probe asks for, and what it wants to hear.
type HTTPCheck struct {
	Method string `json:"method,omitempty"` // GET where empty
	Path   string `json:"path,omitempty"`   // / where empty
	Host   string `json:"host,omitempty"`   // empty: the address
	Status string `json:"status,omitempty"` // codes and ranges, as in "200-299,404"; 200-399 where empty
	Body   string `json:"body,omitempty"`   // is somewhere in the answer's first 64 KiB

	ServerName string `json:"server-name,omitempty"` // of https; empty: host
	Insecure   bool   `json:"insecure,omitempty"`    // take any certificate
}
