package diff

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

var updatePrint = flag.Bool("update-print", false, "rewrite testdata/print")

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func create(r resource.Resource, origin string) Op {
	return Op{Verb: Create, Key: r.Key(), To: r, Fields: resource.Changes(nil, r), Origin: origin}
}

func remove(r resource.Resource) Op {
	return Op{Verb: Delete, Key: r.Key(), From: r, Owner: resource.Ours, Fields: resource.Changes(r, nil), Reason: "no longer declared"}
}

func changed(verb Verb, from, to resource.Resource) Op {
	return Op{Verb: verb, Key: to.Key(), From: from, To: to, Owner: resource.Ours, Fields: resource.Changes(from, to)}
}

func route(to, via string) resource.Route {
	return resource.Route{
		To: prefix(to), Table: resource.MainTable, Type: resource.Unicast, Scope: "global", Protocol: resource.Protocol,
		Hops: []resource.NextHop{{Via: netip.MustParseAddr(via), Dev: "br0", Weight: 1}},
	}
}

// plans are the cases: what a reader of a plan has to see.
func plans() map[string]Plan {
	bridge := resource.Link{Name: "br0", Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up, MTU: 9000}
	uplink := resource.Link{Name: "enp65s0f0", Label: "uplink", MTU: 1500, State: resource.Up}
	bigger := uplink
	bigger.MTU = 9000
	vxlan := resource.Link{Name: "vx100", Type: resource.VXLAN, Group: resource.LinkGroup, State: resource.Up, VXLAN: resource.VXLANAttr{ID: 100}}
	other := vxlan
	other.VXLAN.ID = 101
	foreign := route("198.51.100.0/24", "192.0.2.1")
	foreign.Protocol = 186
	adopted := foreign
	adopted.Protocol = resource.Protocol
	dns := resource.Address{Link: "br0", Prefix: prefix("10.0.0.3/24"), Scope: "link", Protocol: resource.Protocol}

	verbs := Plan{Observed: "7f3a", Ops: []Op{
		create(bridge, "hosts/lb1/net.yaml:4"),
		create(resource.Port{Link: "p0", Master: "br0"}, "hosts/lb1/net.yaml:4"),
		create(dns, "hosts/lb1/net.yaml:5"),
		changed(Update, uplink, bigger),
		changed(Replace, vxlan, other),
		changed(Update, foreign, adopted),
		remove(route("203.0.113.0/24", "10.0.0.254")),
	}}
	verbs.Ops[1].After, verbs.Ops[2].After = []int{0}, []int{0}
	verbs.Ops[3].Reason = "DRIFT since 02:51:07"
	verbs.Ops[3].Origin = "base/net.yaml:9"
	verbs.Ops[4].Disruption = "link is gone for a moment"
	verbs.Ops[4].Effects = []string{"1 neighbour goes and is put back"}
	verbs.Ops[6].Takes = []resource.Key{resource.AddressKey("br0", prefix("10.0.0.9/24"))}

	notes := Plan{
		Notes: []Note{
			{Code: Absent, Key: resource.LinkKey("eth9"), Text: "no such interface", Origin: "net.yaml:3"},
			{Code: Conflict, Key: foreign.Key(), Text: "made by bird", Origin: "net.yaml:12"},
			{Code: Held, Key: resource.LinkKey("mgmt0"), Text: "protected"},
			{Code: NotYet, Key: resource.Unsupported{Name: "fdb of vx100"}.Key(), Text: "this build cannot apply it"},
			{Code: Optional, Key: resource.LinkKey("eth1"), Text: "absent, and not required"},
			{Code: Released, Key: dns.Key(), Text: "no longer declared, never ours"},
		},
		Blind: []observed.Blind{{Scope: observed.Scope{Driver: "netlink", Kind: resource.KindSysctl}, Reason: "permission denied"}},
		Left:  []observed.Tally{{Kind: resource.KindRoute, Origin: "bird", Count: 41}, {Kind: resource.KindAddress, Origin: "dhcp", Count: 1}},
	}

	var long Plan
	for i := range 14 {
		long.Ops = append(long.Ops, create(route(fmt.Sprintf("203.0.%d.0/24", i), "10.0.0.254"), "net.yaml:7"))
	}
	quiet := Plan{Left: []observed.Tally{{Kind: resource.KindRoute, Count: 2}}}
	return map[string]Plan{"verbs": verbs, "notes": notes, "fold": long, "in-sync": quiet}
}

// TestText compares plans as text with golden files: folded as by default, and
// whole and in colour where that differs.
func TestText(t *testing.T) {
	for name, plan := range plans() {
		t.Run(name, func(t *testing.T) {
			folded, whole := render(t, plan, TextOptions{}), render(t, plan, TextOptions{Full: true})
			got := &txtar.Archive{Files: []txtar.File{{Name: "text", Data: folded}}}
			if !bytes.Equal(folded, whole) {
				got.Files = append(got.Files, txtar.File{Name: "full", Data: whole})
			}
			if name == "verbs" {
				got.Files = append(got.Files, txtar.File{Name: "color", Data: render(t, plan, TextOptions{Color: true})})
			}
			golden(t, filepath.Join("testdata", "print", name+".txtar"), txtar.Format(got))
		})
	}
}

// render is a plan's text, with escapes by their name: a golden file is read
// by people too.
func render(t *testing.T, p Plan, o TextOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, p, o); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("\x1b"), []byte("ESC"))
}

// TestJSON: a plan that was written and read back is the same plan.
func TestJSON(t *testing.T) {
	for name, plan := range plans() {
		t.Run(name, func(t *testing.T) {
			text, err := json.MarshalIndent(plan, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if name == "verbs" || name == "notes" {
				golden(t, filepath.Join("testdata", "print", name+".json"), append(text, '\n'))
			}
			var back Plan
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			again, err := json.MarshalIndent(back, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(text), string(again)); d != "" {
				t.Errorf("the plan read back differs (-written +read):\n%s", d)
			}
			if back.InSync() != plan.InSync() || back.Observed != plan.Observed || len(back.Ops) != len(plan.Ops) {
				t.Errorf("the plan read back is another: %v", back)
			}
			for i := range plan.Ops {
				if plan.Ops[i].To != nil && !plan.Ops[i].To.Equal(back.Ops[i].To) {
					t.Errorf("operation %d: to %v, read back %v", i, plan.Ops[i].To, back.Ops[i].To)
				}
			}
		})
	}
}

// TestReadBadPlan: a plan that was tampered with is refused.
func TestReadBadPlan(t *testing.T) {
	link := `{"kind":"link","owner":"ours","value":{"name":"br0"}}`
	for _, c := range []struct{ name, text, want string }{
		{"version", `{"version":2}`, "version 2"},
		{"verb", `{"version":1,"ops":[{"verb":"destroy"}]}`, "destroy"},
		{"kind", `{"version":1,"ops":[{"verb":"create","key":"netlink/link/br0","to":{"kind":"tower"}}]}`, "tower"},
		{"order", `{"version":1,"ops":[{"verb":"create","key":"netlink/link/br0","to":` + link + `,"depends-on":[0]}]}`, "not before it"},
		{"object", `{"version":1,"ops":[{"verb":"create","key":"netlink/link/br1","to":` + link + `}]}`, "its object is"},
		{"shape", `{"version":1,"ops":[{"verb":"delete","key":"netlink/link/br0","to":` + link + `}]}`, "do not fit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Plan
			err := json.Unmarshal([]byte(c.text), &p)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *updatePrint {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}
