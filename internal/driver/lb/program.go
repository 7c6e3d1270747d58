package lb

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"path"
	"slices"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// Object is the balancer's program, for who loads it.
func Object() *resource.Blob {
	object := plane.Object()
	sum := sha256.Sum256(object)
	return &resource.Blob{SHA256: hex.EncodeToString(sum[:]), Bytes: object}
}

// Maps are those of the program, in tables of some sizes: where they stand is
// told by the sizes, so that with others it is another program. What cannot be
// has none.
func Maps(c resource.Capacities) []resource.MapSettings {
	sizes, err := plane.Sizes(capacityOf(c))
	if err != nil {
		panic("lb: " + err.Error()) // the object is compiled in
	}
	var out []resource.MapSettings
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		out = append(out, resource.MapSettings{Name: name, MaxEntries: sizes[name], Pin: path.Join(dirName(c), name), External: true})
	}
	return out
}
