package value

import "reconciler/internal/resource"

// widths are the names that say how wide a number is and in which order its
// bytes are, as in {be16: 80}.
var widths = map[string]integer{
	"u8": {bytes: 1}, "u16": {bytes: 2}, "u32": {bytes: 4}, "u64": {bytes: 8},
	"s8": {bytes: 1, signed: true}, "s16": {bytes: 2, signed: true}, "s32": {bytes: 4, signed: true}, "s64": {bytes: 8, signed: true},
	"be16": {bytes: 2, order: big}, "be32": {bytes: 4, order: big}, "be64": {bytes: 8, order: big},
	"le16": {bytes: 2, order: little}, "le32": {bytes: 4, order: little}, "le64": {bytes: 8, order: little},
}

// width splits a value such as {be16: 80} into its width and its number. A
// width within a width is none.
func width(v resource.Value) (w integer, x resource.Value, ok bool) {
	if len(v.Fields) != 1 || v.Fields[0].Value.Fields != nil {
		return w, x, false
	}
	w, ok = widths[v.Fields[0].Name]
	return w, v.Fields[0].Value, ok
}
