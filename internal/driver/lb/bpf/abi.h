// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What the maps hold, as this program and who fills them agree on it. A change
// of any layout, or of the hash, is a change of ABI.
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAGIC 0x31424c52 /* "RLB1" */
#define ABI 1

#define RING_MAX 65537
#define MOVED 0x8000 /* of a slot: its owner changed lately */
#define NO_BACKEND 0x7fff
#define NO_RING 0xffff
#define NO_SERVICE 0xffff
#define AMBIGUOUS 0xfffe /* fragments: of which service, only their ports would say */

// control is one for all. Numbers of elements are powers of two, less one.
struct control {
	__u32 magic, abi;
	__u64 live; // the VIP table in force: its seed, and in bit 0 its half
	__u32 address_mask, claim_mask;
	__u32 ring_size, services, backends, rings, flows, addresses, claims, unused;
	__u64 udp_idle; // ns
	__be32 source4, hosts4; // of tunnels: the network, and the mask of what a flow draws
	__be32 source6[4], hosts6[4];
};

// address is an element of the table of VIPs, and a bucket of it: what a bucket
// says is of other addresses than the one that stands here.
struct address {
	__u32 addr[4];	   // IPv4: the first alone
	__u16 displace;	   // of the bucket; 0: no VIP falls into it
	__u8 family;	   // 4, 6; 0: no address here
	__u8 specific;	   // some claim names a port, or a protocol other than TCP and UDP
	__u16 any;	   // the service of all that nobody else claims
	__u16 whole[2];	   // of TCP, of UDP, on all ports that nobody else claims
	__u16 fragment[2]; // of TCP's and UDP's fragments, which have no ports
	__u16 own;	   // bits, for who reads the claims back: any, TCP, UDP is claimed as such
};

// claim is an element, and a bucket, of the table of what is claimed of an
// address: where the address stands, protocol, port.
struct claim {
	__u64 key;
	__u16 displace;
	__u16 service;
	__u32 used;
};

#define CLAIM_KEY(at, protocol, port) ((__u64)(at) << 24 | (__u64)(protocol) << 16 | (port))

enum service_flags {
	SERVES = 1, // has a ring
	STICKY = 2, // by source address alone
	REJECTS = 4, // what has no backend
	PASSES = 8,
};

// service changes by its first word alone, which is written last.
struct service {
	union {
		__u64 word;
		struct {
			__u16 ring, previous, flags, generation;
		};
	};
	__u64 opened; // ns, CLOCK_MONOTONIC: when slots moved
	__u64 until;
	__u64 unused;
};

struct ring {
	__u16 slots[RING_MAX + 3];
};

enum backend_flags {
	VALID = 1,
	TAGGED = 2,
	PLAIN = 4, // no tunnel: L2DSR
	OUTER6 = 8,
};

// backend is a frame's head as it leaves: a cache line.
struct backend {
	__u8 ether[16]; // destination, source, 802.1Q, tag
	__u32 ifindex;
	__u16 mtu; // of the way out
	__u8 flags;
	__u8 unused;
	__u32 sum; // of what all outer headers have in common, IPv4
	__u32 reserved;
	__be32 addr[4];
	__be32 source[4]; // of tunnels, where no prefix is set
};

// flow is who speaks with whom; ports are 0 where there are none.
struct flow {
	__u32 src[4], dst[4]; // IPv4: the first alone
	__u32 ports;	      // as in a header: source, destination
	__u16 service;
	__u8 protocol;
	__u8 family;
};

struct flow_state {
	__u64 seen; // ns, CLOCK_MONOTONIC
	__u16 backend;
	__u16 unused[3];
};

struct service_stats {
	__u64 packets, bytes;
	__u64 flows;	  // TCP connections begun
	__u64 no_backend; // packets
	__u64 too_big;
	__u64 table_hits, table_inserts;
	__u64 previous; // packets of a moved slot to its former owner, by the ring
};

struct backend_stats {
	__u64 packets, bytes;
	__u64 flows;
	__u64 failed; // packets: no way there is known, or no room for the outer header
};

// why a packet to a VIP ended otherwise than at a backend; counted.
enum reason {
	UNCLAIMED,  // passed: the address is a VIP, the port is nobody's
	MALFORMED,  // dropped
	TRUNCATED,  // dropped
	FRAGMENT,   // dropped: of a port, and ports differ in their service
	HEADERS,    // dropped: too many extension headers
	NO_OWNER,   // dropped, passed or rejected
	NO_WAY,	    // dropped: the backend's record is not valid
	NO_ROOM,    // dropped: no headroom
	TOO_BIG,    // answered, or dropped where the sender may not be told
	ECHO,	    // answered
	REJECTED,   // answered
	ICMP_ERROR, // sent on to the backend of the flow it is about
	REASONS,
};

// text is for people who look into the maps.
struct service_name {
	char name[64];
	char label[64];
};

struct backend_name {
	char name[64];
	char label[64];
	__be32 addr[4];
	__u8 family;
	__u8 encap; // 1 tunnel, 2 L2DSR
	__u16 unused;
	__u32 table;
};
