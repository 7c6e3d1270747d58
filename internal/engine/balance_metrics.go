package engine

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/driver"
	"reconciler/internal/intent"
	"reconciler/internal/resource"
)

// weighing lets Prometheus read how VIPs and backends were decided last.
type weighing struct {
	samples atomic.Pointer[[]driver.Sample]
}

// Describe promises nothing: which series there are a tree says.
func (w *weighing) Describe(chan<- *prometheus.Desc) {}

// Collect tells the last decision.
func (w *weighing) Collect(to chan<- prometheus.Metric) {
	samples := w.samples.Load()
	if samples == nil {
		return
	}
	for _, s := range *samples {
		if m, err := metricOf(s); err == nil {
			to <- m
		}
	}
}

// tell keeps a decision for who collects.
func (w *weighing) tell(d intent.Balanced) {
	var out []driver.Sample
	gauge := func(name, help string, value float64, labels ...driver.Label) {
		out = append(out, driver.Sample{Name: name, Help: help, Kind: driver.Gauge, Labels: labels, Value: value})
	}
	d.Want.Each(func(k resource.Key, o resource.Object) bool {
		switch one := o.Resource.(type) {
		case resource.Backend:
			backend := []driver.Label{{Name: "backend", Value: one.Name}, {Name: "address", Value: one.Address.String()}, {Name: "encap", Value: string(one.Encap)}}
			for _, s := range []resource.HealthState{resource.HealthUnknown, resource.HealthUp, resource.HealthDown} {
				gauge("backend_state", "Whether a backend is in a state: 1 or 0.", one01(one.State == s), append(backend[:3:3], driver.Label{Name: "state", Value: string(s)})...)
			}
			gauge("backend_enabled", "Whether the tree lets a backend serve: 1 or 0.", one01(!one.Disabled), backend...)
		case resource.VIP:
			vip := vipLabels(k)
			for _, s := range []intent.VIPState{intent.VIPUnknown, intent.VIPUp, intent.VIPDown} {
				gauge("vip_state", "Whether a VIP is in a state: 1 or 0.", one01(d.States[k] == s), append(vip[:2:2], driver.Label{Name: "state", Value: string(s)})...)
			}
			for _, seat := range d.Seats[k] {
				name, _, _ := strings.Cut(seat.Backend, "/")
				seated := append(vip[:2:2], driver.Label{Name: "pool", Value: seat.Pool}, driver.Label{Name: "backend", Value: name})
				gauge("vip_backend_weight", "What a backend weighs in a VIP now.", float64(seat.Effective), seated...)
				gauge("vip_backend_configured_weight", "What a backend weighs in a VIP while it is well.", float64(seat.Configured), seated...)
			}
		}
		return true
	})
	w.samples.Store(&out)
}

func vipLabels(k resource.Key) []driver.Label {
	name, family, _ := strings.Cut(k.Name, "/")
	return []driver.Label{{Name: "vip", Value: name}, {Name: "family", Value: family}}
}

func one01(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
