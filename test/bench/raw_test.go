package main

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
)

// The yardstick and ip -batch must build the same host, or their ratio means
// nothing.
func TestRawBuildsWhatIPBuilds(t *testing.T) {
	testns.NeedRoot(t)
	for _, l := range []load{pairsLoad(50), addressLoad(200, 10), addressLoad(100, 1), routeLoad(1000)} {
		t.Run(l.name, func(t *testing.T) {
			raw := build(t, l, func(h *host) error { return h.do(l.requests) })
			ip := build(t, l, func(h *host) error { return h.ip(t.Context(), l.script()) })
			if raw != ip {
				t.Errorf("raw holds %+v, ip -batch %+v", raw, ip)
			}
			if least := len(l.make); raw.links+raw.addresses+raw.routes < least {
				t.Errorf("raw holds %+v, fewer than the %d objects asked for", raw, least)
			}
		})
	}
}

func build(t *testing.T, l load, work func(*host) error) census {
	t.Helper()
	var c census
	err := onHost(func(h *host) error {
		if err := h.do(l.before); err != nil {
			return err
		}
		start := time.Now()
		if err := work(h); err != nil {
			return err
		}
		t.Log(time.Since(start))
		var err error
		c, err = h.census()
		return firstOf(err, h.clear())
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestErrorNamesTheRequest(t *testing.T) {
	testns.NeedRoot(t)
	err := onHost(func(h *host) error {
		return h.do(func(b *batch) { b.setUp(1); b.setUp(4711); b.setUp(1) })
	})
	if want := "request 2 of 3: " + unix.ENODEV.Error(); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
