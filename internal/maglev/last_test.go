package maglev

import "testing"

func TestModulus(t *testing.T) {
	for _, size := range []uint64{2, 3, 7, 251, 4099, 65521, MaxSize} {
		m := newModulus(uint32(size))
		for _, x := range []uint64{0, 1, size - 1, size, size + 1, size*size - 1, size * size, 1<<32 - 1, 1 << 32, 1<<35 - 1, (1<<35 - 1) / size * size, (1<<35-1)/size*size - 1} {
			if got := m.of(x); got != x%size {
				t.Errorf("%d modulo %d: %d, want %d", x, size, got, x%size)
			}
		}
		for x := uint64(1); x < size; x += 1 + size/300 {
			if y := m.inverse(x); x*y%size != 1%size {
				t.Errorf("%d modulo %d: %d is not its inverse", x, size, y)
			}
		}
	}
}
