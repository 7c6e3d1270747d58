package chain

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"reconciler/internal/apply"
	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// TestWayBackOfContents changes the contents of maps of every kind, forgets all
// but what an apply records on disk, the objects too, and goes back.
func TestWayBackOfContents(t *testing.T) {
	prefix := func(p, v string) resource.MapEntry { return entry(p, v) }
	for _, c := range []struct {
		name, file, function, in string
		before, after            []resource.MapEntry
		hurt                     func(*ebpf.Map) error
	}{
		{
			"hash", verdictObject, "plain", settingsMap,
			[]resource.MapEntry{entry("1", "10"), entry("2", "20")}, []resource.MapEntry{entry("1", "11"), entry("3", "30")},
			func(m *ebpf.Map) error { return m.Put(uint32(9), uint64(90)) },
		},
		{
			"per-CPU hash", "testdata/kinds.o", "ask", "talkers",
			[]resource.MapEntry{entry("1", "10"), entry("2", "20")}, []resource.MapEntry{entry("1", "11"), entry("3", "30")},
			func(m *ebpf.Map) error {
				row := make([]uint64, ebpf.MustPossibleCPU())
				for i := range row {
					row[i] = uint64(i)
				}
				return m.Put(uint32(1), row)
			},
		},
		{
			"per-CPU array", verdictObject, "plain", "seen",
			[]resource.MapEntry{entry("0", "10")}, []resource.MapEntry{entry("0", "11")},
			func(m *ebpf.Map) error { return putOne(m, make([]byte, 4), []byte{7, 0, 0, 0, 0, 0, 0, 0}) },
		},
		{
			"trie", "testdata/kinds.o", "ask", "prefixes",
			[]resource.MapEntry{prefix("10.0.0.0/8", "1")}, []resource.MapEntry{prefix("10.0.0.0/8", "2"), prefix("10.1.0.0/16", "2")},
			func(m *ebpf.Map) error { return m.Put([]byte{24, 0, 0, 0, 192, 0, 2, 0}, uint32(1)) },
		},
	} {
		for _, mode := range []resource.MapMode{resource.Merge, resource.Exact} {
			t.Run(c.name+" "+string(mode), func(t *testing.T) {
				b := newBench(t)
				one := b.object("one", "p0", c.file, c.function, resource.XDPIngress)
				chain := b.chain(resource.XDPIngress, one)
				contents := resource.Map{Program: "one", Link: "p0", Name: c.in, Mode: mode, Entries: c.before}
				b.make(set(one, contents, chain))
				m := b.mapOf(one, c.in)
				if err := c.hurt(m); err != nil {
					t.Fatal(err)
				}
				before := rawDump(t, m)
				contents.Entries = c.after
				b.undone(set(one, contents, chain), func() {
					if rawDump(t, m) == before {
						t.Error("nothing was changed")
					}
				})
				if now := rawDump(t, m); now != before {
					t.Errorf("the map holds\n%s, want\n%s", now, before)
				}
			})
		}
	}
}

// undone applies what is wanted, and goes back by the record alone.
func (b *bench) undone(want *resource.Set, changed func()) {
	b.t.Helper()
	plan, have := b.planned(want)
	record, err := json.Marshal(apply.NewUndo(plan, have))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := apply.Run(context.Background(), plan, []driver.Driver{b.d}).Err(); err != nil {
		b.t.Fatal(err)
	}
	changed()
	var undo apply.Undo
	if err := json.Unmarshal(record, &undo); err != nil {
		b.t.Fatal(err)
	}
	cfg := b.cfg
	cfg.Objects = nil
	d := Open(cfg)
	for _, done := range []bool{false, true} {
		have, err := d.Observe(context.Background(), undo.Query())
		if err != nil {
			b.t.Fatal(err)
		}
		back, err := undo.Plan(have)
		if err != nil || back.Empty() != done {
			b.t.Fatalf("the way back, walked: %t, is: %v\n%s", done, err, text(back))
		}
		if err := apply.Run(context.Background(), back, []driver.Driver{d}).Err(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// mapOf is a pinned map of a program, for the time of the test.
func (b *bench) mapOf(p resource.Program, name string) *ebpf.Map {
	b.t.Helper()
	m, err := ebpf.LoadPinnedMap(mapPin(b.d.pins.program(p.Name, p.Link, b.digest(p)), name), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { m.Close() })
	return m
}

// rawDump is all that a map holds, on every CPU.
func rawDump(t *testing.T, m *ebpf.Map) string {
	t.Helper()
	var lines []string
	var key []byte
	it := m.Iterate()
	line := func(values ...[]byte) {
		words := []string{hex.EncodeToString(key)}
		for _, v := range values {
			words = append(words, hex.EncodeToString(v))
		}
		lines = append(lines, strings.Join(words, " "))
	}
	if isPerCPU(m.Type()) {
		for values := [][]byte(nil); it.Next(&key, &values); {
			line(values...)
		}
	} else {
		for v := []byte(nil); it.Next(&key, &v); {
			line(v)
		}
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestWayBackOfTooMuch is that the record is bounded, and what is left out told
// before the change, and by who goes back.
func TestWayBackOfTooMuch(t *testing.T) {
	r := ways()[0].start(t)
	big := resource.MapSettings{Name: settingsMap, MaxEntries: 160_000}
	r.one.Maps = []resource.MapSettings{big}
	r.make(r.wanted())
	r.settings.Entries = nil
	for i := range 150_000 {
		r.settings.Entries = append(r.settings.Entries, entry(fmt.Sprint(i), "1"))
	}
	plan, have := r.planned(r.wanted())
	if shown := text(plan); !strings.Contains(shown, "150000 entries are too many to be put back") {
		t.Errorf("the plan does not tell:\n%.500s", shown)
	}
	record, err := json.Marshal(apply.NewUndo(plan, have))
	if err != nil || len(record) > 10_000 {
		t.Errorf("the record has %d bytes, %v", len(record), err)
	}
	var undo apply.Undo
	if err := json.Unmarshal(record, &undo); err != nil {
		t.Fatal(err)
	}
	if have, err = r.d.Observe(context.Background(), undo.Query()); err != nil {
		t.Fatal(err)
	}
	back, err := undo.Plan(have)
	if err != nil {
		t.Fatal(err)
	}
	err = apply.Run(context.Background(), back, []driver.Driver{r.d}).Err()
	if err == nil || !strings.Contains(err.Error(), "too many to be recorded") {
		t.Errorf("the way back: %v", err)
	}
}
