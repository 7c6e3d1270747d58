package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The trees that the tests push.
const (
	oneAddress   = "interfaces: {eth0: {addresses: [192.0.2.1/24]}}\n"
	twoAddresses = "interfaces: {eth0: {addresses: [192.0.2.1/24, 198.51.100.1/24]}}\n"
	// What the language allows and a driver does not.
	refusedByDriver = "interfaces: {eth0: {mtu: 9001, addresses: [198.51.100.1/24]}}\n"

	withFault = "interfaces: {eth0: {addresses: [192.0.2.256/24]}}\n"
)

var (
	first  = resource.AddressKey("eth0", netip.MustParsePrefix("192.0.2.1/24"))
	second = resource.AddressKey("eth0", netip.MustParsePrefix("198.51.100.1/24"))
)

func TestAppliesAndAdopts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.raised(CondNoTree)
		r.push("rev-one", oneAddress)
		r.has(first)
		r.inSync("rev-one")
		h := r.engine.History()
		if len(h) != 1 || h[0].Ops.Create != 1 || h[0].Outcome != OutcomeApplied || h[0].Confirmed != byNoProbe {
			t.Fatalf("history %+v, want one create, applied, final without a probe", h)
		}
		r.end()

		done := r.host.done()
		r.start()
		r.inSync("rev-one")
		if got := r.host.done(); got != done {
			t.Errorf("a restart changed %d things, want none", got-done)
		}
		if got := r.engine.History(); len(got) != 1 {
			t.Errorf("after a restart history has %d entries, want 1", len(got))
		}
	})
}

func TestForeignIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		foreign := resource.Address{Link: "eth0", Prefix: netip.MustParsePrefix("203.0.113.9/24"), Scope: "global"}
		if err := r.host.fake.Create(foreign); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.push("rev-one", oneAddress)
		r.push("rev-two", "interfaces: {eth0: {mtu: 1400}}\n")
		r.wait(time.Minute)
		r.has(foreign.Key())
	})
}

func TestNamespaceGoneAndReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var became atomic.Pointer[error]
		r.namespace = func() error {
			if err := became.Load(); err != nil {
				return *err
			}
			return nil
		}
		r.start()
		r.push("rev-one", oneAddress)
		gone := fmt.Errorf("%w: a test", ErrNamespaceGone)
		became.Store(&gone)
		r.wait(time.Minute)
		r.raised(CondNamespace)
		r.host.remove(first, true)
		r.wait(time.Minute)
		r.hasNot(first)
		if r.engine.Status().InSync {
			t.Error("in sync in a namespace that is gone")
		}
		replaced := fmt.Errorf("%w: a test", ErrNamespaceReplaced)
		became.Store(&replaced)
		r.wait(time.Minute)
		stop := r.stop
		r.stop = nil
		if err := stop(); !errors.Is(err, ErrNamespaceReplaced) {
			t.Errorf("run ended with %v", err)
		}
	})
}

func TestPanicIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.host.fail(func(diff.Op) error { panic("boom") })
		r.push("rev-one", oneAddress)
		err := r.stop()
		r.stop = nil
		var p *PanicError
		if !errors.As(err, &p) || p.Task != "loop" || p.Value != "boom" {
			t.Fatalf("run: %v, want the panic of the loop", err)
		}
		if _, err := r.engine.Sync(context.Background()); !errors.Is(err, ErrStopped) {
			t.Errorf("sync after the end says %v", err)
		}
	})
}

func eventText(r *rig, of EventType) string {
	ctx, cancel := context.WithCancel(r.t.Context())
	var out []string
	stream := r.engine.Events(ctx, 0)
	synctest.Wait()
	for {
		select {
		case e := <-stream:
			if e.Type == of {
				out = append(out, e.Message)
			}
			synctest.Wait()
			continue
		default:
		}
		cancel()
		for range stream {
		}
		return strings.Join(out, "\n")
	}
}
