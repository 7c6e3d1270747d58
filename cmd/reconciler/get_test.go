package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/resource"
)

func TestChainsForPeople(t *testing.T) {
	const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	for _, c := range []struct {
		name  string
		chain resource.Chain
		owner resource.Owner
		want  string
	}{
		{"with statistics", resource.Chain{
			Link: "p0", Hook: resource.XDPIngress, Label: "edge", Mode: resource.Generic, Bypass: "arp nd",
			Slots: []resource.Slot{
				{Program: "ratelimit", Link: "p0", Version: "v2.1.0", Digest: digest, Proceed: 1 << 2, ID: 398},
				{Program: "count", Digest: digest, Proceed: 1<<1 | 1<<2, ID: 1},
			},
			Seen: resource.ChainSeen{Generation: 3, Dispatcher: 412, Attach: "xdp-generic", Auto: true, Runs: 1000, RunTime: 41500 * time.Nanosecond},
		}, resource.Ours, `p0  xdp-ingress  xdp-generic (degraded)  chain edge  gen 3  dispatcher 412  1000 runs of 41 ns  bypass arp nd
   0  ratelimit@p0  v2.1.0  9f86d0  id 398
   1  count         -       9f86d0  id 1    proceed-on [drop pass]
`},
		{"damaged", resource.Chain{
			Link: "p0", Hook: resource.TCEgress,
			Slots: []resource.Slot{{Program: "count", Version: "v1", Digest: digest, Proceed: resource.TCEgress.DefaultProceed(), ID: 7}},
			Seen:  resource.ChainSeen{Generation: 1, Dispatcher: 9, Attach: "tcx", Damage: []string{"slot 0 (count) is empty", "program 3 runs before it"}},
		}, resource.Ours, `p0  tc-egress  tcx  gen 1  dispatcher 9
   0  count  v1  9f86d0  id 7
   ! slot 0 (count) is empty
   ! program 3 runs before it
`},
		{"somebody else's", resource.Chain{
			Link: "p0", Hook: resource.XDPIngress, Seen: resource.ChainSeen{Dispatcher: 5, Attach: "xdp-native"},
		}, resource.Foreign, "p0  xdp-ingress  xdp-native  foreign program 5\n"},
		{"detached", resource.Chain{
			Link: "p0", Hook: resource.XDPIngress, Seen: resource.ChainSeen{Damage: []string{"it is not attached"}},
		}, resource.Ours, "p0  xdp-ingress  detached\n   ! it is not attached\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			(&cli{stdout: &out}).printChain(c.chain, c.owner)
			if d := cmp.Diff(c.want, out.String()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
