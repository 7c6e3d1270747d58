package main

import (
	"context"
	"fmt"
	"os"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/netlink"
	"reconciler/internal/engine"
	"reconciler/internal/resource"
)

// ours is the reconciler's own line, on the namespace of the calling thread.
type ours struct {
	driver  *netlink.Driver
	planner engine.Planner
	pins    string // of its chains; empty where it has none
}

func openOurs() (*ours, error) {
	d, err := netlink.Open(netlink.Config{})
	if err != nil {
		return nil, err
	}
	o := &ours{driver: d}
	o.planner = engine.Planner{Drivers: []driver.Driver{d}, AllowPrune: true}
	return o, nil
}

func (o *ours) close() {
	_ = o.driver.Close()
	if o.pins != "" {
		_ = os.RemoveAll(o.pins) // unlink works on pins as on files
	}
}

func (o *ours) plan(ctx context.Context, want *resource.Set) (diff.Plan, error) {
	planned, err := o.planner.Plan(ctx, want, false)
	if err == nil && len(planned.Plan.Blind) > 0 {
		err = fmt.Errorf("plan: blind: %v", planned.Plan.Blind[0])
	}
	return planned.Plan, err
}

// settled wants the plan to be empty: a bench of doing nothing must do nothing.
func (o *ours) settled(ctx context.Context, want *resource.Set) error {
	p, err := o.plan(ctx, want)
	if err != nil {
		return err
	}
	if !p.InSync() {
		return fmt.Errorf("plan: %d operations and %d notes where none should be: %s", len(p.Ops), len(p.Notes), first(p))
	}
	return nil
}

func first(p diff.Plan) string {
	if len(p.Ops) > 0 {
		return fmt.Sprintf("%s %s %v", p.Ops[0].Verb, p.Ops[0].Key, p.Ops[0].Fields)
	}
	return fmt.Sprintf("%s %s", p.Notes[0].Code, p.Notes[0].Text)
}

func (o *ours) apply(ctx context.Context, p diff.Plan) error {
	return apply.Run(ctx, p, o.planner.Drivers).Err()
}
