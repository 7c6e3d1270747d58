package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// attach measures chains against programs that are attached to a hook one by
// one. Such a hook has no test run: the one of a program that sends a copy of
// the packet out of an interface goes through its egress hook. The interface
// has no carrier, so that the copy ends behind the hook. What is left with
// nothing on the hook is taken off.
func (b *bench) attach(ctx context.Context) error {
	for _, n := range chainSizes() {
		if err := b.onPairs(5, func(h *host) error { return b.attached(ctx, h, n) }); err != nil {
			return fmt.Errorf("attach %d programs: %w", n, err)
		}
	}
	return nil
}

// attached puts n programs on the egress of links, in four ways; the fifth
// link has none.
func (b *bench) attached(ctx context.Context, h *host, n int) error {
	load := chained{hook: resource.TCEgress, programs: n, entry: "pass"}
	for i, s := range []chainSetup{{}, {noTCX: true}} {
		o, err := b.openChains(s)
		if err != nil {
			return err
		}
		defer o.close()
		load.link = fmt.Sprintf("v%d", i)
		if err := o.make(ctx, chainsWanted(load)); err != nil {
			return err
		}
	}
	programs, err := load.oneByOne(h)
	defer func() {
		for _, p := range programs {
			p.Close()
		}
	}()
	if err != nil {
		return err
	}
	err = h.do(func(b *batch) {
		for i := range 5 {
			b.setDown(uint32(linkIndex(i)) + 1)
		}
	})
	if err != nil {
		return err
	}
	return b.compareAttached(programs)
}

// oneByOne attaches programs to TCX of one link and to clsact of another. They
// stay for as long as the links do.
func (c chained) oneByOne(h *host) (programs []*ebpf.Program, err error) {
	for i := range c.programs {
		_, p, err := c.load(i)
		if err != nil {
			return programs, err
		}
		programs = append(programs, p)
		err = link.RawAttachProgram(link.RawAttachProgramOptions{Target: linkIndex(2), Program: p, Attach: ebpf.AttachTCXEgress})
		if err != nil {
			return programs, fmt.Errorf("attach to TCX: %w", err)
		}
	}
	err = h.do(func(b *batch) {
		b.addClsact(uint32(linkIndex(3)))
		for i, p := range programs {
			b.addFilter(uint32(linkIndex(3)), uint16(i+1), p.FD())
		}
	})
	if err != nil {
		return programs, fmt.Errorf("attach to clsact: %w", err)
	}
	return programs, nil
}

func (b *bench) compareAttached(programs []*ebpf.Program) error {
	subjects := make([]subject, 0, 5)
	for i, name := range []string{"chain on TCX", "chain on clsact", "TCX", "clsact", "nothing"} {
		p, err := sender(linkIndex(i))
		if err != nil {
			return err
		}
		defer p.Close()
		subjects = append(subjects, subject{name, spin(p, b.copies())})
	}
	if err := allRan(programs, subjects[2:4]); err != nil {
		return err
	}
	times, err := compare(b.spins(), subjects...)
	if err != nil {
		return err
	}
	nothing := times[4]
	for i, way := range []string{"TCX", "clsact"} {
		b.row(b.sideBySide(fmt.Sprintf("tc-egress, %d on %s", len(programs), way), times[i], times[2+i], nothing))
	}
	return nil
}

// allRan wants every packet of every subject to have met every program.
func allRan(programs []*ebpf.Program, subjects []subject) error {
	on, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("count runs: %w", err)
	}
	defer on.Close()
	met := uint64(0)
	for _, s := range subjects {
		before := met
		if _, err := s.once(); err != nil {
			return err
		}
		for _, p := range programs {
			stats, err := p.Stats()
			if err != nil {
				return err
			}
			if met = max(met, stats.RunCount); stats.RunCount != met {
				return fmt.Errorf("%s: one program ran %d times, another %d", s.name, stats.RunCount, met)
			}
		}
		if met == before {
			return fmt.Errorf("%s: no program ran", s.name)
		}
	}
	return nil
}

// sideBySide makes a row of what two ways add to nothing.
func (b *bench) sideBySide(load string, ours, other, nothing []time.Duration) row {
	a, o := differences(ours, nothing), differences(other, nothing)
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / o[i]
	}
	per := func(d []float64) string { return fmt.Sprintf("%.1f ns", median(d)/float64(b.copies())) }
	return row{
		load: load, measure: "a packet: chain / one by one", ours: per(a), other: per(o),
		value: fmt.Sprintf("%.2f (%.2f–%.2f)", median(all), quantile(all, 0.25), quantile(all, 0.75)),
	}
}

// copies is how many packets one test run sends, which costs ten times as much
// as a run that sends none.
func (b *bench) copies() int { return b.size(20_000) }

// sender is a program that sends a copy of its packet out of an interface.
func sender(ifindex int) (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "sender", Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R2, int32(ifindex)),
			asm.Mov.Imm(asm.R3, 0),
			asm.FnCloneRedirect.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load sender: %w", err)
	}
	return p, nil
}

func linkIndex(i int) int { return firstIndex + 2*i }

const (
	clsactParent = 0xfffffff1 // TC_H_CLSACT
	egressParent = 0xfffffff3 // TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)
	bpfFD        = 6          // TCA_BPF_FD
	bpfFlags     = 8          // TCA_BPF_FLAGS
	directAction = 1          // TCA_BPF_FLAG_ACT_DIRECT
)

// tcm is a struct tcmsg.
func tcm(ifindex, handle, parent, info uint32) []byte {
	body := make([]byte, 4, 20)
	for _, v := range []uint32{ifindex, handle, parent, info} {
		body = binary.NativeEndian.AppendUint32(body, v)
	}
	return body
}

func (b *batch) addClsact(ifindex uint32) {
	b.message(unix.RTM_NEWQDISC, create, tcm(ifindex, 0xffff0000, clsactParent, 0)...)
	b.text(unix.TCA_KIND, "clsact")
}

// addFilter puts a program on egress; the lower the priority, the sooner it
// runs.
func (b *batch) addFilter(ifindex uint32, priority uint16, program int) {
	every := uint32(priority)<<16 | uint32(unix.ETH_P_ALL<<8)
	b.message(unix.RTM_NEWTFILTER, create, tcm(ifindex, 1, egressParent, every)...)
	b.text(unix.TCA_KIND, "bpf")
	b.nest(unix.TCA_OPTIONS, func() {
		b.attr32(bpfFD, uint32(program))
		b.attr32(bpfFlags, directAction)
	})
}

func (b *batch) setDown(index uint32) {
	body := ifinfo(index, 0)
	binary.NativeEndian.PutUint32(body[12:], unix.IFF_UP)
	b.message(unix.RTM_NEWLINK, request, body...)
}
