package diff

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TextOptions say how a plan is written for people.
type TextOptions struct {
	Full  bool // do not fold long lists
	Color bool
}

// Lists longer than foldAbove are cut to their first foldKeep lines.
const (
	foldAbove = 12
	foldKeep  = 10
)

// reasonColumn is where the reason starts if the line is not longer.
const reasonColumn = 72

// Text writes a plan as a person reads it in a review: a line a fact, and the
// sum of it all on the last line.
func Text(w io.Writer, p Plan, o TextOptions) error {
	t := text{options: o}
	t.ops(p.Ops)
	for _, op := range p.Ops {
		t.effects(op)
	}
	t.notes(p.Notes)
	t.blind(p.Blind)
	t.left(p.Left)
	t.line("", Summary(p), "")
	_, err := io.WriteString(w, t.b.String())
	return err
}

// Summary is the last line of a plan's text.
func Summary(p Plan) string {
	if p.InSync() {
		return "In sync: nothing to do."
	}
	c := Count(p)
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(c.Create, "to add")
	add(c.Update, "to change")
	add(c.Replace, "to replace")
	add(c.Delete, "to remove")
	if len(parts) == 0 {
		parts = []string{"nothing to do"}
	}
	sum := "Plan: " + strings.Join(parts, ", ") + "."
	if n := len(p.Ops); n > 0 {
		sum += fmt.Sprintf(" %s in %d batch", plural(n, "operation"), c.Batches)
		if c.Batches != 1 {
			sum += "es"
		}
		sum += "."
	}
	if c.Held > 0 {
		sum += fmt.Sprintf(" %s held back.", plural(c.Held, "deletion"))
	}
	if c.Trouble > 0 {
		sum += fmt.Sprintf(" Not in sync for %s.", plural(c.Trouble, "other reason"))
	}
	if n := len(p.Blind); n > 0 {
		sum += fmt.Sprintf(" %s could not be read.", plural(n, "part"))
	}
	return sum
}

// Counts are the numbers of a plan.
type Counts struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Replace int `json:"replace"`
	Delete  int `json:"delete"`
	Batches int `json:"batches"` // what goes to a driver together, where all goes well
	Held    int `json:"held"`    // deletions that a guard or protection keeps back
	Trouble int `json:"trouble"` // other notes that keep the host from being in sync
}

// Count counts operations by verb, and what keeps the host from being in sync
// besides them.
func Count(p Plan) Counts {
	c := Counts{Batches: batches(p.Ops)}
	for _, op := range p.Ops {
		switch op.Verb {
		case NoVerb:
		case Create:
			c.Create++
		case Update:
			c.Update++
		case Replace:
			c.Replace++
		case Delete:
			c.Delete++
		}
	}
	for _, n := range p.Notes {
		switch {
		case n.Code.KeepsBack():
			c.Held++
		case !n.Code.InSync():
			c.Trouble++
		}
	}
	return c
}

// text collects the lines of a plan.
type text struct {
	b       strings.Builder
	options TextOptions
}

// line writes one fact: a sign, what, and at the right why.
func (t *text) line(sign, what, why string) {
	line := what
	if sign != "" {
		line = "  " + sign + " " + what
	}
	if why != "" {
		pad := max(2, reasonColumn-utf8.RuneCountInString(line))
		line += strings.Repeat(" ", pad) + why
	}
	if c := colors[sign]; c != "" && t.options.Color {
		line = c + line + colorOff
	}
	t.b.WriteString(line + "\n")
}

const colorOff = "\x1b[0m"

var colors = map[string]string{
	"+": "\x1b[32m", "~": "\x1b[33m", "±": "\x1b[35m", "-": "\x1b[31m", "!": "\x1b[1;33m", "?": "\x1b[2m",
}

// fold calls each for the first of n lines, and says how many it left out.
func (t *text) fold(n int, what string, each func(int)) {
	shown := n
	if n > foldAbove && !t.options.Full {
		shown = foldKeep
	}
	for i := range shown {
		each(i)
	}
	if shown < n {
		t.line("", fmt.Sprintf("    … and %d more %s (--full shows them)", n-shown, what), "")
	}
}

// ops writes operations in the plan's order; a long run of one verb on one
// kind folds.
func (t *text) ops(ops []Op) {
	for len(ops) > 0 {
		n := 1
		for n < len(ops) && ops[n].Verb == ops[0].Verb && ops[n].Key.Kind == ops[0].Key.Kind {
			n++
		}
		run := ops[:n]
		t.fold(n, word(run[0].Key.Kind, 2)+" to "+run[0].Verb.String(), func(i int) { t.op(run[i]) })
		ops = ops[n:]
	}
}

func (t *text) op(op Op) {
	what := Title(op)
	if op.Disruption != "" {
		what += "   (" + op.Disruption + ")"
	}
	t.line(op.Verb.Symbol(), what, strings.TrimSpace(op.Reason+"  "+op.Origin))
	t.fold(len(op.Details), "lines", func(i int) { t.line("", "      "+op.Details[i], "") })
}

// effects writes what an operation does to others, with its name.
func (t *text) effects(op Op) {
	lines := op.Effects
	if len(op.Takes) > 0 {
		lines = append(lines[:len(lines):len(lines)], "takes along "+names(op.Takes))
	}
	title := Name(op)
	if op.Verb == Update {
		title = Title(op)
	}
	t.fold(len(lines), "side effects", func(i int) {
		t.line("!", fmt.Sprintf("side effect of %q: %s", op.Verb.Symbol()+" "+title, lines[i]), "")
	})
}

// notes writes the notes by code, in the order in which the codes first appear.
func (t *text) notes(notes []Note) {
	byCode := make(map[NoteCode][]Note)
	var codes []NoteCode
	for _, n := range notes {
		if byCode[n.Code] == nil {
			codes = append(codes, n.Code)
		}
		byCode[n.Code] = append(byCode[n.Code], n)
	}
	for _, code := range codes {
		list := byCode[code]
		t.fold(len(list), string(code), func(i int) { t.note(list[i]) })
	}
}

func (t *text) note(n Note) {
	sign := "!"
	if n.Code.InSync() {
		sign = "?"
	}
	what := strings.ReplaceAll(string(n.Code), "-", " ") + ":"
	if n.Key != (resource.Key{}) {
		what += " " + subject(n.Key)
	}
	if n.Text != "" && n.Key != (resource.Key{}) {
		what += ":"
	}
	t.line(sign, strings.TrimSpace(what+" "+n.Text), n.Origin)
}

func (t *text) blind(blind []observed.Blind) {
	t.fold(len(blind), "parts that could not be read", func(i int) {
		t.line("?", "could not be read: "+blind[i].Scope.String()+": "+blind[i].Reason, "")
	})
}

func (t *text) left(left []observed.Tally) {
	var parts []string
	for _, l := range left {
		s := fmt.Sprintf("%d %s", l.Count, word(l.Kind, l.Count))
		if l.Origin != "" {
			s += " (" + l.Origin + ")"
		}
		parts = append(parts, s)
	}
	if len(parts) > 0 {
		t.line("?", "left alone: "+strings.Join(parts, ", "), "")
	}
}

// Title names an operation's object and what becomes of it, on one line.
func Title(op Op) string {
	if s, ok := summary(op); ok {
		return strings.TrimSpace(Name(op) + "  " + s)
	}
	if op.Verb == Create || op.Verb == Delete {
		return strings.TrimSpace(Name(op) + gap(op.Key.Kind) + attributes(op))
	}
	return strings.TrimSpace(Name(op) + "  " + changes(op.Fields))
}

// summary is what a resource says of its own change, where a list of fields
// would say it badly.
func summary(op Op) (string, bool) {
	for _, r := range []resource.Resource{op.To, op.From} {
		if s, ok := r.(resource.Summarizer); ok {
			return s.Summary(op.From, op.To), true
		}
	}
	return "", false
}

// Name names an operation's object: its kind, its name, and for an interface
// its kind or the kernel's name in brackets.
func Name(op Op) string {
	name := subject(op.Key)
	r := op.To
	if r == nil {
		r = op.From
	}
	if t, ok := r.(resource.Titled); ok {
		return word(op.Key.Kind, 1) + " " + t.Title()
	}
	l, ok := r.(resource.Link)
	switch {
	case !ok:
		return name + label(r)
	case l.Label != "" && l.Label != l.Name:
		return fmt.Sprintf("%s %s (%s)", word(op.Key.Kind, 1), l.Label, l.Name)
	case l.Type != "" && op.Verb != Update:
		return fmt.Sprintf("%s (%s)", name, l.Type)
	}
	return name
}

// label is the name in YAML of a chain, where that is not its interface's.
func label(r resource.Resource) string {
	if c, ok := r.(resource.Chain); ok && c.Label != "" && c.Label != c.Link {
		return " (" + c.Label + ")"
	}
	return ""
}

// attributes lists what an object made or removed is like, without what goes
// without saying: our own mark, and what every new object has.
func attributes(op Op) string {
	r := op.To
	if op.Verb == Delete {
		r = op.From
	}
	if r == nil || op.Verb == Delete && op.Key.Kind == resource.KindLink {
		return ""
	}
	var parts []string
	for _, f := range r.Fields() {
		if !implied(op.Key.Kind, f) {
			parts = append(parts, f.Name+" "+f.Value)
		}
	}
	return strings.Join(parts, " ")
}

func implied(kind resource.Kind, f resource.Field) bool {
	switch f.Name {
	case "group", "protocol":
		return true
	case "kind":
		return kind == resource.KindLink
	case "scope":
		return f.Value == "global"
	case "state":
		return f.Value == string(resource.Up)
	case "via":
		return f.Value == ""
	}
	return false
}

// changes lists fields as old -> new; a change of the mark is told as what it
// means.
func changes(fields []resource.Change) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, change(f))
	}
	return strings.Join(parts, ", ")
}

func change(f resource.Change) string {
	if f.Name == "protocol" || f.Name == "group" {
		switch {
		case isMark(f.To):
			return "adopt"
		case isMark(f.From):
			return "release"
		}
	}
	return fmt.Sprintf("%s %s -> %s", f.Name, orNone(f.From), orNone(f.To))
}

func isMark(v string) bool {
	return v == fmt.Sprint(resource.Protocol) || v == fmt.Sprint(resource.LinkGroup)
}

// names lists keys, the first few of a long list.
func names(keys []resource.Key) string {
	const few = 5
	var parts []string
	for _, k := range keys[:min(few, len(keys))] {
		parts = append(parts, subject(k))
	}
	s := strings.Join(parts, ", ")
	if more := len(keys) - few; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// gap sets the attributes of an interface apart; those of a route read on as
// in iproute2.
func gap(k resource.Kind) string {
	if k == resource.KindLink {
		return "  "
	}
	return " "
}

// subject is a kind and a name.
func subject(k resource.Key) string {
	if k.Kind == resource.KindUnsupported {
		return k.Name
	}
	return word(k.Kind, 1) + " " + k.Name
}

// word is a kind as people call it, for n of them.
func word(k resource.Kind, n int) string {
	w := string(k)
	switch k {
	case resource.KindLink:
		w = "interface"
	case resource.KindRelease:
		w = "version"
	case resource.KindCurrent:
		w = "upgrade"
	case resource.KindSelf:
		w = "process"
	}
	switch {
	case n == 1 || k == resource.KindUnsupported:
		return w
	case strings.HasSuffix(w, "ss"):
		return w + "es"
	}
	return w + "s"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
