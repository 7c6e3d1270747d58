package driver

import "reconciler/internal/resource"

// Sampler is a driver that tells numbers of its dataplane. Samples reads them
// there and is called beside the other methods. want is what is wanted of the
// driver's kinds, with the names of the kernel; nil where nobody knows yet.
// Samples of one name have one kind, one help and the same labels.
type Sampler interface {
	Samples(want *resource.Set) []Sample
}

// SampleKind tells what goes up only from what is as it is.
type SampleKind uint8

// The kinds of sample.
const (
	Gauge   SampleKind = iota + 1
	Counter            // never falls as long as the process lives
)

// Sample is one number.
type Sample struct {
	Name   string // without the prefix of all metrics: letters, digits and '_'
	Help   string
	Kind   SampleKind
	Labels []Label
	Value  float64
}

// Label is one label of a sample.
type Label struct{ Name, Value string }
