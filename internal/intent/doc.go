// Package intent holds the deciders: pure functions that bend what is wanted
// to the facts (failures, probes, pins, the clock), and say when their answer
// changes by itself. One file each.
//
// It owns decisions and no effects: it reads no clock, no disk and no kernel,
// starts nothing, and imports only resource, observed, diff and maglev.
package intent
