// Package walk goes from random states to random wanted ones on the real
// kernel and compares what the plan predicted with what ip(8), a reader of its
// own, says is there.
//
// It owns nothing of the product; it may import whatever it puts to the test.
package walk
