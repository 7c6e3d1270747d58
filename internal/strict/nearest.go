package strict

// Nearest returns the candidate that a misspelt word most likely stands for,
// or nothing: at most one edit for three letters, two for more.
func Nearest(word string, candidates []string) string {
	best, limit := "", 2
	if len(word) <= 3 {
		limit = 1
	}
	if len(word) > 64 {
		return ""
	}
	for _, c := range candidates {
		if d := edits(word, c, limit); d <= limit {
			best, limit = c, d-1
		}
		if limit < 0 {
			break
		}
	}
	return best
}

// edits counts insertions, deletions, substitutions and swaps of neighbours
// that turn a into b, and may return any greater number once past limit.
func edits(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
