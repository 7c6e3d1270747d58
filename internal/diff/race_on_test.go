//go:build race

package diff_test

// walkPairs is less under the race detector, which makes a walk ten times
// slower; make test takes the long walk without it.
const walkPairs = 5_000
