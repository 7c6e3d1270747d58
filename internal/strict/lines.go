package strict

import "regexp"

// lineBreak is what the parser counts as the end of a line: more than \n, which
// is why positions agree with it only where lines are split here.
var lineBreak = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

// splitLines returns the lines of a file without their breaks, and where each
// ends.
func splitLines(content string) (lines []string, ends []int) {
	start := 0
	for _, at := range lineBreak.FindAllStringIndex(content, -1) {
		lines, ends = append(lines, content[start:at[0]]), append(ends, at[0])
		start = at[1]
	}
	return append(lines, content[start:]), append(ends, len(content))
}
