// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Slots are subprograms, so that a program's return code comes back to the
// dispatcher, and each tail call has a constant index: an index that varies is
// an indirect jump, which costs six times as much under retpolines.
#pragma once

#include <bpf/bpf_helpers.h>

#include "state.h"

const volatile struct chain state = {};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} slots SEC(".maps");

// What an empty slot returns; out of the compiler's sight, or it would take the
// return code of every slot for this one.
#define SLOT(n)                                                   \
	static __attribute__((noinline)) int slot##n(CTX *ctx)    \
	{                                                         \
		int code = EMPTY;                                 \
                                                                  \
		bpf_tail_call_static(ctx, &slots, n);             \
		asm volatile("" : "+r"(code));                    \
		return code;                                      \
	}

SLOT(0) SLOT(1) SLOT(2) SLOT(3) SLOT(4) SLOT(5) SLOT(6) SLOT(7)
SLOT(8) SLOT(9) SLOT(10) SLOT(11) SLOT(12) SLOT(13) SLOT(14) SLOT(15)

// RUN runs a slot and ends with its code unless that is one to go on after. A
// code beyond those that have a bit never is.
#define RUN(n)                                                             \
	if (state.count <= n)                                              \
		return code;                                               \
	code = slot##n(ctx);                                               \
	if ((__u32)(code + BIAS) > 31 || !(state.slots[n].proceed >> (code + BIAS) & 1)) \
		return code;

#define RUN_ALL                                                 \
	RUN(0) RUN(1) RUN(2) RUN(3) RUN(4) RUN(5) RUN(6) RUN(7) \
	RUN(8) RUN(9) RUN(10) RUN(11) RUN(12) RUN(13) RUN(14) RUN(15)
