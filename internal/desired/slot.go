package desired

import (
	"strconv"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// slot is a program that runs in a chain, on whichever interface.
type slot struct {
	program *program // nil for a load balancer that this build does not have
	builtin bool     // the load balancer
	proceed resource.Proceed
	at      *strict.Value
}

// slots are the programs of a hook that are enabled.
func (b *builder) slots(p place) []slot {
	var out []slot
	enabled := 0
	seen := make(map[string]*strict.Value)
	for i := range p.yaml.Programs {
		y := &p.yaml.Programs[i]
		s, ok := b.slot(p.hook, y)
		again := b.again(seen, y)
		if !y.Enabled.Or(true) {
			continue
		}
		if ok && !again {
			out = append(out, s)
		}
		if enabled++; enabled == resource.MaxSlots+1 {
			b.fault(y.At(), "too-many", "more than %d programs on one hook", resource.MaxSlots)
		}
	}
	return out
}

// slot reads one item; false if it is at fault.
func (b *builder) slot(hook resource.Hook, y *slotYAML) (slot, bool) {
	s := slot{at: y.At(), proceed: b.proceed(hook, y)}
	if y.Builtin.Given() {
		b.checkBuiltin(hook, y)
		s.program, s.builtin = b.lb.program, true
		return s, y.Builtin.Ok() && !y.Program.Given() && hook.IsXDP()
	}
	if !y.Program.Given() {
		if y.At().Get("program") == nil && y.At().Kind == strict.Mapping {
			b.fault(y.At(), "missing-key", "program is missing").Hinted("or builtin: lb")
		}
		return s, false
	}
	s.program = b.programs[y.Program.Val]
	if s.program == nil && y.Program.Ok() {
		b.unknownProgram(y.Program)
	}
	return s, s.program != nil
}

func (b *builder) unknownProgram(v strict.V[string]) {
	p := b.fault(v.At(), "unknown-program", "no program is named %s", v.Val).Hinted("declare it under programs:")
	if near := strict.Nearest(v.Val, sortedKeys(b.programs)); near != "" {
		p.Hinted("did you mean %s?", near)
	}
}

func (b *builder) checkBuiltin(hook resource.Hook, y *slotYAML) {
	switch {
	case y.Program.Given():
		b.fault(y.Builtin.At(), "two-ways", "builtin stands in place of program, not beside it")
	case len(y.ProceedOn) > 0:
		b.fault(y.At().Get("proceed-on"), "two-ways", "proceed-on belongs to program, the load balancer decides by itself")
	case !hook.IsXDP():
		b.fault(y.Builtin.At(), "wrong-hook", "the load balancer runs on %s, not on %s", resource.XDPIngress, hook)
	}
}

// again reports a second item of one name, be it enabled or not.
func (b *builder) again(seen map[string]*strict.Value, y *slotYAML) bool {
	name, at := y.Program.Val, y.Program.At()
	if y.Builtin.Ok() {
		name, at = "builtin "+y.Builtin.Val, y.Builtin.At()
	} else if !y.Program.Ok() {
		return false
	}
	if first := seen[name]; first != nil {
		b.fault(at, "program-twice", "%s is in this chain already, at %s", name, column(first.Pos))
		return true
	}
	seen[name] = at
	return false
}

// column prints file:line:column, for what may stand on one line.
func column(p strict.Pos) string { return p.String() + ":" + strconv.Itoa(int(p.Column)) }

// proceed is the set of return codes after which the chain goes on.
func (b *builder) proceed(hook resource.Hook, y *slotYAML) resource.Proceed {
	if y.ProceedOn == nil {
		return hook.DefaultProceed()
	}
	var set resource.Proceed
	for _, v := range y.ProceedOn {
		name, ok := v.Get()
		if !ok {
			continue
		}
		bit, known := hook.ProceedOn(string(name))
		if !known {
			suggest(b.fault(v.At(), "unknown-verdict", "%q is no return code of %s", string(name), hook), string(name), hook.Verdicts())
		}
		set |= bit
	}
	return set
}
