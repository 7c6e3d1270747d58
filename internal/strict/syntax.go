package strict

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// The parser tells a line at best, often that where a mapping begins, and in
// words of its own grammar. What follows finds the place again and says what
// people get wrong there; the parser's words stay where none of the usual
// mistakes is seen.

// syntaxFault is one usual mistake.
type syntaxFault struct {
	says    string // part of the parser's message
	where   *regexp.Regexp
	code    string
	message string // with %s for what was found
	hint    string
}

var syntaxFaults = []syntaxFault{
	{
		says: "cannot start any token", where: regexp.MustCompile(`^ *(\t)`), code: "tab",
		message: "a tab in the indentation", hint: "indent with spaces",
	}, {
		says: "cannot start any token", where: regexp.MustCompile("(?:^|[-:,\\[{] *)([@`%][^ ,\\]}]*)"), code: "unquoted",
		message: "a value cannot begin with %s", hint: "put it in quotes",
	}, {
		says: "cannot start any token", where: regexp.MustCompile(`(\t)`), code: "tab",
		message: "a tab where a value should begin", hint: "use spaces",
	}, {
		says: "expected node content", where: regexp.MustCompile(`(?:[\[{,] *|: +)(:[0-9a-fA-F:.]*(?:/[0-9]+)?)`), code: "unquoted-colon",
		message: "a value that begins with ':' must be quoted", hint: `write "%s"`,
	}, {
		says: "expected node content", where: regexp.MustCompile(`[\[{,:] *([\]},])`), code: "syntax",
		message: "there is no value before %s",
	}, {
		says: "mapping values are not allowed", where: regexp.MustCompile(`^[^#]*?: [^#]*?(:)(?: |$)`), code: "second-colon",
		message: "a second ': ' in one line", hint: "put the value in quotes, or begin a new line",
	}, {
		says: "mapping values are not allowed", where: regexp.MustCompile(`^ *([^ #].*?): ?`), code: "indentation",
		message: "%s: is indented below a value that is complete", hint: "indent it as its neighbours are",
	}, {
		says: "did not find expected key", where: regexp.MustCompile(`^ *([^ #])`), code: "indentation",
		message: "the indentation is that of nothing above", hint: "indent it as its neighbours are",
	}, {
		says: "expected '-' indicator", where: regexp.MustCompile(`^ *([^ #-])`), code: "indentation",
		message: "a list goes on with something else than an item", hint: "begin with -, or indent it as its neighbours are",
	}, {
		says: "sequence entries are not allowed", where: regexp.MustCompile(`: *(-) `), code: "syntax",
		message: "a list begins on the line of its key", hint: "begin a new line, or write […]",
	}, {
		says: "unknown escape", where: regexp.MustCompile(`(\\[^0abtnvfre "/\\N_LPxuU])`), code: "syntax",
		message: "%s is no escape in double quotes", hint: "use single quotes",
	},
}

var (
	parserLine    = regexp.MustCompile(`^yaml: (line \d+: )?`)
	unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
)

// explain turns an error of the parser into a position and a Problem.
func explain(f *File, content []byte, err error) (Pos, *Problem) {
	text := parserLine.ReplaceAllString(err.Error(), "")
	s := syntax{file: f, content: string(content)}
	s.lines, s.ends = splitLines(s.content)
	if at, p := s.find(text); p != nil {
		return at, p
	}
	return s.at(s.near, s.indent(s.near)), Problemf("syntax", "%s", text)
}

// syntax looks for a mistake in the text of a file.
type syntax struct {
	file    *File
	content string
	lines   []string
	ends    []int // of each line in content
	near    int   // the line at which the parser gives up
}

// locate finds the first line with which the parser fails in the same words. It
// reads from the front, so that all that is longer fails as well. What a line
// leaves open is closed for the trial.
func (s *syntax) locate(text string) int {
	return 1 + sort.Search(len(s.lines)-1, func(n int) bool {
		var open []opened
		for i := range n + 1 {
			if _, p := s.balance(i+1, &open); p != nil {
				break
			}
		}
		trial := s.content[:s.ends[n]]
		for i := len(open) - 1; i >= 0; i-- {
			trial += string(open[i].other())
		}
		return firstError(trial) == text
	})
}

func firstError(content string) string {
	for dec := yaml.NewDecoder(strings.NewReader(content)); ; {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return ""
		case err != nil:
			return parserLine.ReplaceAllString(err.Error(), "")
		}
	}
}

func (s *syntax) at(line, column int) Pos {
	line = max(1, min(line, len(s.lines)))
	return Pos{s.file, int32(line), int32(column)}
}

// indent is the column of the first word of a line.
func (s *syntax) indent(line int) int {
	if line < 1 || line > len(s.lines) {
		return 1
	}
	l := s.lines[line-1]
	return len(l) - len(strings.TrimLeft(l, " ")) + 1
}

func (s *syntax) find(text string) (Pos, *Problem) {
	switch {
	case strings.Contains(text, "UTF-8"), strings.Contains(text, "control characters"):
		return s.badByte(text)
	case strings.Contains(text, "expected ',' or"), strings.Contains(text, "end of stream"), strings.Contains(text, "node content"):
		if at, p := s.unclosed(); p != nil {
			return at, p
		}
	}
	s.near = s.locate(text)
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		fault := syntaxFault{where: regexp.MustCompile(`(\*` + regexp.QuoteMeta(m[1]) + `)`), code: "unknown-anchor",
			message: "%s refers to no anchor above", hint: "define it with &" + m[1]}
		return s.match(fault)
	}
	for _, fault := range syntaxFaults {
		if strings.Contains(text, fault.says) {
			if at, p := s.match(fault); p != nil {
				return at, p
			}
		}
	}
	return Pos{}, nil
}

// match looks for a mistake on the line at which the parser gives up.
func (s *syntax) match(f syntaxFault) (Pos, *Problem) {
	l := s.lines[s.near-1]
	m := f.where.FindStringSubmatchIndex(l)
	if m == nil {
		return Pos{}, nil
	}
	found := l[m[2]:m[3]]
	p := &Problem{Code: f.code, Message: fill(f.message, found), Hint: fill(f.hint, found)}
	return s.at(s.near, utf8.RuneCountInString(l[:m[2]])+1), p
}

func fill(format, found string) string {
	if strings.Contains(format, "%s") {
		return fmt.Sprintf(format, found)
	}
	return format
}

func (s *syntax) badByte(text string) (Pos, *Problem) {
	for i, l := range s.lines {
		column := 1
		for j, r := range l {
			_, size := utf8.DecodeRuneInString(l[j:])
			if r == utf8.RuneError && size == 1 || r < ' ' && r != '\t' && r != '\r' || r == 0x7f {
				return s.at(i+1, column), Problemf("bad-byte", "%s", text).Hinted("the file is not text in UTF-8")
			}
			column++
		}
	}
	return s.at(1, 1), Problemf("bad-byte", "%s", text)
}

// opened is a bracket or a quote that waits for its other half.
type opened struct {
	char         byte
	line, column int
}

// unclosed finds a bracket or a quote without its other half.
func (s *syntax) unclosed() (Pos, *Problem) {
	var open []opened
	for i := range s.lines {
		at, p := s.balance(i+1, &open)
		if p != nil {
			return at, p
		}
	}
	if len(open) == 0 {
		return Pos{}, nil
	}
	last := open[len(open)-1]
	return s.at(last.line, last.column), Problemf("unclosed", "%c is never closed", last.char)
}

func (o opened) other() byte {
	switch o.char {
	case '{':
		return '}'
	case '[':
		return ']'
	}
	return o.char
}

var closes = map[byte]byte{'}': '{', ']': '['}

// balance follows one line: what it opens is pushed, what it closes is popped.
func (s *syntax) balance(line int, open *[]opened) (Pos, *Problem) {
	l := s.lines[line-1]
	fresh := true // a value may begin here
	for i := 0; i < len(l); i++ {
		c := l[i]
		if n := len(*open); n > 0 && ((*open)[n-1].char == '"' || (*open)[n-1].char == '\'') {
			switch {
			case c == '\\' && (*open)[n-1].char == '"':
				i++
			case c == (*open)[n-1].char:
				*open = (*open)[:n-1]
			}
			continue
		}
		inFlow := len(*open) > 0
		switch {
		case c == '#' && (i == 0 || l[i-1] == ' '):
			return Pos{}, nil
		case (c == '"' || c == '\'') && fresh, (c == '{' || c == '[') && (fresh || inFlow):
			*open = append(*open, opened{c, line, i + 1})
			fresh = true
			continue
		case (c == '}' || c == ']') && inFlow:
			last := (*open)[len(*open)-1]
			if last.char != closes[c] {
				return s.at(line, i+1), Problemf("unclosed", "%c closes nothing: %c at %d:%d is open", c, last.char, last.line, last.column)
			}
			*open = (*open)[:len(*open)-1]
		}
		fresh = c == ' ' && fresh || strings.IndexByte(",:-[{", c) >= 0 || c == ' ' && i > 0 && strings.IndexByte(",:-", l[i-1]) >= 0
	}
	return Pos{}, nil
}
