package capture

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"reconciler/internal/desired"
	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// TestYAML captures recorded hosts (reconciler observe). The text is the
// golden's, it passes check, and its plan is empty.
func TestYAML(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded hosts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil || len(a.Files) < 1 {
				t.Fatalf("read the recorded host: %v", err)
			}
			var have observed.State
			if err := json.Unmarshal(a.Files[0].Data, &have); err != nil {
				t.Fatal(err)
			}
			got := YAML(have, Options{})
			if *update {
				a.Files = append(a.Files[:1], txtar.File{Name: "net.yaml", Data: got})
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if d := cmp.Diff(string(a.Files[1].Data), string(got)); d != "" {
				t.Errorf("captured (-want +got):\n%s", d)
			}
			roundTrip(t, have, got)
		})
	}
}

func roundTrip(t *testing.T, have observed.State, text []byte) {
	t.Helper()
	tree := fstest.MapFS{"net.yaml": &fstest.MapFile{Data: text, Mode: 0o444}}
	d, err := desired.Load(tree, desired.Options{})
	if err != nil {
		t.Fatalf("what was captured does not pass check:\n%v\n%s", err, text)
	}
	bound, notes := diff.Bind(d.Want, have)
	if len(notes) > 0 {
		t.Errorf("bind: %v", notes)
	}
	plan, err := diff.Compute(bound, have)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.InSync() {
		var b strings.Builder
		_ = diff.Text(&b, plan, diff.TextOptions{Full: true})
		t.Errorf("its plan is not empty:\n%s\n%s", b.String(), text)
	}
}

func TestScalar(t *testing.T) {
	for in, want := range map[string]string{
		"br0": "br0", "10.0.0.1/24": "10.0.0.1/24", "2001:db8::1": `"2001:db8::1"`, "::/0": `"::/0"`,
		"no": `"no"`, "Off": `"Off"`, "12": `"12"`, "1e3": `"1e3"`, "a b": `"a b"`, "": `""`,
		"52:54:00:12:34:56": `"52:54:00:12:34:56"`, "802.1ad": `"802.1ad"`,
	} {
		if got := scalar(in); got != want {
			t.Errorf("scalar(%q) = %s, want %s", in, got, want)
		}
	}
}

// TestVIPsAreTold is that a VIP, which the kernel does not know whole, is named
// in a comment, and that the address that it announces is not taken for another.
func TestVIPsAreTold(t *testing.T) {
	set := resource.NewSet(4)
	vip := netip.MustParseAddr("192.0.2.80")
	for _, r := range []resource.Resource{
		resource.Link{Name: "lo"},
		resource.VIP{Name: "www", Family: resource.IPv4, Addresses: []netip.Addr{vip}},
		resource.Address{Link: "lo", Prefix: netip.PrefixFrom(vip, 32)},
		resource.Address{Link: "lo", Prefix: netip.MustParsePrefix("192.0.2.81/32")},
	} {
		set.Put(resource.Object{Resource: r, Owner: resource.Ours})
	}
	got := string(YAML(observed.State{Objects: set}, Options{}))
	if strings.Contains(got, vip.String()) || !strings.Contains(got, "192.0.2.81/32") || !strings.Contains(got, "# Left out: vip www/ipv4: which pools") {
		t.Errorf("captured:\n%s", got)
	}
}
