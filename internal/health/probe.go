package health

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// probe asks once. An error has a code; nil is a success. It comes back soon
// after the deadline, or the end of the context, whatever the target does.
type probe func(ctx context.Context, deadline time.Time) error

// newProbe prepares what all probes of a target have in common. What cannot be
// prepared fails each time, and is no fault of the target.
func newProbe(address netip.Addr, c Check, pings *pingers) probe {
	var p probe
	var err error
	switch c.Type {
	case ICMP:
		p = pings.probe(address.Unmap(), c)
	case TCP:
		p = newEndpoint(address, c).probe
	case HTTP:
		p, err = newHTTPProbe(address, c)
	case HTTPS:
		p, err = newHTTPSProbe(address, c)
	default:
		err = fmt.Errorf("probe of %v: no such type", c.Type)
	}
	if err != nil {
		return func(context.Context, time.Time) error { return local(err) }
	}
	return p
}

// probe succeeds when somebody accepts the connection.
func (e endpoint) probe(ctx context.Context, deadline time.Time) error {
	c, err := e.connect(ctx, deadline)
	if err != nil {
		return err
	}
	return c.Close()
}
