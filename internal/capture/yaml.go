package capture

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mapping is a YAML mapping in the order of its keys.
type mapping []pair

// pair is a key and a value that is YAML already.
type pair struct{ key, value string }

// add puts a text in, quoted where YAML would take it for something else.
func (m *mapping) add(key, value string) { m.addRaw(key, scalar(value)) }

func (m *mapping) addRaw(key, value string) { *m = append(*m, pair{key, value}) }

func (m *mapping) addList(key string, items []string) {
	if len(items) > 0 {
		m.addRaw(key, "["+strings.Join(items, ", ")+"]")
	}
}

// flow writes a mapping on one line.
func (m mapping) flow() string {
	parts := make([]string, len(m))
	for i, p := range m {
		parts[i] = p.key + ": " + p.value
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// lineWidth is where an entry is broken into lines.
const lineWidth = 100

// entry writes a name with its mapping, on one line if that is short.
func entry(name string, m mapping) string {
	key := "  " + scalar(name) + ":"
	if line := key + " " + m.flow(); len(line) <= lineWidth {
		return line + "\n"
	}
	var b strings.Builder
	b.WriteString(key + "\n")
	for _, p := range m {
		b.WriteString("    " + p.key + ": " + p.value + "\n")
	}
	return b.String()
}

func section(name string, lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "\n" + name + ":\n" + strings.Join(lines, "")
}

var (
	word = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]*$`)
	ipv4 = regexp.MustCompile(`^[0-9]+(\.[0-9]+){3}(/[0-9]+)?$`)
)

// scalar writes a text so that any YAML 1.1 or 1.2 reader takes it for one.
func scalar(s string) string {
	special := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	if ipv4.MatchString(s) || word.MatchString(s) && !slices.Contains(special, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}
