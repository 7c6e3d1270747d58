package desired

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"reconciler/test/schematest"
)

//go:generate go test -run TestSchemaIsFresh . -update

var update = flag.Bool("update", false, "write generated files anew")

const schemaFile = "../../schemas/reconciler.schema.json"

func TestSchemaIsFresh(t *testing.T) { schematest.IsFresh(t, schemaFile, Schema(), *update) }

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	s := schematest.Compile(t, Schema())
	count := 0
	for _, root := range []string{"testdata/ok", "testdata/ok-guest", "testdata/fleet", "../../examples"} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".yaml" || filepath.Base(name) == "agent.yaml" {
				return err
			}
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			count++
			if err := s.Accepts(t, content); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if count < 15 {
		t.Errorf("found only %d files", count)
	}
}

// TestSchemaRefuses holds the schema against faults that it can see.
func TestSchemaRefuses(t *testing.T) {
	s := schematest.Compile(t, Schema())
	for _, text := range []string{
		"version: 2",
		"routes: []",
		"version: 1\ninterfaces: {br0: {addreses: []}}",
		"version: 1\ninterfaces: {br0: {kind: brigde}}",
		"version: 1\ninterfaces: {br0: {mtu: 10}}",
		"version: 1\ninterfaces: {br0: {mac: 02-00}}",
		"version: 1\ninterfaces: {-x: {}}",
		"version: 1\nroutes: [{via: 10.0.0.1}]",
		"version: 1\nrules: [{priority: 0}]",
		"version: 1\nlayers: [{path: base, optional: true}]",
		"version: 1\nfleet: {a: {}}\nroutes: []",
		"version: 1\nprograms: {a: {}}",
		"version: 1\nprograms: {a: {object: {file: /a.o, sha256: abc}}}",
		"version: 1\nprograms: {a: {object: {file: /a.o}, maps: {m: {pin: a.b}}}}",
		"version: 1\nprograms: {a: {object: {file: /a.o}, maps: {m: {entries: [{key: 1}]}}}}",
		"version: 1\nchains: {a: {xdp-egress: {programs: []}}}",
		"version: 1\nchains: {a: {xdp-ingress: {programs: [{program: a, proceed-on: [accept]}]}}}",
		"version: 1\nlb: {ring-size: 65538}",
		"version: 1\nhealthchecks: {a: {port: 80}}",
		"version: 1\nhealthchecks: {a: {type: http, http: {status: [99]}}}",
		"version: 1\nbackends: {a: {address: 10.0.0.1, encap: vxlan}}",
		"version: 1\npools: {a: {backends: {b: 101}}}",
		"version: 1\npools: {a: {backends: {b: {wait: 1}}}}",
		"version: 1\nvips: {a: {address: 192.0.2.1}}",
		"version: 1\nvips: {a: {address: 192.0.2.1, ports: [443], pools: [p]}}",
		"version: 1\nvips: {a: {address: 192.0.2.1, pools: [p], guards: {min-healthy: 25}}}",
		"version: 1\ndrains: {a: {until: \"2030-11-21T06:00:00Z\"}}",
	} {
		if err := s.Accepts(t, []byte(text)); err == nil {
			t.Errorf("accepted: %s", text)
		}
	}
}

// TestExamples loads each example and wants it to name the schema.
func TestExamples(t *testing.T) {
	names, err := filepath.Glob("../../examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, name := range names {
		if filepath.Base(name) == "agent.yaml" {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Load(fstest.MapFS{"net.yaml": {Data: content}}, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Want.Len() == 0 {
			t.Errorf("%s declares nothing", name)
		}
		count++
		if !strings.HasPrefix(string(content), "# yaml-language-server: $schema=../schemas/reconciler.schema.json\n") {
			t.Errorf("%s does not begin with the line that names its schema", name)
		}
	}
	if count < 5 {
		t.Errorf("found only %d examples", count)
	}
	d, err := Check(os.DirFS("../../examples/fleet"), Options{})
	if err != nil || len(d.Hosts) != 2 {
		t.Errorf("fleet: hosts %v, %v", d.Hosts, err)
	}
}
