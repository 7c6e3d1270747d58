package value

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// codecs are one of each kind.
func codecs(t testing.TB) []Codec {
	t.Helper()
	all := []Codec{
		Plain(0), Plain(1), Plain(2), Plain(3), Plain(4), Plain(6), Plain(8), Plain(16),
		LPM(Plain(3)), LPM(Plain(8)), LPM(Plain(12)), LPM(Plain(20)),
	}
	for _, of := range []btf.Type{
		u8, u16, u32, u64, s8, s16, s32, s64, u128, truth, char, be16, be32, be64, le32, action, verdict, wide,
		inet, inet6, pair, locked, either, flat, bits, arrayOf(char, 5), arrayOf(u8, 4), arrayOf(u8, 6), arrayOf(pair, 2),
		arrayOf(locked, 2), arrayOf(u32, 4),
	} {
		all = append(all, mustOf(t, of))
	}
	for _, of := range []btf.Type{key4, key6, key46, keyLong} {
		all = append(all, LPM(mustOf(t, of)))
	}
	for name, m := range zoo(t).Maps {
		if name[0] != '.' { // not a section of variables
			all = append(all, keyOf(t, m), valueOf(t, m))
		}
	}
	return all
}

// FuzzEncode gives arbitrary values and bytes to a codec of each kind: what it
// takes it tells as something that means the same bytes.
func FuzzEncode(f *testing.F) {
	all := codecs(f)
	f.Add(everything, []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, text string, there []byte) {
		want, ok := read(text)
		if !ok {
			return
		}
		for _, c := range all {
			if b, err := c.Encode(want); err == nil {
				if got := Render(c, b, want); !got.Equal(want) {
					t.Errorf("%x of %s is rendered as %s", b, want, got)
				}
				checkTold(t, c, b)
			} else if err.Error() == "" {
				t.Error("an error says nothing")
			}
			b := make([]byte, c.Size())
			copy(b, there)
			checkTold(t, c, b)
			got, err := c.Encode(Render(c, b, want))
			if tooLong(c, b) {
				continue
			}
			if err != nil || !c.Equal(got, b) {
				t.Errorf("%x beside %s is rendered as %s, which means %x (%v)", b, want, Render(c, b, want), got, err)
			}
		}
	})
}

// tooLong tells a key that no trie holds.
func tooLong(c Codec, b []byte) bool {
	_, trie := c.node.(prefix)
	return trie && len(b) >= 4 && uint64(binary.NativeEndian.Uint32(b)) > uint64(8*(len(b)-4))
}

func checkTold(t *testing.T, c Codec, b []byte) {
	told, err := c.Decode(b)
	if tooLong(c, b) {
		if err == nil {
			t.Errorf("%x is told as %s", b, told)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Encode(told)
	if err != nil || !c.Equal(got, b) {
		t.Errorf("%x is told as %s, which means %x (%v)", b, told, got, err)
	}
	if again, err := c.Decode(got); err != nil || !again.Equal(told) {
		t.Errorf("%s is told again as %s (%v)", told, again, err)
	}
}

// FuzzOf gives the BTF of strangers: a type is refused, or its codec is one.
func FuzzOf(f *testing.F) {
	f.Fuzz(func(t *testing.T, blob []byte) {
		spec, err := btf.LoadSpecFromReader(bytes.NewReader(blob))
		if err != nil {
			return
		}
		for of, err := range spec.All() {
			if err != nil {
				return
			}
			size, err := btf.Sizeof(of)
			if err != nil || size > 1<<12 {
				size = 16
			}
			c, err := Of(of, size)
			if err != nil {
				continue
			}
			checkTold(t, c, make([]byte, size))
			checkTold(t, c, bytes.Repeat([]byte{0x5a}, size))
			if !c.hidden { // no trie has a lock for a length
				checkTold(t, LPM(c), bytes.Repeat([]byte{1}, size))
			}
		}
	})
}
