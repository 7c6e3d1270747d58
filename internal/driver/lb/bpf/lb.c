//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The load balancer on XDP. A packet to a VIP goes to the backend that its flow
// has; all others pass as they came.
#include "encap.h"
#include "flow.h"
#include "icmp.h"
#include "reject.h"

// SERVE is no verdict: a packet, or the flow an error is about, wants a backend.
#define SERVE -1

// vip is what is known of a packet's destination.
struct vip {
	const struct plane *l;
	const struct table *table;
	__u64 seed;
	const struct address *address;
	__u32 at;
};

static __always_inline bool find_vip(struct vip *v, const struct packet *p)
{
	__u32 zero = 0;
	__u64 live;

	v->l = bpf_map_lookup_elem(&lb_plane, &zero);
	if (!v->l)
		return false;
	live = *(volatile __u64 *)&v->l->live;
	v->table = &v->l->tables[live & 1];
	v->seed = live | 1;
	v->address = find_address(v->table, v->seed, &p->flow, &v->at);
	return v->address;
}

// claimed is the service that a packet is for: the most specific that claims it.
static __always_inline __u32 claimed(const struct vip *v, const struct packet *p)
{
	const struct flow *f = &p->flow;
	bool ported = has_ports(f);
	__u32 service;

	if (ported && p->fragment)
		return v->address->fragment[f->protocol == IPPROTO_UDP];
	if (v->address->specific) {
		service = find_claim(v->table, v->seed, f, v->at, bpf_ntohs(f->ports >> 16));
		if (service != NO_SERVICE)
			return service;
	}
	return ported ? v->address->whole[f->protocol == IPPROTO_UDP] : v->address->any;
}

// What follows is rare, and called, so that what is not has all registers.

static __noinline int icmp4(struct xdp_md *ctx, struct packet *p)
{
	struct frame f;
	struct iphdr *ip;
	struct icmp *icmp;
	int why;

	open_frame(&f, ctx);
	ip = at(&f, p->l3);
	icmp = at(&f, p->l4);
	if ((void *)(ip + 1) > f.end || (void *)(icmp + 1) > f.end || p->l4 - p->l3 + sizeof(*icmp) > p->length)
		return ends(TRUNCATED, XDP_DROP);
	if (icmp->type == ECHO_4)
		return echo4(&f, p, ip, icmp);
	if (!is_error4(icmp->type))
		return SERVE;
	why = about4(&f, p);
	if (why != FINE)
		return refused(why);
	return ends(ICMP_ERROR, SERVE);
}

static __noinline int icmp6(struct xdp_md *ctx, struct packet *p)
{
	struct frame f;
	struct ipv6hdr *ip;
	struct icmp *icmp;
	int why;

	open_frame(&f, ctx);
	ip = at(&f, p->l3);
	icmp = at(&f, p->l4);
	if ((void *)(ip + 1) > f.end || (void *)(icmp + 1) > f.end || p->l4 - p->l3 + sizeof(*icmp) > p->length)
		return ends(TRUNCATED, XDP_DROP);
	if (icmp->type == ECHO_6)
		return echo6(&f, p, ip, icmp);
	if (is_of_link(icmp->type))
		return refused(UNCLAIMED);
	if (!is_error6(icmp->type))
		return SERVE;
	why = about6(&f, p);
	if (why != FINE)
		return refused(why);
	return ends(ICMP_ERROR, SERVE);
}

// parse_again finds out all about a packet of IP. Who is called needs not be
// handed what the caller holds in registers.
static __noinline int parse_again(struct xdp_md *ctx, struct packet *p)
{
	struct frame f;
	__be16 proto;

	open_frame(&f, ctx);
	proto = parse_ether(&f, p);
	if (proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at(&f, p->l3);

		if ((void *)(ip + 1) > f.end)
			return TRUNCATED;
		p->flow.family = 4;
		p->flow.dst[0] = ip->daddr;
		return parse4(&f, p, ip);
	} else {
		struct ipv6hdr *ip = at(&f, p->l3);

		if ((void *)(ip + 1) > f.end)
			return TRUNCATED;
		p->flow.family = 6;
		__builtin_memcpy(p->flow.dst, &ip->daddr, 16);
		return parse6(&f, p, ip);
	}
}

// What is no verdict yet, with an argument in the upper half: what is rare is not
// called where registers and stack are full.
enum later {
	WITHOUT = 0x100, // a backend; the service's flags
	EXCEEDS = 0x200, // what the way out carries; and that is how much
	ERROR = 0x400,	 // it was an error of ICMP, which gets no answer
};

static __always_inline int without_backend(struct xdp_md *ctx, __u16 flags, bool error)
{
	struct packet p = {};
	struct frame f;

	if (flags & PASSES)
		return ends(NO_OWNER, XDP_PASS);
	if (!(flags & REJECTS))
		return ends(NO_OWNER, XDP_DROP);
	if (error || parse_again(ctx, &p) != FINE)
		return ends(REJECTED, XDP_DROP);
	open_frame(&f, ctx);
	return ends(REJECTED, reject(&f, &p));
}

static __always_inline int exceeds(struct xdp_md *ctx, __u16 mtu, bool error)
{
	struct packet p = {};
	struct frame f;

	if (error || parse_again(ctx, &p) != FINE)
		return ends(TOO_BIG, XDP_DROP);
	open_frame(&f, ctx);
	return too_big(&f, &p, mtu);
}

static __noinline int decide(struct xdp_md *ctx, __u32 later)
{
	if (later & WITHOUT)
		return without_backend(ctx, later >> 16, later & ERROR);
	return exceeds(ctx, later >> 16, later & ERROR);
}

static __always_inline int forward(struct frame *f, const struct packet *p, const struct plane *l, __u32 backend, __u32 draw, struct service_stats *stats)
{
	const struct backend *to = &l->backends[backend & (BACKENDS - 1)];
	struct backend_stats *more = stats_of_backend(backend);
	__u32 outer = outer_size(to);

	if (!more)
		return ends(NO_WAY, XDP_DROP);
	if (!(to->flags & VALID)) {
		more->failed++;
		return ends(NO_WAY, XDP_DROP);
	}
	if (p->length + outer > to->mtu) {
		stats->too_big++;
		return EXCEEDS | (p->error ? ERROR : 0) | (to->mtu - outer) << 16;
	}
	more->packets++;
	more->bytes += p->length;
	more->flows += p->syn;
	return leave(f, p, l, to, draw);
}

static __always_inline int serve(struct frame *f, struct packet *p, const struct vip *v)
{
	__u32 service = claimed(v, p);
	const struct service *s = &v->l->services[service & (SERVICES - 1)];
	struct service_stats *stats;
	struct service now;
	__u16 backend = NO_BACKEND;
	__u64 hash;

	if (service == AMBIGUOUS)
		return ends(FRAGMENT, XDP_DROP);
	stats = stats_of_service(service);
	if (!stats)
		return ends(UNCLAIMED, XDP_PASS);
	now.word = *(volatile __u64 *)&s->word;
	p->flow.service = service;
	hash = hash_flow(&p->flow, now.flags & STICKY);
	if (now.flags & SERVES)
		backend = owner(v->l, s, now, p, hash, stats);
	stats->packets++;
	stats->bytes += p->length;
	stats->flows += p->syn;
	if (backend == NO_BACKEND) {
		stats->no_backend++;
		return WITHOUT | (p->error ? ERROR : 0) | now.flags << 16;
	}
	return forward(f, p, v->l, backend, hash, stats);
}

// unusual is for whatever is not common: options and extension headers,
// fragments, ICMP, protocols without ports, broken packets.
static __noinline int unusual(struct xdp_md *ctx)
{
	struct packet p = {};
	struct vip v = {};
	struct frame f;
	int verdict = SERVE, why = parse_again(ctx, &p);

	if (why != FINE)
		return refused(why);
	if (!p.fragment && p.flow.family == 4 && p.flow.protocol == IPPROTO_ICMP)
		verdict = icmp4(ctx, &p);
	if (!p.fragment && p.flow.family == 6 && p.flow.protocol == IPPROTO_ICMP6)
		verdict = icmp6(ctx, &p);
	if (verdict != SERVE)
		return verdict;
	if (!find_vip(&v, &p))
		return XDP_PASS;
	open_frame(&f, ctx);
	return serve(&f, &p, &v);
}

static __always_inline int on4(struct frame *f, struct packet *p)
{
	struct iphdr *ip = at(f, p->l3);
	struct vip v = {};

	if ((void *)(ip + 1) > f->end)
		return XDP_PASS;
	p->flow.family = 4;
	p->flow.dst[0] = ip->daddr;
	if (!find_vip(&v, p))
		return XDP_PASS;
	if (!common4(f, p, ip))
		return unusual(f->ctx);
	return serve(f, p, &v);
}

static __always_inline int on6(struct frame *f, struct packet *p)
{
	struct ipv6hdr *ip = at(f, p->l3);
	struct vip v = {};

	if ((void *)(ip + 1) > f->end)
		return XDP_PASS;
	p->flow.family = 6;
	__builtin_memcpy(p->flow.dst, &ip->daddr, 16);
	if (!find_vip(&v, p))
		return XDP_PASS;
	if (!common6(f, p, ip))
		return unusual(f->ctx);
	return serve(f, p, &v);
}

SEC("xdp")
int lb(struct xdp_md *ctx)
{
	struct packet p = {};
	struct frame f;
	int verdict = XDP_PASS;

	open_frame(&f, ctx);
	switch (parse_ether(&f, &p)) {
	case bpf_htons(ETH_P_IP):
		verdict = on4(&f, &p);
		break;
	case bpf_htons(ETH_P_IPV6):
		verdict = on6(&f, &p);
		break;
	}
	if ((__u32)verdict >= WITHOUT)
		return decide(ctx, verdict);
	return verdict;
}

char _license[] SEC("license") = "Dual BSD/GPL";
