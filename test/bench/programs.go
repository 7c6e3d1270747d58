package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"

	"github.com/cilium/ebpf"

	"reconciler/internal/resource"
)

//go:embed testdata/pass.o
var passObject []byte

// chained is a chain of programs of a bench's own.
type chained struct {
	link     string
	hook     resource.Hook
	programs int
	entry    string // of pass.o, without its type
}

func (c chained) function() string {
	if c.hook.IsXDP() {
		return c.entry + "_xdp"
	}
	return c.entry + "_tc"
}

func (c chained) name(i int) string { return fmt.Sprintf("%s-%s-%d", c.link, c.hook, i) }

// object is that of one program: each has bytes of its own, as objects of
// different people have. What follows the end of an ELF file means nothing.
func (c chained) object(i int) []byte {
	return append(bytes.Clone(passObject), c.name(i)...)
}

// chainsWanted is the desired state of some chains on links that are there.
func chainsWanted(all ...chained) *resource.Set {
	set := resource.NewSet(32)
	add := func(r resource.Resource) { set.Put(resource.Object{Resource: r, Origin: "bench.yaml:1"}) }
	for _, c := range all {
		add(resource.Link{Name: c.link})
		on := resource.Chain{Link: c.link, Hook: c.hook, Label: "bench"}
		if c.hook.IsXDP() {
			on.Mode = resource.Native
		}
		for i := range c.programs {
			p := c.program(i)
			add(p)
			on.Slots = append(on.Slots, resource.Slot{Program: p.Name, Proceed: c.hook.DefaultProceed()})
		}
		add(on)
	}
	return set
}

func (c chained) program(i int) resource.Program {
	object := c.object(i)
	sum := sha256.Sum256(object)
	p := resource.Program{
		Name: c.name(i), Entry: c.function(), Hooks: []resource.Hook{c.hook}, Version: "v1",
		Source: resource.ObjectSource{File: c.name(i) + ".o", Tree: &resource.Blob{SHA256: hex.EncodeToString(sum[:]), Bytes: object}},
	}
	if c.entry == "numbered" {
		p.Constants = []resource.NamedValue{{Name: "number", Value: resource.Scalar(fmt.Sprint(i))}}
	}
	return p
}

// load gives one program to the kernel as a client would that knows nothing of
// chains: the object is parsed, its constant set, and what is not used dropped.
func (c chained) load(i int) (*ebpf.Collection, *ebpf.Program, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(c.object(i)))
	if err != nil {
		return nil, nil, err
	}
	if err := spec.Variables["number"].Set(uint32(i)); err != nil {
		return nil, nil, err
	}
	spec.Programs = map[string]*ebpf.ProgramSpec{c.function(): spec.Programs[c.function()]}
	delete(spec.Maps, "table")
	if c.entry != "numbered" {
		clear(spec.Maps)
		clear(spec.Variables)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, nil, fmt.Errorf("load program %d: %w", i, err)
	}
	return coll, coll.Programs[c.function()], nil
}
