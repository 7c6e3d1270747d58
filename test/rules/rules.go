// Package rules holds the rules about the code of this module as tests. A rule
// that no test holds is broken within a month.
//
// It owns the rules and their reasons. It never judges style that gofmt, vet
// or staticcheck judge already, and imports nothing of ours: it parses files.
package rules
