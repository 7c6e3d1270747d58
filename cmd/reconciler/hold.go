package main

import "fmt"

// heldFile names the tree of which a one-shot apply held deletions.
const heldFile = "apply-held"

// heldBefore reports whether deletions of this tree are held already.
func (l *local) heldBefore() bool {
	held, err := l.dir.ReadFile(heldFile)
	return err == nil && string(held) == l.revision
}

// rememberHold keeps that deletions of this tree are held, before anything it
// makes could change the proportions that they were judged by.
func (l *local) rememberHold(guarded int) error {
	var err error
	switch {
	case guarded > 0:
		err = l.dir.WriteFile(heldFile, []byte(l.revision))
	case l.heldBefore():
		err = l.dir.Remove(heldFile)
	}
	if err != nil {
		return fmt.Errorf("remember what is held: %w", err)
	}
	return nil
}
