package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// row is one line of the result.
type row struct {
	load, measure string
	ours, other   string // as text, with units; other may be empty
	value         string // what the target is about
	target        string // empty: for information
	met           bool
}

// against makes a row of two subjects' times; limit 0 is no target.
func against(load, measure string, ours, other []time.Duration, limit float64) row {
	all := ratios(ours, other)
	r := row{
		load: load, measure: measure,
		ours: short(median(ours)), other: short(median(other)),
		value: fmt.Sprintf("%.2f (%.2f–%.2f)", median(all), quantile(all, 0.25), quantile(all, 0.75)),
	}
	if limit > 0 {
		r.target = fmt.Sprintf("≤ %g", limit)
		r.met = median(all) <= limit
	}
	return r
}

func (r row) verdict() string {
	switch {
	case r.target == "":
		return ""
	case r.met:
		return "met"
	}
	return "NOT MET"
}

func (r row) cells() []string {
	return []string{r.load, r.measure, r.ours, r.other, r.value, r.target, r.verdict()}
}

var titles = []string{"load", "measure", "ours", "other", "ratio or value (quartiles)", "target", ""}

// printer writes rows as they come, aligned for a terminal or as Markdown.
type printer struct {
	out      io.Writer
	markdown bool
	missed   int
}

var widths = []int{30, 32, 9, 9, 26, 9, 7}

func (p *printer) head() {
	p.line(titles)
	rule := make([]string, len(titles))
	for i := range rule {
		rule[i] = strings.Repeat("-", widths[i])
		if p.markdown {
			rule[i] = "---"
		}
	}
	p.line(rule)
}

func (p *printer) row(r row) {
	if r.target != "" && !r.met {
		p.missed++
	}
	p.line(r.cells())
}

func (p *printer) line(cells []string) {
	if p.markdown {
		fmt.Fprintf(p.out, "| %s |\n", strings.Join(cells, " | "))
		return
	}
	var s strings.Builder
	for i, c := range cells {
		s.WriteString(c)
		s.WriteString(strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(c))+2))
	}
	fmt.Fprintln(p.out, strings.TrimRight(s.String(), " "))
}

// short prints a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	case d >= 100*time.Microsecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1f µs", d.Seconds()*1e6)
}
