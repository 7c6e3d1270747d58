// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Which backend a flow has. Without state as long as its slot did not move; a
// slot that moved has flows of its former owner, by the ring that was, and those
// of its new one, by the table.
#pragma once

#include "parse.h"
#include "table.h"

// hash_flow spreads flows: the upper half names the slot, the lower the source
// of the tunnel. All balancers of a service must agree on it.
static __always_inline __u64 hash_flow(const struct flow *f, bool sticky)
{
	__u64 src = (__u64)f->src[1] << 32 | f->src[0], dst = f->dst[0], hash;

	if (f->family == 6) {
		src = (src ^ K2) * K4 + ((__u64)f->src[3] << 32 | f->src[2]);
		dst = fold6(f->dst);
	}
	hash = src * K1;
	if (!sticky)
		hash += dst * K3 + ((__u64)f->ports << 8 | f->protocol) * K2;
	hash = (hash ^ hash >> 32) * K4;
	hash = (hash ^ hash >> 29) * K1;
	return hash ^ hash >> 32;
}

static __always_inline __u32 slot_of(__u64 hash, __u32 ring_size) { return (hash >> 32) * ring_size >> 32; }

// slot is what a ring says at a place: its owner, and whether that is new.
static __always_inline __u16 slot(__u32 ring, __u32 at)
{
	struct ring *r = bpf_map_lookup_elem(&lb_rings, &ring);

	if (!r || at >= RING_MAX)
		return NO_BACKEND;
	return r->slots[at];
}

static __always_inline void remember(const struct packet *p, const struct flow *key, __u16 backend, __u64 now, struct service_stats *stats)
{
	struct flow_state state = {.seen = now, .backend = backend};

	if (p->error || backend == NO_BACKEND)
		return;
	bpf_map_update_elem(&lb_flows, key, &state, BPF_ANY);
	stats->table_inserts++;
}

// owner_moved is the owner of a flow whose slot moved to a new one.
static __always_inline __u16 owner_moved(const struct control *c, const struct service *s, const struct packet *p, __u32 at, __u16 newer, struct service_stats *stats)
{
	__u16 previous = s->previous, former = NO_BACKEND;
	__u64 now = bpf_ktime_get_ns();
	bool tcp = p->flow.protocol == IPPROTO_TCP && !p->fragment;
	struct flow key = p->flow; // the packet itself stays in registers
	struct flow_state *known;

	if (tcp && p->syn) {
		remember(p, &key, newer, now, stats);
		return newer;
	}
	known = bpf_map_lookup_elem(&lb_flows, &key);
	if (known && (tcp || now < known->seen + c->udp_idle)) {
		if (!p->error)
			known->seen = now;
		stats->table_hits++;
		return known->backend;
	}
	if (previous != NO_RING && (tcp || now < s->opened + c->udp_idle))
		former = slot(previous, at) & ~MOVED;
	if (former != NO_BACKEND) {
		stats->previous++;
		newer = former;
	}
	if (!tcp)
		remember(p, &key, newer, now, stats);
	return newer;
}

static __always_inline __u16 owner(const struct control *c, const struct service *s, const struct packet *p, __u64 hash, struct service_stats *stats)
{
	__u32 at = slot_of(hash, c->ring_size);
	__u16 found = slot(s->ring, at);

	if (found & MOVED)
		return owner_moved(c, s, p, at, found & ~MOVED, stats);
	return found;
}
