package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/hashicorp/go-multierror"

	"reconciler/internal/driver/chain"
)

func TestRefusalsAreToldInFull(t *testing.T) {
	refused := func(name string) error {
		ve := &ebpf.VerifierError{Cause: errors.New("denied"), Log: []string{"0: (b7) r0 = 0 of " + name, "R1 of " + name}}
		return &chain.RefusedError{Program: name, Functions: []string{"f"}, Line: "R1", Err: ve}
	}
	var all *multierror.Error
	all = multierror.Append(all, fmt.Errorf("prepare: %w", refused("one")), errors.New("other"))
	all = multierror.Append(all, errors.Join(refused("two")))
	var out bytes.Buffer
	c := &cli{stderr: &out}
	c.sayRefusals(exit(applyFailed, all))
	for _, want := range []string{"r0 = 0 of one", "R1 of one", "r0 = 0 of two", "R1 of two"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	c.sayRefusals(nil)
}
