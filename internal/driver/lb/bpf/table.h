// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The table of VIPs: hash and displace, without collisions. The upper bits of a
// key's hash, on which all of the key has a say, name a bucket; its number
// displaces the key to the element where it stands if it is in the table at all.
// Of two tables one is live; the other may be written.
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

static __always_inline __u32 displaced(__u64 hash, __u32 displace)
{
	hash = (hash ^ hash >> 32) * K3;
	return (__u32)(hash >> 32) + displace * ((__u32)hash | 1);
}

// find_address is a VIP's element, and where that stands. Most packets of others
// end at an empty bucket.
static __always_inline const struct address *find_address(const struct table *t, __u64 seed, const struct flow *f, __u32 *at)
{
	__u64 hash = (f->family == 4 ? fold4(f->dst) : fold6(f->dst)) * seed;
	__u16 displace = t->address_displace[hash >> (64 - ADDRESS_BITS)];
	const struct address *a;

	if (!displace)
		return NULL;
	*at = displaced(hash, displace) & (ADDRESSES - 1);
	a = &t->addresses[*at];
	if (a->family != f->family)
		return NULL;
	if (f->family == 4)
		return a->addr[0] == f->dst[0] ? a : NULL;
	return same6(a->addr, f->dst) ? a : NULL;
}

// find_claim is the service of a port, or of a protocol. Its hash is of the
// address itself, so that it need not wait for where that stands.
static __always_inline __u32 find_claim(const struct table *t, __u64 seed, const struct flow *f, __u32 at, __u16 port)
{
	__u64 address = f->family == 4 ? fold4(f->dst) : fold6(f->dst);
	__u64 hash = (address + CLAIM_OF(0, f->protocol, port) * K2) * seed;
	__u16 displace = t->claim_displace[hash >> (64 - CLAIM_BITS)];
	__u64 claim = t->claims[displaced(hash, displace) & (CLAIMS - 1)];

	if (!displace || claim >> CLAIM_SHIFT != CLAIM_OF(at, f->protocol, port))
		return NO_SERVICE;
	return (__u16)claim;
}
