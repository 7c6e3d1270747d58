package resource

import (
	"net/netip"
	"testing"
)

func TestVIPTellsItsChange(t *testing.T) {
	was := VIP{
		Name: "www", Family: IPv4, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, NoBackend: NoBackendDrop,
		Shares: []Share{{"web1/10.0.0.1/ipip", 100}, {"web3/10.0.0.3/ipip", 100}},
	}
	next := was
	next.Shares = []Share{{"web1/10.0.0.1/ipip", 50}, {"web2/10.0.0.2/ipip", 10}}
	next.NoBackend = NoBackendPass
	was.Seen.Damage = []string{"3 of 251 slots differ"}
	const want = "web1 100 -> 50, web2 0 -> 10, web3 100 -> 0, no-backend drop -> pass, 3 of 251 slots differ"
	if got := next.Summary(was, next); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := next.Summary(nil, next), "192.0.2.1  all packets  2 backends"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
