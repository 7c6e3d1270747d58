package agent

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-multierror"

	"reconciler/internal/strict"
	"reconciler/test/schematest"
)

//go:generate go test -run TestSchemaIsFresh . -update

var update = flag.Bool("update", false, "write generated files anew")

const schemaFile = "../../schemas/agent.schema.json"

func TestSchemaIsFresh(t *testing.T) { schematest.IsFresh(t, schemaFile, Schema(), *update) }

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	s := schematest.Compile(t, Schema())
	for _, name := range []string{"../../examples/agent.yaml", "../../deploy/agent.yaml", "testdata/later.yaml"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Accepts(t, content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExampleIsTheDefault holds what the example says about itself.
func TestExampleIsTheDefault(t *testing.T) {
	got, err := Load("../../examples/agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Source.Git = &Git{URL: "https://git.example/edge.git", Ref: "main", Path: "."}
	want.Labels = map[string]string{"role": "lb", "site": "fra"}
	got.Protect.Interfaces = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestValues(t *testing.T) {
	got, err := Parse("agent.yaml", []byte(`
version: 1
hostname: lb-1
source: {dir: /srv/edge, poll: 5s}
mode: observe
resync: 1m
confirm: {enabled: false, timeout: 10s, probes: [default-gateway, {tcp: "192.0.2.11:179"}, {ping: 192.0.2.1}]}
protect: {interfaces: [mgmt0], auto: []}
guards: {max-prune: 12.5%, allow-empty: true}
rescue: /etc/reconciler/rescue.yaml
state-dir: /s
socket: /t
metrics: off
allow: {exec: [/bin/x], daemons: false, users: [www], signers: [RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3], in-commit: []}
rollout: {delay: 0s, windows: []}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%+v", Config{
		Source: Source{Dir: "/srv/edge", Poll: 5 * time.Second}, Hostname: "lb-1", Mode: Observe, Resync: time.Minute,
		Confirm: Confirm{Off: true, Timeout: 10 * time.Second, Probes: got.Confirm.Probes},
		Protect: Protect{Interfaces: []string{"mgmt0"}}, Guards: Guards{MaxPrune: 0.125, AllowEmpty: true},
		Allow:  Allow{Users: []string{"www"}, Exec: []string{"/bin/x"}, Signers: []string{"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"}},
		Rescue: "/etc/reconciler/rescue.yaml", StateDir: "/s", Socket: "/t",
	})
	if s := fmt.Sprintf("%+v", got); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	probes := fmt.Sprint(got.Confirm.Probes)
	if probes != "[{default-gateway  invalid IP} {tcp 192.0.2.11:179 invalid IP} {ping  192.0.2.1}]" {
		t.Errorf("probes: %s", probes)
	}
}

// codes lists the faults of a file as line:column code.
func codes(t *testing.T, err error) []string {
	t.Helper()
	var all *multierror.Error
	if !errors.As(err, &all) {
		t.Fatalf("not a list of faults: %v", err)
	}
	var out []string
	for _, e := range all.Errors {
		var f *strict.Fault
		if !errors.As(e, &f) {
			t.Fatalf("not a fault: %v", e)
		}
		out = append(out, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Code))
	}
	return out
}

func TestWhatIsNotEnforcedIsRefused(t *testing.T) {
	_, err := Load("testdata/later.yaml")
	want := []string{
		"3:21 not-enforced", "3:87 not-enforced", "3:120 not-enforced", "3:163 not-enforced",
	}
	if got := codes(t, err); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "1:1 one-document"},
		{"version: 1\n---\nversion: 1\n", "1:1 one-document"},
		{"version: 1\nmode: enforced", "2:7 not-one-of"},
		{"version: 1\nresync: 30", "2:9 bad-duration"},
		{"version: 1\nresync: 500ms", "2:9 out-of-range"},
		{"version: 1\nsource: {}", "2:9 missing-key"},
		{"version: 1\nsource: {dir: srv}", "2:15 bad-path"},
		{"version: 1\nsource: {dir: /srv, git: {url: /srv/x.git}}", "2:15 two-sources"},
		{"version: 1\nsource: {git: {url: git@host:edge.git}}", "2:21 not-enforced"},
		{"version: 1\nsource: {git: {url: edge.git}}", "2:21 bad-url"},
		{"version: 1\nsource: {git: {url: \"ftp://host/x\"}}", "2:21 bad-url"},
		{"version: 1\nsource: {git: {url: \"https://u:p@host/x\"}}", "2:21 secret"},
		{"version: 1\nsource: {git: {url: \"http://host/x\", token-file: /t}}", "2:50 secret"},
		{"version: 1\nguards: {max-prune: 30}", "2:21 bad-share"},
		{"version: 1\nguards: {max-prune: 130%}", "2:21 bad-share"},
		{"version: 1\nconfirm: {probes: [{}]}", "2:20 bad-probe"},
		{"version: 1\nconfirm: {probes: [gateway]}", "2:20 not-one-of"},
		{"version: 1\nconfirm: {probes: [{tcp: 192.0.2.1}]}", "2:26 bad-address"},
		{"version: 1\nconfirm: {on-failure: keep}", "2:23 not-one-of"},
		{"version: 1\nmetrics: 9377", "2:10 bad-address"},
		{"version: 1\nlabels: {role: a/b}", "2:16 bad-name"},
		{"version: 1\nrollout: {delay: 5m}", "2:18 not-enforced"},
		{"version: 1\nallow: {in-commit: [prune]}", "2:20 not-enforced"},
		{"version: 1\nallow: {signers: [RWQ]}", "2:19 bad-key"},
		{"version: 1\nallow: {users: [a/b]}", "2:17 bad-name"},
		{"version: 1\ninterfaces: {}", "2:1 unknown-key"},
		{"version: [", "1:10 unclosed"},
	} {
		_, err := Parse("agent.yaml", []byte(tt.text))
		if err == nil {
			t.Errorf("accepted: %q", tt.text)
			continue
		}
		if got := strings.Join(codes(t, err), ", "); got != tt.want {
			t.Errorf("%q:\n got  %s\n want %s", tt.text, got, tt.want)
		}
	}
}

func TestAbsentFile(t *testing.T) {
	if _, err := Load("testdata/none.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want one that wraps os.ErrNotExist", err)
	}
}
