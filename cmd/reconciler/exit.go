package main

import "fmt"

// Exit statuses of all commands. People script against them; README.md
// says the same.
const (
	exitOK       = 0
	exitUsage    = 64
	exitInternal = 70
	exitLease    = 75
)

// Exit statuses of check.
const (
	checkParse   = 1 // not YAML, or unreadable
	checkFault   = 2
	checkWarning = 3 // with --fail-on=warning
)

// Exit statuses of diff.
const (
	diffChanges    = 1
	diffInvalid    = 2
	diffUnreadable = 3
)

// Exit statuses of apply.
const (
	applyFailed     = 1
	applyInvalid    = 2
	applyUnreadable = 3
	applyUnverified = 4
	applyHeld       = 5
	applyRolledBack = 6
	applyStale      = 7
)

// Exit statuses of explain and doctor, beside those of diff.
const (
	explainNone = 1
	doctorFault = 1
)

// Exit statuses of status, and of all commands that need a daemon.
const (
	statusOut = 1
	noDaemon  = 3
)

// exitError ends the program with a status. A nil err says nothing more.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit ends a command with a status; 0 without an error is success.
func exit(status int, err error) error {
	if status == exitOK && err == nil {
		return nil
	}
	return &exitError{status, err}
}
