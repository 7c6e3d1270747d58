package plane

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// TestFlows counts flows, and forgets those of a backend, of a service, and those
// that are old.
func TestFlows(t *testing.T) {
	w := &world{Plane: open(t, small())}
	w.reset(t)
	w.fillIn(t, []string{
		"flow 1 tcp 198.51.100.7:1 > 192.0.2.1:80 backend 1 seen 1s",
		"flow 1 tcp 198.51.100.7:2 > 192.0.2.1:80 backend 2 seen 100s",
		"flow 1 udp [2001:db8::7]:1 > [2001:db8::1]:53 backend 1 seen 100s",
		"flow 2 tcp 198.51.100.7:1 > 192.0.2.1:80 backend 2 seen 1s",
		"flow 3 tcp 198.51.100.7:1 > 192.0.2.1:80 backend 3 seen 1s",
	})
	ctx := context.Background()
	count := func(since time.Duration, want ...int) {
		t.Helper()
		got, err := w.CountFlows(ctx, since)
		must(t, err)
		same(t, "flows by backend", got[:4], want)
	}
	count(0, 0, 2, 2, 1)
	count(w.now-10*time.Second, 0, 1, 1, 1)
	key := FlowKey{Service: 1, Protocol: 17, Src: netip.MustParseAddrPort("[2001:db8::7]:1"), Dst: netip.MustParseAddrPort("[2001:db8::1]:53")}
	if f, ok, err := w.Flow(key); err != nil || !ok || f.Backend != 1 || f.FlowKey != key {
		t.Errorf("the flow of IPv6: %+v %v %v", f, ok, err)
	}
	forgot := func(want int, n int, err error) {
		t.Helper()
		if err != nil || n != want {
			t.Errorf("forgot %d flows, %v; want %d", n, err, want)
		}
	}
	n, err := w.FlushStale(ctx, w.now-10*time.Second)
	forgot(2, n, err)
	n, err = w.FlushBackend(ctx, 2)
	forgot(1, n, err)
	n, err = w.FlushService(ctx, 3)
	forgot(1, n, err)
	count(0, 0, 1, 0, 0)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.CountFlows(ended, 0); err == nil {
		t.Error("counting goes on where its context has ended")
	}
}
