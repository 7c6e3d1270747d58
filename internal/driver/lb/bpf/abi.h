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

// Sizes. What is a power of two is one for the sake of its mask.
#define RING_MAX 65537
#define ADDRESS_BITS 14
#define ADDRESSES (1 << ADDRESS_BITS) // elements of the table of VIPs
#define CLAIM_BITS 16
#define CLAIMS (1 << CLAIM_BITS)
#define SERVICES 16384
#define BACKENDS 16384

#define MOVED 0x8000 /* of a slot: its owner changed lately */
#define NO_BACKEND 0x7fff
#define NO_RING 0xffff
#define NO_SERVICE 0xffff
#define AMBIGUOUS 0xfffe /* fragments: of which service, only their ports would say */

// address is an element of the table of VIPs.
struct address {
	__u32 addr[4];	   // IPv4: the first alone
	__u8 family;	   // 4, 6; 0: no address here
	__u8 specific;	   // some claim names a port, or a protocol other than TCP and UDP
	__u16 own;	   // bits, for who reads the claims back: any, TCP, UDP is claimed as such
	__u16 any;	   // the service of all that nobody else claims
	__u16 whole[2];	   // of TCP, of UDP, on all ports that nobody else claims
	__u16 fragment[2]; // of TCP's and UDP's fragments, which have no ports
	__u16 unused;
};

// A claim of a port, or of a protocol, is a word: what it is of, and the service.
#define CLAIM_OF(at, protocol, port) ((__u64)(at) << 24 | (__u64)(protocol) << 16 | (port))
#define CLAIM_SHIFT 16

// table says what is claimed. A displacement of 0 is an empty bucket.
struct table {
	__u16 address_displace[ADDRESSES];
	__u16 claim_displace[CLAIMS];
	__u64 claims[CLAIMS];
	struct address addresses[ADDRESSES];
};

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
	__u64 until;  // ns, CLOCK_BOOTTIME: for who closes the window; no program looks at it
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

// backend is a frame's head as it leaves.
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
} __attribute__((aligned(64)));

// plane is all that the program asks, but rings. It is one value, so that it is
// found once for a packet, and shared with who writes it. A value may have 4 MiB.
struct plane {
	__u32 magic, abi;
	__u64 live; // the table in force: its seed, and in bit 0 its index
	__u64 udp_idle; // ns
	__be32 source4, hosts4; // of tunnels: the network, and the mask of what a flow draws
	__be32 source6[4], hosts6[4];
	__u32 ring_size;
	__u32 cap_addresses, cap_claims, cap_services, cap_backends, cap_rings, cap_flows; // for who opens it
	struct backend backends[BACKENDS];
	struct service services[SERVICES];
	struct table tables[2];
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
	__u64 failed; // packets: no way there is known
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
