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

// moved is what decides on a packet whose slot moved.
struct moved {
	struct flow flow;
	bool tcp, syn, error;
	__u16 newer, previous; // owner, ring
	__u32 at;	       // the slot
	__u64 opened;
};

static __always_inline void remember(const struct moved *m, __u16 backend, __u64 now, struct service_stats *stats)
{
	struct flow_state state = {.seen = now, .backend = backend};

	if (m->error || backend == NO_BACKEND)
		return;
	bpf_map_update_elem(&lb_flows, &m->flow, &state, BPF_ANY);
	stats->table_inserts++;
}

// former_owner is whom a slot belonged to before it moved; whom it does now, if
// that was nobody.
static __always_inline __u16 former_owner(const struct moved *m, struct service_stats *stats)
{
	__u16 former = NO_BACKEND;

	if (m->previous != NO_RING)
		former = slot(m->previous, m->at) & ~MOVED;
	if (former == NO_BACKEND)
		return m->newer;
	stats->previous++;
	return former;
}

// owner_moved is the owner of a flow whose slot moved to a new one. It is
// called, as few slots moved: what is rare must not cost others registers.
static __noinline __u16 owner_moved(const struct moved *m, __u64 udp_idle, struct service_stats *stats)
{
	struct flow_state *known = NULL;
	__u16 chosen = m->newer;
	__u64 now;

	if (!m->syn)
		known = bpf_map_lookup_elem(&lb_flows, &m->flow);
	if (m->tcp && !m->syn && !known)
		return former_owner(m, stats);
	now = bpf_ktime_get_ns();
	if (known && (m->tcp || now < known->seen + udp_idle)) {
		if (!m->error)
			known->seen = now;
		stats->table_hits++;
		return known->backend;
	}
	if (!m->syn && now < m->opened + udp_idle)
		chosen = former_owner(m, stats);
	remember(m, chosen, now, stats);
	return chosen;
}

static __always_inline __u16 owner(const struct plane *l, const struct service *s, struct service now, const struct packet *p, __u64 hash, struct service_stats *stats)
{
	__u32 at = slot_of(hash, l->ring_size);
	__u16 found = slot(now.ring, at);
	struct moved m;

	if (!(found & MOVED))
		return found;
	m = (struct moved){
		.flow = p->flow, .tcp = p->flow.protocol == IPPROTO_TCP && !p->fragment, .syn = p->syn, .error = p->error,
		.newer = found & ~MOVED, .previous = now.previous, .at = at, .opened = s->opened,
	};
	return owner_moved(&m, l->udp_idle, stats);
}
