package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// recorder is a driver that remembers its batches and fails where it is told.
type recorder struct {
	name     string
	batches  [][]string
	fail     map[string]error
	failPrep map[string]error
	stop     context.CancelFunc // called after the first batch, if set
}

func (r *recorder) Name() string                           { return r.name }
func (r *recorder) Check(resource.Resource) []driver.Fault { return nil }
func (r *recorder) Observe(context.Context, observed.Query) (observed.State, error) {
	return observed.State{}, nil
}

func (r *recorder) Prepare(_ context.Context, op diff.Op) error { return r.failPrep[op.Key.Name] }

func (r *recorder) Apply(ctx context.Context, ops []diff.Op) []error {
	var names []string
	errs := make([]error, len(ops))
	for i, op := range ops {
		names = append(names, op.Key.Name)
		errs[i] = r.fail[op.Key.Name]
	}
	r.batches = append(r.batches, names)
	if r.stop != nil {
		r.stop()
	}
	return errs
}

// plan makes one from lines of name and what it comes after.
func plan(after ...[]int) diff.Plan {
	var p diff.Plan
	for i, a := range after {
		p.Ops = append(p.Ops, diff.Op{
			Verb: diff.Create, After: a, Origin: fmt.Sprintf("net.yaml:%d", i+1),
			Key: resource.Key{Driver: "one", Kind: "thing", Name: string(rune('a' + i))},
		})
	}
	return p
}

func outcomes(r apply.Report) string {
	var b strings.Builder
	for _, res := range r.Results {
		b.WriteByte("-+x!"[res.Outcome]) // not run, done, failed, blocked
	}
	return b.String()
}

var errBroken = errors.New("broken")

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name     string
		plan     diff.Plan
		fail     string
		failPrep string
		batches  string
		outcomes string
	}{
		{"nothing to do", plan(), "", "", "[]", ""},
		{"independent operations go together", plan(nil, nil, nil), "", "", "[[a b c]]", "+++"},
		{"a chain takes a batch each", plan(nil, []int{0}, []int{1}), "", "", "[[a] [b] [c]]", "+++"},
		{"a dependent one opens a batch, the rest joins it", plan(nil, nil, []int{0}, nil), "", "", "[[a b] [c d]]", "++++"},
		{"a failure blocks what comes after, however far, and nothing else", plan(nil, []int{0}, []int{1}, nil), "a", "", "[[a] [d]]", "x!!+"},
		{"what cannot be prepared is not applied", plan(nil, []int{0}, nil), "", "a", "[[c]]", "x!+"},
		{"what waits for it is not even prepared", plan(nil, []int{0}, []int{1}), "", "a b", "[]", "x!!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &recorder{name: "one", fail: map[string]error{c.fail: errBroken}, failPrep: map[string]error{}}
			for _, name := range strings.Fields(c.failPrep) {
				d.failPrep[name] = errBroken
			}
			report := apply.Run(context.Background(), c.plan, []driver.Driver{d})
			if got := fmt.Sprint(d.batches); got != c.batches {
				t.Errorf("batches %s, want %s", got, c.batches)
			}
			if told := diff.Count(c.plan).Batches; c.fail+c.failPrep == "" && (report.Batches != told || len(d.batches) != told) {
				t.Errorf("%d batches, and the plan tells of %d", report.Batches, told)
			}
			if got := outcomes(report); got != c.outcomes {
				t.Errorf("outcomes %s, want %s", got, c.outcomes)
			}
			if failed := c.fail+c.failPrep != ""; failed != errors.Is(report.Err(), errBroken) {
				t.Errorf("error is %v", report.Err())
			}
		})
	}
}

func TestErrNamesTheRoot(t *testing.T) {
	d := &recorder{name: "one", fail: map[string]error{"a": errBroken}}
	err := apply.Run(context.Background(), plan(nil, []int{0}, []int{1}), []driver.Driver{d}).Err()
	if got, want := err.Error(), "net.yaml:1: broken (blocks 2 more)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrCountsTheRest(t *testing.T) {
	d := &recorder{name: "one", fail: map[string]error{}}
	p := plan(make([][]int, 13)...)
	for _, op := range p.Ops {
		d.fail[op.Key.Name] = errBroken
	}
	lines := strings.Split(apply.Run(context.Background(), p, []driver.Driver{d}).Err().Error(), "\n")
	if len(lines) != 11 || lines[10] != "and 3 more" {
		t.Errorf("got %d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestEndedContextLeavesTheRest(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	d := &recorder{name: "one", stop: stop}
	report := apply.Run(ctx, plan(nil, []int{0}), []driver.Driver{d})
	if got := outcomes(report); got != "+-" {
		t.Errorf("outcomes %s, want +-", got)
	}
	if !errors.Is(report.Results[1].Err, context.Canceled) || report.Err() == nil {
		t.Errorf("the rest reports %v, the whole %v", report.Results[1].Err, report.Err())
	}
}

func TestUnknownDriver(t *testing.T) {
	report := apply.Run(context.Background(), plan(nil), []driver.Driver{&recorder{name: "two"}})
	if err := report.Err(); err == nil || !strings.Contains(err.Error(), `no driver "one"`) {
		t.Errorf("got %v", err)
	}
}
