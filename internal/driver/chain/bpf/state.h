// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What a dispatcher says of itself in .rodata: the kernel alone tells what runs
// on a hook and whose it is. A change of the layout is a change of ABI.
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#define MAGIC 0x52434831 /* "RCH1" */
#define ABI 1
#define SLOTS 16
#define PREFIXES 16

struct slot {
	__u32 id;	 // the kernel's, of the program that belongs here
	__u32 proceed;	 // bit n: return code n (XDP), n-1 (TC) goes on to the next
	__u8 digest[32]; // of all that decided on what was loaded
	char program[64];
	char link[16]; // of an instance for one interface
	char version[32];
	char function[64];
};

struct prefix4 {
	__be32 addr, mask;
};

struct prefix6 {
	__be32 addr[4], mask[4];
};

// Frames that go to the kernel before any slot.
enum frames {
	FRAME_ARP = 1,
	FRAME_ND = 2,
	FRAME_LACP = 4,
	FRAME_LLDP = 8,
	FRAME_BFD = 16,
};

struct chain {
	__u32 magic;
	__u32 abi;
	__u32 generation;
	__u32 count;
	__u64 netns; // its cookie (SO_NETNS_COOKIE)
	__u32 ifindex;
	__u32 hook; // 1 xdp-ingress, 2 tc-ingress, 3 tc-egress
	char link[16];
	char label[64];
	__u32 frames;
	__u32 count4, count6;
	__u32 flags; // 1: packets in several buffers, 2: mode auto
	struct prefix4 from4[PREFIXES];
	struct prefix6 from6[PREFIXES];
	struct slot slots[SLOTS];
};
