package main

import (
	"math"
	"testing"
	"time"
)

func TestSlopesFitsEachRound(t *testing.T) {
	n := []int{1, 2, 4}
	times := [][]time.Duration{{13, 101}, {16, 102}, {22, 104}} // 10 + 3n, and 100 + n
	got := slopes(n, times)
	if len(got) != 2 || math.Abs(got[0]-3) > 1e-9 || math.Abs(got[1]-1) > 1e-9 {
		t.Errorf("slopes %v, want 3 and 1", got)
	}
}

func TestObjectsOfABenchDiffer(t *testing.T) {
	c := chained{link: "v0", hook: "tc-ingress", programs: 2, entry: "numbered"}
	one, two := c.program(0), c.program(1)
	if one.Source.Tree.SHA256 == two.Source.Tree.SHA256 {
		t.Error("two programs have one object: only the first would be parsed")
	}
}
