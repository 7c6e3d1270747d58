package lb

import (
	"strings"

	"reconciler/internal/driver"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

var _ driver.Sampler = (*Driver)(nil)

// Samples reads the counters of VIPs and backends, and the sums of rings: equal
// on two hosts, they send each flow to the same backend. What cannot be read is
// left out.
func (d *Driver) Samples(*resource.Set) []driver.Sample {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, _, err := d.open()
	if err != nil || p == nil {
		return nil
	}
	v, err := viewOf(p)
	if err != nil {
		d.cfg.Log.Warn("read the balancer for metrics", "error", err)
		return nil
	}
	s := sampling{view: v}
	s.services(d)
	s.records()
	s.reasons()
	return s.out
}

type sampling struct {
	*view
	out []driver.Sample
}

func (s *sampling) add(name, help string, kind driver.SampleKind, value float64, labels ...driver.Label) {
	s.out = append(s.out, driver.Sample{Name: name, Help: help, Kind: kind, Labels: labels, Value: value})
}

func (s *sampling) services(d *Driver) {
	counters, err := s.AllServiceCounters()
	if err != nil {
		d.cfg.Log.Warn("read counters of VIPs", "error", err)
		return
	}
	l := &reading{d: d, view: s.view, rings: map[inUse]verdict{}, judged: map[judgement]verdict{}}
	for name, i := range s.vips {
		vip, family, _ := strings.Cut(name, "/")
		labels := []driver.Label{{Name: "vip", Value: vip}, {Name: "family", Value: family}}
		c := counters[i]
		for _, one := range []struct {
			name, help string
			value      uint64
		}{
			{"vip_packets_total", "Packets that came for a VIP.", c.Packets},
			{"vip_bytes_total", "Bytes that came for a VIP, of layer 3.", c.Bytes},
			{"vip_new_flows_total", "TCP connections that were begun with a VIP.", c.Flows},
			{"vip_no_backend_packets_total", "Packets of a VIP that had no backend.", c.NoBackend},
			{"vip_too_big_packets_total", "Packets of a VIP that were too big for the tunnel.", c.TooBig},
			{"vip_drained_packets_total", "Packets of slots that moved, which the table of flows or the former ring knew a backend for.", c.Previous + c.TableHits},
		} {
			s.add(one.name, one.help, driver.Counter, float64(one.value), labels...)
		}
		service := s.view.services[i]
		ring := l.judge(service.Ring, service.Open())
		// 48 bits are what a number of Prometheus tells apart.
		s.add("vip_ring_checksum", "Sum of a VIP's ring: equal where the same flows go to the same backends.",
			driver.Gauge, float64(ring.checksum>>16), labels...)
		s.add("vip_draining", "Whether flows of a VIP stay with former backends: 1 or 0.", driver.Gauge, number(service.Open()), labels...)
	}
}

func (s *sampling) records() {
	counters, err := s.AllBackendCounters()
	if err != nil {
		return
	}
	for i, b := range s.backends {
		if b.Name == "" {
			continue
		}
		labels := []driver.Label{
			{Name: "backend", Value: b.Name}, {Name: "address", Value: b.Address.String()}, {Name: "encap", Value: string(encapOf(b.Encap))},
		}
		c := counters[i]
		s.add("backend_packets_total", "Packets that were sent to a backend.", driver.Counter, float64(c.Packets), labels...)
		s.add("backend_bytes_total", "Bytes that were sent to a backend, of layer 3 before any tunnel.", driver.Counter, float64(c.Bytes), labels...)
		s.add("backend_new_flows_total", "TCP connections that were begun with a backend.", driver.Counter, float64(c.Flows), labels...)
		s.add("backend_unreachable_packets_total", "Packets that had no way to their backend.", driver.Counter, float64(c.Failed), labels...)
	}
}

func (s *sampling) reasons() {
	counters, err := s.ReasonCounters()
	if err != nil {
		return
	}
	for i, n := range counters {
		s.add("balancer_packets_total", "Packets to VIPs that ended otherwise than at a backend, by reason.", driver.Counter, float64(n),
			driver.Label{Name: "reason", Value: plane.Reason(i).String()})
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
