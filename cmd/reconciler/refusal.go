package main

import (
	"reconciler/internal/driver/chain"
)

// sayRefusals prints what the verifier says of each program that it refused,
// wherever in an error that is.
func (c *cli) sayRefusals(err error) {
	switch e := err.(type) {
	case *chain.RefusedError:
		c.say("%+v\n", e)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			c.sayRefusals(err)
		}
	case interface{ WrappedErrors() []error }:
		for _, err := range e.WrappedErrors() {
			c.sayRefusals(err)
		}
	case interface{ Unwrap() error }:
		c.sayRefusals(e.Unwrap())
	}
}
