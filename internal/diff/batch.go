package diff

// Batch returns the operations from start that go to their driver together, by
// their index, and where the next batch starts: those of one driver that do not
// wait for each other. Operations that are not ready are left out.
func Batch(ops []Op, start int, ready func(int) bool) (index []int, next int) {
	for next = start; next < len(ops) && ops[next].Key.Driver == ops[start].Key.Driver; next++ {
		if waitsSince(&ops[next], start) && waitsFor(&ops[next], index) {
			break
		}
		if ready(next) {
			index = append(index, next)
		}
	}
	return index, next
}

// waitsSince reports that an operation waits for one from start on.
func waitsSince(op *Op, start int) bool {
	return len(op.After) > 0 && op.After[len(op.After)-1] >= start
}

// waitsFor reports that an operation waits for one that is in the batch.
func waitsFor(op *Op, batch []int) bool {
	for _, first := range op.After {
		for at := len(batch) - 1; at >= 0 && batch[at] >= first; at-- {
			if batch[at] == first {
				return true
			}
		}
	}
	return false
}

// batches is how many there are where all goes well.
func batches(ops []Op) int {
	n := 0
	for start := 0; start < len(ops); n++ {
		_, start = Batch(ops, start, func(int) bool { return true })
	}
	return n
}
