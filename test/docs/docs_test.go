package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"reconciler/internal/agent"
	"reconciler/internal/desired"
)

const root = "../.."

// pages are the README, all below docs, and what stands beside examples.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	beside, err := filepath.Glob(filepath.Join(root, "examples", "*", "*", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, beside...)
	text := make(map[string]string)
	for _, name := range append(names, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md"), filepath.Join(root, "examples", "chains", "README.md"), filepath.Join(root, "examples", "vips", "README.md")) {
		text[name] = read(t, name)
	}
	if len(text) < 9 {
		t.Fatalf("found only %d pages", len(text))
	}
	return text
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var link = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for name, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestYAMLIsValid(t *testing.T) {
	count := 0
	for name, text := range pages(t) {
		for _, m := range yamlBlock.FindAllStringSubmatch(text, -1) {
			count++
			if _, err := desired.Load(treeOf(m[1]), desired.Options{Host: "lb-fra-01"}); err != nil {
				t.Errorf("%s: %v\n%s", name, err, m[1])
			}
		}
	}
	if count == 0 {
		t.Error("found no YAML")
	}
}

// treeOf makes the smallest tree in which a block can stand.
func treeOf(text string) fstest.MapFS {
	file := func(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }
	if !strings.Contains(text, "layers:") {
		return fstest.MapFS{"net.yaml": file(text)}
	}
	tree := fstest.MapFS{"reconciler.yaml": file(text)}
	for _, layer := range []string{"base", "roles/lb", "hosts/lb-fra-01"} {
		tree[layer+"/net.yaml"] = file("version: 1\n")
	}
	return tree
}

func TestFirstAgentFileIsValid(t *testing.T) {
	const name = "deploy/agent.yaml"
	c, err := agent.Parse(name, []byte(read(t, filepath.Join(root, name))))
	if err != nil {
		t.Fatal(err)
	}
	if c.Mode != agent.Observe {
		t.Errorf("mode %s: the first contact with a host must only look", c.Mode)
	}
}

// TestOperationsTellsAll looks for names that users meet and would search for.
func TestOperationsTellsAll(t *testing.T) {
	page := read(t, filepath.Join(root, "docs", "operations.md"))
	for _, tt := range []struct {
		file    string
		least   int // names in it
		find    *regexp.Regexp
		written string // how the page writes it, % for the name
	}{
		{"engine/types.go", 10, regexp.MustCompile(`ConditionType = "(\w+)"`), "| `%` |"},
		{"engine/metrics.go", 10, regexp.MustCompile(`(?:gauge|counters?|seconds)\("(\w+)"`), "`reconciler_%`"},
		{"engine/balance_metrics.go", 5, regexp.MustCompile(`gauge\("(\w+)"`), "`reconciler_%`"},
		{"engine/health.go", 3, regexp.MustCompile(`prefix \+ "(\w+)"`), "`reconciler_%`"},
		{"driver/lb/samples.go", 13, regexp.MustCompile(`"((?:vip|backend|balancer)_\w+)"`), "`reconciler_%`"},
	} {
		names := tt.find.FindAllStringSubmatch(read(t, filepath.Join(root, "internal", tt.file)), -1)
		if len(names) < tt.least {
			t.Errorf("%s: found only %d names", tt.file, len(names))
		}
		for _, m := range names {
			if want := strings.ReplaceAll(tt.written, "%", m[1]); !strings.Contains(page, want) {
				t.Errorf("docs/operations.md does not tell of %s (%s)", m[1], tt.file)
			}
		}
	}
}
