package diff_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/driver/fake"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// FuzzCompute plans between any two states that JSON can hold. A plan must
// come out or an error, never a panic, and it must run front to back: nothing
// waits for what comes later.
func FuzzCompute(f *testing.F) {
	for seed := range uint64(8) {
		g := fake.NewRandom(rand.New(rand.NewPCG(seed, 1))).WithVLANs()
		f.Add(asJSON(f, g.Want()), asJSON(f, g.Want()))
	}
	f.Fuzz(func(t *testing.T, wanted, there []byte) {
		const most = 64 << 10
		var want, have resource.Set
		if len(wanted)+len(there) > most || json.Unmarshal(wanted, &want) != nil || json.Unmarshal(there, &have) != nil {
			return
		}
		state := observed.State{Objects: &have}
		bound, _ := diff.Bind(&want, state)
		plan, err := diff.Compute(bound, state)
		if err != nil {
			return
		}
		for i, op := range plan.Ops {
			for _, first := range op.After {
				if first >= i {
					t.Fatalf("operation %d comes after %d", i, first)
				}
			}
		}
		held := diff.DefaultGuard().Hold(plan, state)
		if len(held.Ops) > len(plan.Ops) {
			t.Fatal("the guard made operations")
		}
		plan.Outcome(state)
	})
}

func asJSON(f *testing.F, s *resource.Set) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	return b
}
