package demo

import (
	"context"
	"regexp"
	"strings"
)

// What of the output of ip changes by itself.
var lifetime = regexp.MustCompile(`(valid_lft|preferred_lft|expires) \S+`)

// fingerprint is all that the network namespace of this process holds, as
// text.
func fingerprint(ctx context.Context) (string, error) {
	var all strings.Builder
	for _, args := range [][]string{
		{"-o", "link", "show"}, {"-o", "address", "show"}, {"rule", "show"}, {"-6", "rule", "show"},
		{"route", "show", "table", "all"}, {"-6", "route", "show", "table", "all"},
	} {
		out, err := command(ctx, "ip", args...)
		if err != nil {
			return "", err
		}
		all.WriteString(lifetime.ReplaceAllString(out, "$1"))
		all.WriteByte('\n')
	}
	return all.String(), nil
}

// firstDifference is the first line that only one of two texts has.
func firstDifference(before, after string) string {
	for _, side := range []struct{ text, other, word string }{{before, after, "gone: "}, {after, before, "new: "}} {
		for line := range strings.Lines(side.text) {
			if !strings.Contains(side.other, line) {
				return side.word + strings.TrimSpace(line)
			}
		}
	}
	return "the order of lines"
}
