// Package strict decodes YAML into structs and reports every fault with its
// position: what is no YAML at all, unknown and duplicate keys, wrong types,
// values out of range.
//
// A Reader turns files into Values within bounds: positions kept, aliases
// resolved, duplicates told. A Decoder turns a Value, merged or not, into a
// struct; the tags of the struct also generate the JSON Schema. A Report
// collects faults and finds their paths.
//
// It owns syntax and shape. It knows no section of the configuration by name
// and imports nothing of ours.
package strict

import (
	"fmt"
	"strings"
)

// Severity of a Fault.
type Severity uint8

// Severities. A warning does not make a document invalid.
const (
	Error Severity = iota
	Warning
)

func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	panic("strict: unknown severity")
}

// Fault is one thing that is wrong in a document.
type Fault struct {
	Severity Severity
	File     string // relative to the tree
	Line     int    // from 1
	Column   int    // from 1
	Path     string // interfaces.br0.mtu
	Code     string // unknown-key
	Message  string
	Hint     string // what to do about it; may be empty
	// Parse is set where the document is not YAML at all, which has an exit
	// status of its own.
	Parse bool
}

// Error prints file:line:column: path: message [code].
func (f *Fault) Error() string {
	s := fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Path != "" {
		s += f.Path + ": "
	}
	s += f.Message + " [" + f.Code + "]"
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

// maxPrinted bounds the text of many faults; a caller that wants all of them
// has the list.
const maxPrinted = 10

// Summary prints faults one a line, and counts those past the tenth.
func Summary(faults []error) string {
	var b strings.Builder
	for i, f := range faults {
		if i == maxPrinted {
			fmt.Fprintf(&b, "\nand %d more", len(faults)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(f.Error())
	}
	return b.String()
}
