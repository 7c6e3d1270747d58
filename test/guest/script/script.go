// Package script is what the builder of a guest tells the guest's init.
//
// It owns the words between the two and nothing else.
package script

// Path is where the script stands in the guest, as JSON.
const Path = "/script.json"

// Done begins the last line of a guest that went through its whole script.
// Without it the guest panicked, hung or was killed.
const Done = "=== GUEST DONE"

// What a guest whose power is cut says of each version that is in use for good,
// and what the next one is told by its kernel's command line: the last one of
// which that was heard, and that no cut follows.
const (
	Acknowledged       = "=== IN USE"
	AcknowledgedOption = "swap.told="
	OverOption         = "swap.over"
)

// Script is all that a guest does between power on and power off.
type Script struct {
	Modules []string // to load, in this order
	// Manager becomes the first process in place of init, which it starts
	// again for the tests; "" for none.
	Manager string
	Tests   []Test
}

// Test is a test binary to run.
type Test struct {
	Dir    string // to run it in
	Binary string
	Run    string // pattern of the tests
}
