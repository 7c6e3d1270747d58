package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// stage is what the audience sees: at most 100 columns, colour on a terminal.
type stage struct {
	out    io.Writer
	colour bool
}

const width = 100

type style string

const (
	plain style = ""
	bold  style = "1"
	faint style = "2"
	red   style = "31"
	green style = "32"
	cyan  style = "36"
)

func newStage(out io.Writer) *stage {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return &stage{out: out}
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return &stage{out: out, colour: err == nil}
}

func (s *stage) paint(c style, text string) string {
	if !s.colour || c == plain {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

func (s *stage) line(c style, indent int, text string) {
	text = strings.ReplaceAll(text, "\t", "    ")
	if room := width - indent; utf8.RuneCountInString(text) > room {
		text = string([]rune(text)[:room-1]) + "…"
	}
	fmt.Fprintln(s.out, strings.Repeat(" ", indent)+s.paint(c, text))
}

func (s *stage) opening(w *world) {
	s.line(bold, 0, "reconciler demo")
	s.line(plain, 0, "All of this happens in throwaway network namespaces. Yours is looked at, never touched.")
	s.line(plain, 0, "")
	for _, l := range []string{
		"  left ──── p0 ┐        " + string(w.edge),
		"               ├ br0      the host under control",
		" right ──── p1 ┘          uplink ──── router ──── " + serverAddr,
	} {
		s.line(cyan, 0, l)
	}
	s.line(plain, 0, "")
	s.shell(fmt.Sprintf("reconciler run --git %s --netns %s --poll 1s …", w.repo.bare, w.edge))
	s.line(faint, 2, fmt.Sprintf("confirm: %s, probes: default-gateway, tcp %s:%s", confirmTimeout, serverAddr, serverPort))
}

func (s *stage) title(n int, text string) {
	head := fmt.Sprintf("━━ %d  %s ", n, text)
	s.line(plain, 0, "")
	s.line(bold, 0, head+strings.Repeat("━", max(0, width-utf8.RuneCountInString(head))))
}

// shell shows a command.
func (s *stage) shell(text string) { s.line(cyan, 2, "$ "+text) }

// say is the narrator.
func (s *stage) say(format string, args ...any) { s.line(plain, 2, fmt.Sprintf(format, args...)) }

const mostLines = 16

// show prints the output of a command, folded where it is long.
func (s *stage) show(text string) {
	all := lines(text)
	for _, l := range all[:min(len(all), mostLines)] {
		s.line(faint, 4, l)
	}
	if n := len(all) - mostLines; n > 0 {
		s.line(faint, 4, fmt.Sprintf("… and %d more lines", n))
	}
}

func (s *stage) proved(proof string) { s.line(green, 2, "✓ "+proof) }

func (s *stage) failed(err error, log []string) {
	for i, l := range lines(err.Error()) {
		sign := "  "
		if i == 0 {
			sign = "✗ "
		}
		s.line(red, 2, sign+l)
	}
	if len(log) > 0 {
		s.say("the daemon's last words:")
		s.show(strings.Join(log, "\n"))
	}
}

// summary is the table at the end.
func (s *stage) summary(results []result) {
	s.line(plain, 0, "")
	s.line(bold, 0, fmt.Sprintf("  %-8s %-38s %-40s %7s", "scene", "claim", "proof", "time"))
	for _, r := range results {
		sign, colour, proof := "✓", green, r.proof
		if r.err != nil {
			sign, colour, proof = "✗", red, lines(r.err.Error())[0]
		}
		s.line(colour, 0, fmt.Sprintf("%s %-8s %-38s %s %7s", sign, r.name, r.claim, fit(proof, 40), short(r.took)))
	}
	s.line(plain, 0, "")
}

// closing is the last line where every claim held.
func (s *stage) closing(claims int, took time.Duration) {
	s.line(bold, 0, fmt.Sprintf("All %d claims held, in %s. Nothing of it is left on this machine.", claims, short(took)))
}

// fit cuts or pads a text to n columns.
func fit(text string, n int) string {
	count := utf8.RuneCountInString(text)
	if count > n {
		return string([]rune(text)[:n-1]) + "…"
	}
	return text + strings.Repeat(" ", n-count)
}

// short prints a time; nothing for none.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
