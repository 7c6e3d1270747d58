package desired

import (
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// drainYAML is an order to take backends out, as written.
type drainYAML struct {
	strict.Here
	Select strict.Map[strict.V[word]] `yaml:"select" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" required:"true" doc:"Labels of backends, all of which have to be theirs."`
	Until  strict.V[moment]           `yaml:"until" doc:"When it ends by itself: a time with date and zone. Left out: when it leaves the YAML."`
	Reason strict.V[string]           `yaml:"reason" max:"255" doc:"For people."`
}

// readDrains gives the backends that they select their orders.
func (b *builder) readDrains() {
	for i := range b.doc.Drains {
		e := &b.doc.Drains[i]
		y := &e.Val
		order := resource.DrainOrder{Name: e.Name, Until: time.Time(y.Until.Val), Reason: y.Reason.Val}
		if now := b.around.now; y.Until.Ok() && !now.IsZero() && !now.Before(order.Until) {
			b.report.Warn(y.Until.At(), strict.Problemf("past", "this is over, so nothing drains for it any more").Hinted("remove the entry"))
		}
		list := y.At().Get("select")
		if list == nil || list.Kind != strict.Mapping {
			continue
		}
		if len(y.Select) == 0 {
			b.fault(list, "empty-select", "it selects by no label").Hinted("name one: {rack: r12}")
			continue
		}
		selected := false
		for _, name := range sortedKeys(b.lb.backends) {
			if k := b.lb.backends[name]; k.has(y.Select) {
				k.drains, selected = append(k.drains, order), true
			}
		}
		if !selected {
			b.report.Warn(list, strict.Problemf("selects-nothing", "no backend has these labels, so nothing drains"))
		}
	}
}

// has reports that a backend has all of some labels.
func (k *backend) has(labels strict.Map[strict.V[word]]) bool {
	for _, e := range labels {
		mine := k.yaml.Labels.Get(e.Name)
		if mine == nil || !e.Val.Ok() || mine.Val.Val != e.Val.Val {
			return false
		}
	}
	return true
}
