//go:build !race

package diff_test

// walkPairs is how many pairs of states TestWalk goes between.
const walkPairs = 100_000
