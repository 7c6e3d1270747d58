package daemon

import (
	"testing"

	"reconciler/internal/resource"
)

// Where there are no cgroups, a process still ends with its session.
func TestWithoutCgroups(t *testing.T) {
	r := newRig(t)
	r.Driver.groups = groups{}
	d := r.daemon("fork")
	r.apply(create(d))
	r.waitFor("its child", func() bool { return len(r.mine()) == 2 })
	r.apply(remove(d))
	kill := r.seen(d).Kill
	r.waitFor("the deadline", func() bool { return bootTime() > kill })
	r.apply(remove(d))
	r.awaitState(d, resource.DaemonExited)
	r.waitFor("its child to end", func() bool { return len(r.mine()) == 0 })

	d.Argv[1] = "forkleave"
	r.apply(create(d))
	r.awaitState(d, resource.DaemonExited)
	r.waitFor("its child to end", func() bool { return len(r.mine()) == 0 })
}
