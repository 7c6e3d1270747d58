//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The load balancer on XDP. A packet to a VIP goes to the backend that its flow
// has; all others pass as they came.
#include "encap.h"
#include "flow.h"
#include "icmp.h"
#include "reject.h"

// vip is what is known of a packet's destination.
struct vip {
	const struct control *c;
	__u64 live;
	struct address *address;
	__u32 at;
};

// claimed is the service that a packet is for: the most specific that claims it.
static __always_inline __u32 claimed(const struct vip *v, const struct packet *p)
{
	const struct flow *f = &p->flow;
	bool ported = has_ports(f);
	__u16 port = bpf_ntohs(f->ports >> 16);
	__u32 service;

	if (ported && p->fragment)
		return v->address->fragment[f->protocol == IPPROTO_UDP];
	if (v->address->specific) {
		service = find_claim(v->c, v->live, CLAIM_KEY(v->at, f->protocol, port));
		if (service != NO_SERVICE)
			return service;
	}
	return ported ? v->address->whole[f->protocol == IPPROTO_UDP] : v->address->any;
}

static __always_inline int without_backend(struct frame *f, const struct packet *p, __u16 flags, struct service_stats *stats)
{
	stats->no_backend++;
	if (flags & PASSES)
		return ends(NO_OWNER, XDP_PASS);
	if (flags & REJECTS)
		return ends(REJECTED, reject(f, p));
	return ends(NO_OWNER, XDP_DROP);
}

static __always_inline int forward(struct frame *f, const struct packet *p, const struct control *c, __u32 backend, __u32 draw, struct service_stats *stats)
{
	struct backend *to = bpf_map_lookup_elem(&lb_backends, &backend);
	struct backend_stats *more = stats_of_backend(backend);
	__u32 outer;

	if (!to || !more || !(to->flags & VALID)) {
		if (more)
			more->failed++;
		return ends(NO_WAY, XDP_DROP);
	}
	outer = outer_size(to);
	if (p->length + outer > to->mtu) {
		stats->too_big++;
		return too_big(f, p, to->mtu - outer);
	}
	more->packets++;
	more->bytes += p->length;
	more->flows += p->syn;
	return leave(f, p, c, to, draw);
}

static __always_inline int serve(struct frame *f, struct packet *p, const struct vip *v)
{
	__u32 service = claimed(v, p);
	struct service_stats *stats;
	struct service *s, now;
	__u16 backend = NO_BACKEND;
	__u64 hash;

	if (service == AMBIGUOUS)
		return ends(FRAGMENT, XDP_DROP);
	s = bpf_map_lookup_elem(&lb_services, &service);
	stats = stats_of_service(service);
	if (!s || !stats)
		return ends(UNCLAIMED, XDP_PASS);
	now.word = *(volatile __u64 *)&s->word;
	now.opened = s->opened;
	p->flow.service = service;
	hash = hash_flow(&p->flow, now.flags & STICKY);
	if (now.flags & SERVES)
		backend = owner(v->c, &now, p, hash, stats);
	stats->packets++;
	stats->bytes += p->length;
	stats->flows += p->syn;
	if (backend == NO_BACKEND)
		return without_backend(f, p, now.flags, stats);
	return forward(f, p, v->c, backend, hash, stats);
}

// refused ends a packet that cannot be told apart; one of somebody else passes.
static __always_inline int refused(int why) { return ends(why, why == UNCLAIMED ? XDP_PASS : XDP_DROP); }

// SERVE is no verdict: a packet, or the flow an error is about, wants a backend.
#define SERVE -1

static __always_inline int on_icmp4(struct frame *f, struct packet *p, struct iphdr *ip)
{
	struct icmp *icmp = at(f, p->l4);
	int why;

	if ((void *)(icmp + 1) > f->end || p->l4 - p->l3 + sizeof(*icmp) > p->length)
		return refused(TRUNCATED);
	if (icmp->type == ECHO_4)
		return echo4(f, p, ip, icmp);
	if (!is_error4(icmp->type))
		return SERVE;
	why = about4(f, p);
	if (why != FINE)
		return refused(why);
	return ends(ICMP_ERROR, SERVE);
}

static __always_inline int on_icmp6(struct frame *f, struct packet *p, struct ipv6hdr *ip)
{
	struct icmp *icmp = at(f, p->l4);
	int why;

	if ((void *)(icmp + 1) > f->end || p->l4 - p->l3 + sizeof(*icmp) > p->length)
		return refused(TRUNCATED);
	if (icmp->type == ECHO_6)
		return echo6(f, p, ip, icmp);
	if (!is_error6(icmp->type))
		return SERVE;
	why = about6(f, p);
	if (why != FINE)
		return refused(why);
	return ends(ICMP_ERROR, SERVE);
}

static __always_inline bool find_vip(struct vip *v, const struct packet *p)
{
	__u32 zero = 0;

	v->c = bpf_map_lookup_elem(&lb_control, &zero);
	if (!v->c)
		return false;
	v->live = *(volatile __u64 *)&v->c->live;
	v->address = find_address(v->c, v->live, p->flow.dst, p->flow.family, &v->at);
	return v->address;
}

static __always_inline int on4(struct frame *f, struct packet *p)
{
	struct iphdr *ip = at(f, p->l3);
	struct vip v = {};
	int why;

	if ((void *)(ip + 1) > f->end)
		return XDP_PASS;
	p->flow.family = 4;
	p->flow.dst[0] = ip->daddr;
	if (!find_vip(&v, p))
		return XDP_PASS;
	why = parse4(f, p, ip);
	if (why != FINE)
		return refused(why);
	if (p->flow.protocol == IPPROTO_ICMP && !p->fragment) {
		int verdict = on_icmp4(f, p, ip);

		if (verdict != SERVE)
			return verdict;
	}
	return serve(f, p, &v);
}

static __always_inline int on6(struct frame *f, struct packet *p)
{
	struct ipv6hdr *ip = at(f, p->l3);
	struct vip v = {};
	int why;

	if ((void *)(ip + 1) > f->end)
		return XDP_PASS;
	p->flow.family = 6;
	__builtin_memcpy(p->flow.dst, &ip->daddr, 16);
	if (!find_vip(&v, p))
		return XDP_PASS;
	why = parse6(f, p, ip);
	if (why != FINE)
		return refused(why);
	if (p->flow.protocol == IPPROTO_ICMP6 && !p->fragment) {
		int verdict = on_icmp6(f, p, ip);

		if (verdict != SERVE)
			return verdict;
	}
	return serve(f, p, &v);
}

SEC("xdp")
int lb(struct xdp_md *ctx)
{
	struct packet p = {};
	struct frame f;

	open_frame(&f, ctx);
	switch (parse_ether(&f, &p)) {
	case bpf_htons(ETH_P_IP):
		return on4(&f, &p);
	case bpf_htons(ETH_P_IPV6):
		return on6(&f, &p);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
