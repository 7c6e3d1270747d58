package desired

import (
	"path"
	"regexp"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// mapYAML is a map of a program as written.
type mapYAML struct {
	strict.Here
	Mode       strict.V[string]  `yaml:"mode" enum:"exact,merge,initial" doc:"exact: nothing else is in it; merge: the rest is the program's; initial: put in when the map is made. Default merge."`
	Entries    []entryYAML       `yaml:"entries" doc:"Keys and values; identified by the key as it is written."`
	KeySize    strict.V[uint32]  `yaml:"key-size" min:"1" max:"512" doc:"Bytes of a key, where the object has no BTF."`
	ValueSize  strict.V[uint32]  `yaml:"value-size" min:"1" max:"4194304" doc:"Bytes of a value, where the object has no BTF."`
	MaxEntries strict.V[uint32]  `yaml:"max-entries" min:"1" doc:"In place of what the object says."`
	Owner      strict.V[string]  `yaml:"owner" enum:"external" doc:"Another tool writes it: it is neither compared nor replaced."`
	Pin        strict.V[pinPath] `yaml:"pin" doc:"Where others find it: a path below our pins, or an absolute one below /sys/fs/bpf."`
}

// entryYAML is an entry of a map as written.
type entryYAML struct {
	strict.Here
	Key    strict.Raw     `yaml:"key" required:"true" doc:"A number, an address, a list, or a mapping of fields."`
	Value  strict.Raw     `yaml:"value" required:"true" doc:"A number, an address, a list, or a mapping of fields."`
	Absent strict.V[bool] `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

const pinPattern = `^(/sys/fs/bpf/)?[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$`

var pinExp = regexp.MustCompile(pinPattern)

// pinPath is a path in bpffs, which has no dots in its names.
type pinPath string

const bpffs = "/sys/fs/bpf/"

func (p *pinPath) ReadScalar(v *strict.Value) *strict.Problem {
	bad := strict.Problemf("bad-pin", "%q is no path of a pin", v.Text)
	switch {
	case v.Kind != strict.String && v.Kind != strict.Int:
		return bad.Hinted("a path below our pins, or one below %s", strings.TrimSuffix(bpffs, "/"))
	case strings.HasPrefix(v.Text, "/") && !strings.HasPrefix(path.Clean(v.Text), bpffs):
		return bad.Hinted("an absolute one lies below %s", strings.TrimSuffix(bpffs, "/"))
	case !pinExp.MatchString(v.Text) || len(v.Text) > maxPin:
		return bad.Hinted("names of letters, digits, '_' and '-', with a '/' between, %d bytes at most", maxPin)
	}
	*p = pinPath(v.Text)
	return nil
}

// maxPin leaves room for the directory it may lie in: a path has 4096 bytes at
// most, a name 255.
const maxPin = 200

func (*pinPath) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"string", "integer"}, "pattern": pinPattern, "maxLength": maxPin}
}

// settings is what a map says of itself, its contents aside; false if it says
// nothing.
func (y *mapYAML) settings(name string) (resource.MapSettings, bool) {
	s := resource.MapSettings{
		Name: name, MaxEntries: y.MaxEntries.Val, Pin: string(y.Pin.Val), External: y.Owner.Val == "external",
	}
	return s, s != resource.MapSettings{Name: name}
}

// contents is what is declared of a map's contents; false if nothing is.
func (b *builder) contents(program, name string, y *mapYAML) (resource.Map, bool) {
	m := resource.Map{
		Program: program, Name: name, Mode: resource.MapMode(y.Mode.Or(string(resource.Merge))),
		KeySize: y.KeySize.Val, ValueSize: y.ValueSize.Val, MaxEntries: y.MaxEntries.Val,
	}
	for i := range y.Entries {
		key, fine := b.raw(y.Entries[i].Key)
		value, ok := b.raw(y.Entries[i].Value)
		if fine && ok {
			m.Entries = append(m.Entries, resource.MapEntry{Key: key, Value: value})
		}
	}
	return m, len(m.Entries) > 0 || m.Mode == resource.Exact && y.entries() != nil
}

// entries is where the contents are declared; nil if they are not.
func (y *mapYAML) entries() *strict.Value {
	if v := y.At().Get("entries"); v != nil && v.Kind != strict.Null {
		return v
	}
	return nil
}

func (b *builder) checkMap(y *mapYAML) {
	entries := y.entries()
	switch {
	case y.Owner.Ok() && entries != nil:
		b.fault(entries, "external", "another tool owns this map, so its entries are not declared").
			Hinted("leave out entries, or owner: external")
	case y.Owner.Ok() && y.Mode.Given():
		b.fault(y.Mode.At(), "external", "another tool owns this map, so no mode judges its contents")
	case y.Mode.Val == string(resource.Exact) && entries == nil:
		b.fault(y.Mode.At(), "missing-key", "mode exact needs entries").Hinted("entries: [] empties the map")
	}
	if y.Owner.Ok() && !y.Pin.Given() {
		b.fault(y.Owner.At(), "missing-key", "a map that another tool writes needs a pin by which it is found").
			Hinted("add pin: NAME")
	}
	if n := len(y.Entries); y.MaxEntries.Ok() && uint64(n) > uint64(y.MaxEntries.Val) {
		b.fault(y.MaxEntries.At(), "too-small", "the map has room for %d entries, and %d are declared", y.MaxEntries.Val, n)
	}
}

// pins reports one that would have to be both a map and a directory.
func (b *builder) pins() {
	at := make(map[string]*strict.Value)
	for _, e := range b.doc.Programs {
		for _, m := range e.Val.Maps {
			if pin, ok := m.Val.Pin.Get(); ok && at[string(pin)] == nil {
				at[string(pin)] = m.Val.Pin.At()
			}
		}
	}
	for _, pin := range sortedKeys(at) {
		for dir := path.Dir(pin); len(dir) > 1; dir = path.Dir(dir) {
			if other := at[dir]; other != nil {
				b.fault(at[pin], "bad-pin", "%s is a map at %s, and cannot be a directory as well", dir, other.Pos)
			}
		}
	}
}
