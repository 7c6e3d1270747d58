package health

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Type is how a backend is asked.
type Type uint8

// The ways of asking; zero is none.
const (
	ICMP Type = iota + 1
	TCP
	HTTP
	HTTPS
)

// Types are all types, for who counts by them from the start.
func Types() []Type { return []Type{ICMP, TCP, HTTP, HTTPS} }

func (t Type) String() string {
	switch t {
	case ICMP:
		return "icmp"
	case TCP:
		return "tcp"
	case HTTP:
		return "http"
	case HTTPS:
		return "https"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Check is how to ask and how to judge the answers. It is a plain value: two
// checks that are equal by == are one, and setting it again disturbs nothing.
type Check struct {
	Type Type
	Port uint16 // 1-65535; not for icmp
	HTTP Request
	TLS  TLS

	Interval     time.Duration // from the start of a probe to the next, while all is well; 1ms or more; 2s
	FastInterval time.Duration // while the counter is in between; Interval
	DownInterval time.Duration // while all is lost; Interval
	Timeout      time.Duration // of a whole probe, however the answer drips; Interval
	Jitter       int           // percent, 0-50, by which each interval is longer or shorter
	Rise         int           // successes in a row that take a target up; 2
	Fall         int           // failures in a row that take it down; 3

	Source netip.Addr // zero: the kernel's choice; used for targets of its family
	Netns  string     // a name below /run/netns or a path; empty: the daemon's own
	Mark   uint32     // SO_MARK of what is sent; 0: none
}

// Request is what an HTTP server is asked and has to answer.
type Request struct {
	Method  string    // GET
	Path    string    // with the query, if there is one; /
	Host    string    // the target's address and port
	Headers string    // as HeaderLines writes them
	Status  StatusSet // 200-299
	// Body has to stand in the first 64 KiB of the body, letter by letter;
	// empty: the body is not read.
	Body string
}

// TLS is how an HTTPS server proves who it is.
type TLS struct {
	ServerName string // what its certificate has to name; Request.Host without a port, or else the address
	Insecure   bool   // any certificate will do
	CA         string // PEM; empty: the system's
}

// Defaults, where HAProxy has one as HAProxy.
const (
	defaultInterval = 2 * time.Second
	defaultRise     = 2
	defaultFall     = 3
	maxJitter       = 50
	minInterval     = time.Millisecond
)

// Defaults fills in what is zero, and puts what is out of range into it.
func (c Check) Defaults() Check {
	c.Interval = max(positive(c.Interval, defaultInterval), minInterval)
	c.FastInterval = max(positive(c.FastInterval, c.Interval), minInterval)
	c.DownInterval = max(positive(c.DownInterval, c.Interval), minInterval)
	c.Timeout = positive(c.Timeout, c.Interval)
	c.Jitter = min(max(c.Jitter, 0), maxJitter)
	c.Rise = positive(c.Rise, defaultRise)
	c.Fall = positive(c.Fall, defaultFall)
	if c.Type == HTTP || c.Type == HTTPS {
		c.HTTP = c.HTTP.defaults()
	}
	return c
}

func (r Request) defaults() Request {
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if r.Status == (StatusSet{}) {
		r.Status.Add(200, 299)
	}
	return r
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// HeaderLines writes headers so that the same ones are the same string.
func HeaderLines(headers map[string]string) string {
	lines := make([]string, 0, len(headers))
	for name, value := range headers {
		lines = append(lines, name+": "+value+"\r\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// StatusSet is a set of HTTP statuses, 100-599.
type StatusSet [8]uint64

const firstStatus, lastStatus = 100, 599

// Add adds a range, its ends included; what no status can be is left out.
func (s *StatusSet) Add(first, last int) {
	for status := max(first, firstStatus); status <= min(last, lastStatus); status++ {
		i := status - firstStatus
		s[i/64] |= 1 << (i % 64)
	}
}

// Has tells whether a status is in the set.
func (s StatusSet) Has(status int) bool {
	i := status - firstStatus
	return status >= firstStatus && status <= lastStatus && s[i/64]&(1<<(i%64)) != 0
}
