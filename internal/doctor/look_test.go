package doctor

import (
	"os/exec"
	"testing"

	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// TestLook reads what is set of a pair of links, and again once it is changed.
func TestLook(t *testing.T) {
	testns.NeedTool(t, "ethtool")
	ns := testns.New(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	have := resource.NewSet(2)
	for _, name := range []string{"v0", "gone"} {
		have.Put(resource.Object{Resource: resource.Link{Name: name}})
	}
	look := func() map[string]Link {
		var links map[string]Link
		var err error
		ns.Do(func() { links, err = Look(have) })
		if err != nil {
			t.Fatal(err)
		}
		return links
	}
	run := func(args ...string) {
		if out, err := exec.Command("ip", append([]string{"netns", "exec", ns.Name}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.v0.rp_filter=0", "net.ipv4.conf.all.arp_ignore=0")
	if got := look(); got["v0"] != (Link{RxVLAN: true}) || got["gone"] != (Link{}) {
		t.Errorf("%+v", got)
	}
	run("ethtool", "-K", "v0", "rxvlan", "off")
	run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.v0.rp_filter=2", "net.ipv4.conf.all.arp_ignore=1")
	if got := look()["v0"]; got != (Link{RPFilter: 2, ARPIgnore: 1}) {
		t.Errorf("%+v", got)
	}
}
