// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The table of VIPs: hash and displace, without collisions. A key's hash names a
// bucket, whose number displaces the key to the element where it stands if it
// is in the table at all. An element is written in the half that is not live.
#pragma once

#include "maps.h"

#define K1 0x9e3779b97f4a7c15ULL
#define K2 0xc2b2ae3d27d4eb4fULL
#define K3 0x165667b19e3779f9ULL
#define K4 0xd6e8feb86659fd93ULL

static __always_inline __u64 fold4(const __u32 *a) { return a[0]; }

static __always_inline __u64 fold6(const __u32 *a)
{
	__u64 high = (__u64)a[1] << 32 | a[0], low = (__u64)a[3] << 32 | a[2];

	return (high ^ K2) * K1 + low;
}

static __always_inline bool same6(const __u32 *a, const __u32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static __always_inline __u32 bucket(__u64 hash, __u32 mask) { return hash >> 32 & mask; }

static __always_inline __u32 displaced(__u64 hash, __u32 displace, __u32 mask)
{
	hash = (hash ^ hash >> 32) * K3;
	return ((__u32)(hash >> 32) + displace * ((__u32)hash | 1)) & mask;
}

// in_half is where an element of the live half stands.
static __always_inline __u32 in_half(__u64 live, __u32 at, __u32 mask)
{
	return live & 1 ? at + mask + 1 : at;
}

// find_address is a VIP's element, and where it stands; most packets of others
// end at an empty bucket.
static __always_inline struct address *find_address(const struct control *c, __u64 live, const __u32 *addr, __u8 family, __u32 *at)
{
	__u64 hash = (family == 4 ? fold4(addr) : fold6(addr)) * (live | 1);
	__u32 mask = c->address_mask;
	__u32 i = in_half(live, bucket(hash, mask), mask);
	struct address *a = bpf_map_lookup_elem(&lb_addresses, &i);

	if (!a || !a->displace)
		return NULL;
	i = in_half(live, displaced(hash, a->displace, mask), mask);
	*at = i;
	a = bpf_map_lookup_elem(&lb_addresses, &i);
	if (!a || a->family != family)
		return NULL;
	if (family == 4)
		return a->addr[0] == addr[0] ? a : NULL;
	return same6(a->addr, addr) ? a : NULL;
}

static __always_inline __u32 find_claim(const struct control *c, __u64 live, __u64 key)
{
	__u64 hash = key * (live | 1);
	__u32 mask = c->claim_mask;
	__u32 i = in_half(live, bucket(hash, mask), mask);
	struct claim *found = bpf_map_lookup_elem(&lb_claims, &i);

	if (!found || !found->displace)
		return NO_SERVICE;
	i = in_half(live, displaced(hash, found->displace, mask), mask);
	found = bpf_map_lookup_elem(&lb_claims, &i);
	if (!found || found->key != key)
		return NO_SERVICE;
	return found->service;
}
