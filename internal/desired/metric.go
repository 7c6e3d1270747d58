package desired

import (
	"regexp"
	"slices"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// metricYAML is a metric of a program as written.
type metricYAML struct {
	strict.Here
	Map    strict.V[mapName]       `yaml:"map" required:"true" doc:"The map to read."`
	Key    strict.Raw              `yaml:"key" required:"true" doc:"The entry to read."`
	Name   strict.V[metricName]    `yaml:"name" required:"true" doc:"Of the metric: letters, digits and '_'."`
	As     strict.V[string]        `yaml:"as" enum:"scalar,counter,max-rate,avg" required:"true" doc:"scalar: as it is; counter: summed over CPUs, resets seen; max-rate, avg: over a window."`
	Window strict.V[time.Duration] `yaml:"window" min:"1000" max:"86400000" doc:"Of max-rate and avg; from 1s to 24h."`
	Field  strict.V[string]        `yaml:"field" min:"1" max:"128" doc:"Of a value that is a struct."`
}

const (
	metricPattern = `^[a-z][a-z0-9_]*$`
	mapPattern    = `^[a-zA-Z_.][a-zA-Z0-9_.]*$`
	maxName       = 128 // bytes; the kernel cuts the names of maps to 15
)

var (
	metricExp = regexp.MustCompile(metricPattern)
	mapExp    = regexp.MustCompile(mapPattern)
)

// metricName is a name that Prometheus takes.
type metricName string

func (n *metricName) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String || !metricExp.MatchString(v.Text) || len(v.Text) > maxName {
		return strict.Problemf("bad-name", "%q is no name of a metric", v.Text).
			Hinted("small letters, digits and '_', beginning with a letter")
	}
	*n = metricName(v.Text)
	return nil
}

func (*metricName) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": metricPattern, "maxLength": maxName}
}

// mapName is the name of a map in an object.
type mapName string

func (n *mapName) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String || !mapExp.MatchString(v.Text) || len(v.Text) > maxName {
		return strict.Problemf("bad-name", "%q is no name of a map", v.Text).Hinted("as it is in the source of the program")
	}
	*n = mapName(v.Text)
	return nil
}

func (*mapName) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": mapPattern, "maxLength": maxName}
}

// published is a metric that was seen, for those of the same name.
type published struct {
	program string
	as      string
	at      *strict.Value
}

// metric is one metric of a program; false if it is at fault.
func (b *builder) metric(program string, y *metricYAML) (resource.Metric, bool) {
	b.checkWindow(y)
	if y.Name.Ok() && y.As.Ok() {
		b.publish(program, y)
	}
	key, ok := b.raw(y.Key)
	return resource.Metric{
		Map: string(y.Map.Val), Key: key, Name: string(y.Name.Val), As: resource.MetricKind(y.As.Val),
		Window: y.Window.Val, Field: y.Field.Val,
	}, ok
}

func (b *builder) checkWindow(y *metricYAML) {
	windowed := slices.Contains([]resource.MetricKind{resource.MetricMaxRate, resource.MetricAvg}, resource.MetricKind(y.As.Val))
	switch {
	case !y.As.Ok():
	case windowed && !y.Window.Given():
		b.fault(y.As.At(), "missing-key", "%s needs a window", y.As.Val).Hinted("add window: 10s")
	case !windowed && y.Window.Given():
		b.fault(y.Window.At(), "window", "a window belongs to max-rate and avg, not to %s", y.As.Val)
	}
}

// publish compares a metric with the others of its name: those of one program
// could not be told apart, and a name is of one kind.
func (b *builder) publish(program string, y *metricYAML) {
	name := string(y.Name.Val)
	for _, other := range b.metrics[name] {
		if other.program == program {
			b.fault(y.Name.At(), "metric-twice", "%s is already a metric of this program, at %s", name, other.at.Pos)
			return
		}
		if other.as != y.As.Val {
			b.fault(y.As.At(), "metric-kind", "%s is a %s at %s, and cannot be a %s as well", name, other.as, other.at.Pos, y.As.Val)
			return
		}
	}
	b.metrics[name] = append(b.metrics[name], published{program, y.As.Val, y.Name.At()})
}
