package testns

import (
	"net"
	"os"
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
