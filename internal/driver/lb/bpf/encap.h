// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The way out: the head of the frame as the backend's record has it, and what
// differs from packet to packet.
#pragma once

#include "count.h"
#include "parse.h"

#define TAGGED_ETHER (sizeof(struct ethhdr) + 4)


static __always_inline __u32 outer_size(const struct backend *to)
{
	if (to->flags & PLAIN)
		return 0;
	return to->flags & OUTER6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

static __always_inline __u8 inner_protocol(const struct packet *p)
{
	return p->flow.family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
}

static __always_inline void write_ether(struct ethhdr *eth, const struct backend *to, __be16 proto)
{
	__u64 *out = (__u64 *)eth;
	const __u64 *head = (const __u64 *)to->ether;

	out[0] = head[0];
	if (to->flags & TAGGED) {
		out[1] = head[1];
		((__be16 *)eth)[8] = proto;
		return;
	}
	*(__u32 *)(out + 1) = head[1];
	eth->h_proto = proto;
}

// write4 fills in an outer header; to->sum is that of all that is the same for
// each packet.
static __always_inline void write4(struct iphdr *ip, const struct backend *to, const struct packet *p, const struct plane *l, __u32 draw)
{
	__be16 length = bpf_htons(p->length + sizeof(*ip));
	__be32 source = l->source4 ? l->source4 | (draw & l->hosts4) : to->source[0];
	__u8 protocol = inner_protocol(p);
	__u32 sum = to->sum + bpf_htons(0x4500 | p->tos) + bpf_htons(TTL << 8 | protocol) + length;

	sum += (source & 0xffff) + (source >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__be16 *)ip = bpf_htons(0x4500 | p->tos);
	ip->tot_len = length;
	ip->id = 0;
	ip->frag_off = bpf_htons(DONT_FRAGMENT);
	ip->ttl = TTL;
	ip->protocol = protocol;
	ip->check = ~sum;
	ip->saddr = source;
	ip->daddr = to->addr[0];
}

static __always_inline void write6(struct ipv6hdr *ip, const struct backend *to, const struct packet *p, const struct plane *l, __u32 draw)
{
	__be32 *source = ip->saddr.s6_addr32;

	*(__be32 *)ip = bpf_htonl(6U << 28 | (__u32)p->tos << 20 | (draw & 0xfffff));
	ip->payload_len = bpf_htons(p->length);
	ip->nexthdr = inner_protocol(p);
	ip->hop_limit = TTL;
	if (l->source6[0]) {
		source[0] = l->source6[0] | (draw & l->hosts6[0]);
		source[1] = l->source6[1] | (draw & l->hosts6[1]);
		source[2] = l->source6[2] | (draw & l->hosts6[2]);
		source[3] = l->source6[3] | (draw & l->hosts6[3]);
	} else {
		__builtin_memcpy(source, to->source, 16);
	}
	__builtin_memcpy(&ip->daddr, to->addr, 16);
}

static __always_inline __be16 ether_type(__u8 family)
{
	return family == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
}

// leave sends a packet to its backend.
static __always_inline int leave(struct frame *f, const struct packet *p, const struct plane *l, const struct backend *to, __u32 draw)
{
	__u32 head = to->flags & TAGGED ? TAGGED_ETHER : sizeof(struct ethhdr);
	__u32 outer = outer_size(to);
	int grow = (int)(head + outer) - (int)p->l3;
	void *l3;

	if (grow && bpf_xdp_adjust_head(f->ctx, -grow))
		return ends(NO_ROOM, XDP_DROP);
	open_frame(f, f->ctx);
	l3 = f->data + head;
	if (f->data + TAGGED_ETHER > f->end)
		return ends(NO_ROOM, XDP_DROP);
	if (outer == sizeof(struct iphdr)) {
		if (l3 + sizeof(struct iphdr) > f->end)
			return ends(NO_ROOM, XDP_DROP);
		write_ether(f->data, to, bpf_htons(ETH_P_IP));
		write4(l3, to, p, l, draw);
	} else if (outer) {
		if (l3 + sizeof(struct ipv6hdr) > f->end)
			return ends(NO_ROOM, XDP_DROP);
		write_ether(f->data, to, bpf_htons(ETH_P_IPV6));
		write6(l3, to, p, l, draw);
	} else {
		write_ether(f->data, to, ether_type(p->flow.family));
	}
	if (to->ifindex == f->ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect(to->ifindex, 0);
}
