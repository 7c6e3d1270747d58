package testns

import (
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestNamespaceLivesAsLongAsItsTest(t *testing.T) {
	var path string
	t.Run("inside", func(t *testing.T) {
		ns := New(t)
		path = ns.Path()
		var links []struct {
			Name  string   `json:"ifname"`
			Flags []string `json:"flags"`
		}
		ns.JSON([]string{"link", "show", "up"}, &links)
		if len(links) != 1 || links[0].Name != "lo" {
			t.Errorf("a new namespace has %v, want lo alone, up", links)
		}
	})
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

func TestDoRunsInsideAndComesBack(t *testing.T) {
	ns := New(t)
	ns.IP("link", "add", "a0", "type", "veth", "peer", "name", "a1")
	var inside []net.Interface
	ns.Do(func() { inside, _ = net.Interfaces() })
	if len(inside) != 3 {
		t.Errorf("inside are %d links, want lo, a0 and a1", len(inside))
	}
	if _, err := net.InterfaceByName("a0"); err == nil {
		t.Error("a0 is seen outside")
	}
}

func TestKindsAreProbedAndLeaveNothing(t *testing.T) {
	ns := New(t)
	for _, kind := range []string{"veth", "vlan", "nonsense"} {
		out, err := ns.tryKind(kind)
		switch {
		case kind == "veth" && err != nil:
			t.Errorf("veth: %v\n%s", err, out)
		case kind == "nonsense" && err == nil:
			t.Error("a kind that is none was made")
		case kind == "vlan" && err != nil:
			// No module is an answer; a parent that carries no VLAN is not.
			if !strings.Contains(out, "Unknown device type") && !strings.Contains(out, "not supported") {
				t.Errorf("vlan: %v\n%s", err, out)
			}
		}
	}
	var links []struct {
		Name string `json:"ifname"`
	}
	if ns.JSON([]string{"link"}, &links); len(links) != 1 {
		t.Errorf("left are %v, want lo alone", links)
	}
}

func TestAToolThatIsMissing(t *testing.T) {
	for _, c := range []struct{ tool, ci, does string }{
		{"ip", "", ""}, {"ip", "true", ""}, {"no-such-tool", "", "skip"}, {"no-such-tool", "true", "fail"},
	} {
		t.Setenv("CI", c.ci)
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			NeedTool(r, c.tool)
		}()
		<-done
		if r.does != c.does {
			t.Errorf("%s with CI=%q: %q, want %q", c.tool, c.ci, r.does, c.does)
		}
	}
}

// recorder is a test that remembers how it was ended.
type recorder struct {
	testing.TB
	does string
}

func (r *recorder) end(does string) { r.does = does; runtime.Goexit() }

func (r *recorder) Skip(...any)           { r.end("skip") }
func (r *recorder) Skipf(string, ...any)  { r.end("skip") }
func (r *recorder) Fatal(...any)          { r.end("fail") }
func (r *recorder) Fatalf(string, ...any) { r.end("fail") }
