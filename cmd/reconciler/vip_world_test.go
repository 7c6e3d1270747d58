package main

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/state"
	"reconciler/internal/testns"
)

// vipWorld is a client, a balancer and three backends, each in a namespace of
// its own: the client on link c1 of the balancer, backend i on link l<i> as
// 10.0.<i>.2 and fd00:0:0:<i>::2. Answers go through the balancer as through
// any router.
type vipWorld struct {
	failHost // the balancer
	client   *testns.NS
	backends []*server
	tree     string // the directory that the daemon follows
	text     string // what is in it
	daemon   *exec.Cmd
	log      *os.File
	seed     maphash.Seed
	began    time.Time
	// How long anything may take, and a connection to open.
	patience, brief time.Duration
}

// The addresses of VIPs.
const (
	vip4 = "192.0.2.80"
	vip6 = "2001:db8:80::1"
)

// emptyVIPWorld is one in which nothing stands. Its program is the tests' own
// binary, with their race detector.
func emptyVIPWorld(t *testing.T, text string) *vipWorld {
	t.Helper()
	w := &vipWorld{failHost: failHost{T: t, program: "reconciler", ns: testns.New(t), state: t.TempDir()}, client: testns.New(t), text: text, seed: maphash.MakeSeed(), began: time.Now(), patience: patience, brief: brief}
	dropPins(t, w.ns)
	w.tree = filepath.Join(w.state, "tree")
	return w
}

func newVIPWorld(t *testing.T, text string) *vipWorld {
	t.Helper()
	w := emptyVIPWorld(t, text)
	var batch strings.Builder
	fmt.Fprintf(&batch, "link add c1 type veth peer name c0 netns %s\n", w.client.Name)
	for i := range 3 {
		b := newServer(t, i+1)
		w.backends = append(w.backends, b)
		fmt.Fprintf(&batch, "link add l%d type veth peer name e0 netns %s\n", b.id, b.ns.Name)
	}
	fmt.Fprintf(&batch, "link set c1 up\naddress add 198.18.0.1/24 dev c1\naddress add 2001:db8:18::1/64 dev c1 nodad\n")
	for _, b := range w.backends {
		fmt.Fprint(&batch, b.nearEnd())
	}
	w.batch(w.ns, batch.String())
	w.batch(w.client, "link set c0 up gso_max_segs 1\naddress add 198.18.0.2/24 dev c0\naddress add 2001:db8:18::2/64 dev c0 nodad\n"+
		"route add default via 198.18.0.1\nroute add default via 2001:db8:18::1\n")
	w.sysctl(w.ns, "net.ipv4.ip_forward", "1")
	w.sysctl(w.ns, "net.ipv6.conf.all.forwarding", "1")
	for _, b := range w.backends {
		w.batch(b.ns, b.farEnd())
		b.serve()
	}
	w.push()
	return w
}

// batch has ip do many things at once.
func (w *vipWorld) batch(ns *testns.NS, lines string) {
	w.Helper()
	cmd := exec.Command("ip", "-n", ns.Name, "-batch", "-")
	cmd.Stdin = strings.NewReader(lines)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("ip -batch: %v\n%s%s", err, out, lines)
	}
}

func (w *vipWorld) sysctl(ns *testns.NS, name, value string) {
	w.Helper()
	var err error
	ns.Do(func() { err = os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0) })
	if err != nil {
		w.Fatal(err)
	}
}

// push replaces texts in the tree, in pairs of old and new, each of which must
// be there.
func (w *vipWorld) push(pairs ...string) {
	w.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(w.text, pairs[i]) != 1 {
			w.Fatalf("%q is not there once:\n%s", pairs[i], w.text)
		}
		w.text = strings.Replace(w.text, pairs[i], pairs[i+1], 1)
	}
	if err := os.MkdirAll(w.tree, 0o755); err != nil {
		w.Fatal(err)
	}
	if err := state.WriteFile(filepath.Join(w.tree, "net.yaml"), []byte(w.text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// command is the program with what it needs around it.
func (w *vipWorld) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "RECONCILER_NETNS="+w.ns.Name, "RECONCILER_STATE_DIR="+w.state,
		"RECONCILER_SOCKET="+filepath.Join(w.state, "api.sock"), "RECONCILER_METRICS=")
	return cmd
}

// start starts the daemon, which is the given program, and waits until all is
// as declared.
func (w *vipWorld) start(program string) {
	w.Helper()
	if w.log == nil {
		log, err := os.Create(filepath.Join(w.state, "log"))
		if err != nil {
			w.Fatal(err)
		}
		w.log = log
		w.Cleanup(func() {
			if w.daemon != nil {
				w.end(unix.SIGKILL)
			}
			log.Close()
			if text, err := os.ReadFile(log.Name()); w.Failed() && err == nil {
				w.Logf("the daemon said:\n%s", text)
			}
		})
	}
	w.daemon = w.command(program, "run", "--dir", w.tree, "--poll", "100ms", "--resync", "3s")
	w.daemon.Stdout, w.daemon.Stderr = w.log, w.log
	if err := w.daemon.Start(); err != nil {
		w.Fatal(err)
	}
	w.inSync()
}

// end ends the daemon.
func (w *vipWorld) end(by unix.Signal) {
	w.Helper()
	if err := w.daemon.Process.Signal(by); err != nil {
		w.Error(err)
	}
	_ = w.daemon.Wait() // it was told to
	w.daemon = nil
}

// inSync waits until the daemon says that all is as declared.
func (w *vipWorld) inSync() {
	w.Helper()
	w.eventually("in sync", func() bool { return w.run("", "status", "--wait", "--timeout", "5s") == 0 })
}

// eventually waits for what comes about soon, on a machine that may be busy.
func (w *vipWorld) eventually(what string, is func() bool) {
	w.Helper()
	for deadline := time.Now().Add(w.patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.run("", "get", "vips")
			says := string(w.last)
			w.run("", "get", "backends")
			says += string(w.last)
			w.run("", "status")
			w.Fatalf("not within %s: %s\n%s%s", w.patience, what, says, w.last)
		}
	}
}

// seat is what the daemon says of a backend in a VIP.
type seat struct {
	Backend    string `json:"backend"`
	Configured int    `json:"configured"`
	Effective  int    `json:"effective"`
	State      string `json:"state"`
	Why        string `json:"why"`
}

// vipSaid is what `get vips` tells.
type vipSaid struct {
	Name   string `json:"name"`
	Family string `json:"family"`
	Shares []struct {
		Backend string `json:"backend"`
		Weight  int    `json:"weight"`
	} `json:"shares"`
	Seen struct {
		Checksum  uint64   `json:"checksum"`
		Draining  []string `json:"draining"`
		NoBackend uint64   `json:"without-backend"`
	} `json:"seen"`
	Drain *struct {
		Flows int `json:"flows"`
	} `json:"drain"`
	Status *struct {
		State     string    `json:"state"`
		Since     time.Time `json:"since"`
		Announced bool      `json:"announced"`
		Seats     []seat    `json:"seats"`
	} `json:"status"`
}

func (w *vipWorld) vips() []vipSaid {
	w.Helper()
	var says strings.Builder
	cmd := w.command(w.program, "get", "vips", "-o", "json")
	cmd.Stderr = &says
	out, err := cmd.Output()
	if err != nil || says.Len() > 0 {
		w.Fatalf("get vips: %v\n%s%s", err, out, says.String())
	}
	var all []vipSaid
	if err := json.Unmarshal(out, &all); err != nil {
		w.Fatalf("get vips: %v\n%s", err, out)
	}
	return all
}

// vip is what is told of one VIP of a family.
func (w *vipWorld) vip(name, family string) vipSaid {
	w.Helper()
	for _, v := range w.vips() {
		if v.Name == name && v.Family == family {
			return v
		}
	}
	w.Fatalf("there is no VIP %s/%s", name, family)
	return vipSaid{}
}

// weights are those in the ring of a VIP, of b1, b2 and b3, as the program has
// them by now.
func (w *vipWorld) weights(vip string) (out [3]int) {
	w.Helper()
	p := w.plane()
	defer p.Close()
	for i := range uint16(p.Capacity().Services) {
		s, err := p.Service(i)
		if err != nil {
			w.Fatal(err)
		}
		if s.Name != vip || s.Ring == plane.NoRing {
			continue
		}
		all, err := p.Weights(s.Ring)
		if err != nil {
			w.Fatal(err)
		}
		for j, weight := range all {
			if b, err := p.Backend(uint16(j)); err == nil && 0 < weight && weight <= 100 { // more: it drains
				out[b.Name[1]-'1'] = int(weight)
			}
		}
	}
	return out
}

// become waits until the rings of VIP www are of these weights.
func (w *vipWorld) become(b1, b2, b3 int) {
	w.Helper()
	want := [3]int{b1, b2, b3}
	w.eventually(fmt.Sprint("weights ", want), func() bool {
		return w.weights("www/ipv4") == want && w.weights("www/ipv6") == want
	})
}

func (w *vipWorld) plane() *plane.Plane {
	w.Helper()
	found, err := filepath.Glob(filepath.Join(pinsOf(w, w.ns), "maps", "lb*"))
	if err != nil || len(found) != 1 {
		w.Fatalf("the balancer's maps are pinned at %v, %v; want one place", found, err)
	}
	p, err := plane.Open(found[0])
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// memory are sums of what the dataplane holds and a restart must not touch:
// rings and weights, words of services with their generations, records and the
// table of VIPs.
func (w *vipWorld) memory() string {
	w.Helper()
	p := w.plane()
	defer p.Close()
	sums := []uint64{p.Sum(w.seed)}
	for i := range uint16(p.Capacity().Rings) {
		sums = append(sums, uint64(p.RingSum(i)))
	}
	return fmt.Sprintf("%x", sums)
}

// step tells what comes now, and when.
func (w *vipWorld) step(what string) {
	w.Helper()
	w.Logf("%5.1fs: %s", time.Since(w.began).Seconds(), what)
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
