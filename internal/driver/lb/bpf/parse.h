// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// From a frame to who speaks with whom. Nothing is read of a packet that is no
// VIP's beyond its destination.
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "maps.h"

#define TAGS 2	  // Q-in-Q
#define HEADERS_6 4 // extension headers that are walked
#define FINE -1

#define TTL 64 // of what the program itself sends

#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_OPTIONS 60
#define IPPROTO_ICMP6 58

#define MORE_FRAGMENTS 0x2000
#define FRAGMENT_OFFSET 0x1fff
#define DONT_FRAGMENT 0x4000

// frame is what is linear of it; there may be more behind.
struct frame {
	struct xdp_md *ctx;
	void *data, *end;
};

struct packet {
	struct flow flow;
	__u32 l3, l4;	// where they begin
	__u32 length;	// in bytes, from l3 on
	__u8 tos;
	bool syn;	// TCP: begins a connection
	bool fragment;	// has no ports
	bool later;	// a fragment, not the first
	bool whole;	// must not be fragmented
	bool error;	// ICMP, about flow, which goes the other way
};

static __always_inline void open_frame(struct frame *f, struct xdp_md *ctx)
{
	f->ctx = ctx;
	f->data = (void *)(long)ctx->data;
	f->end = (void *)(long)ctx->data_end;
}

// at is a place in a frame, told to the verifier to be in reach: headers end
// before it, however long.
static __always_inline void *at(const struct frame *f, __u32 offset)
{
	asm volatile("" : "+r"(offset));
	return f->data + (offset & 0x3fff);
}

static __always_inline bool is_tag(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

// parse_ether finds where layer 3 begins, and its protocol; 0 if there is none.
static __always_inline __be16 parse_ether(const struct frame *f, struct packet *p)
{
	struct ethhdr *eth = f->data;
	__be16 proto;

	if ((void *)(eth + 1) > f->end)
		return 0;
	proto = eth->h_proto;
	p->l3 = sizeof(*eth);
#pragma unroll
	for (int i = 0; i < TAGS; i++) {
		__be16 *tag = f->data + p->l3;

		if (!is_tag(proto))
			return proto;
		if ((void *)(tag + 2) > f->end)
			return 0;
		proto = tag[1];
		p->l3 += 4;
	}
	return proto;
}

static __always_inline bool has_ports(const struct flow *f)
{
	return f->protocol == IPPROTO_TCP || f->protocol == IPPROTO_UDP;
}

// is_short tells a packet of which less arrived than its header says. What is
// not linear is asked for only where it must be.
static __always_inline bool is_short(const struct frame *f, const struct packet *p)
{
	__u32 wanted = p->l3 + p->length;

	return (__u32)(f->end - f->data) < wanted && bpf_xdp_get_buff_len(f->ctx) < wanted;
}

// parse_ports reads what the program asks of layer 4.
static __always_inline int parse_ports(const struct frame *f, struct packet *p)
{
	void *l4 = at(f, p->l4);
	__u32 size = p->flow.protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	if (!has_ports(&p->flow) || p->fragment)
		return FINE;
	if (p->l4 - p->l3 + size > p->length)
		return TRUNCATED;
	if (p->flow.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > f->end)
			return TRUNCATED;
		p->syn = tcp->syn && !tcp->ack;
	}
	if (l4 + sizeof(struct udphdr) > f->end)
		return TRUNCATED;
	p->flow.ports = *(__u32 *)l4;
	return FINE;
}

// common4 parses what most packets are: TCP or UDP, whole, without options. Of
// all others it says false, and leaves them to parse4.
static __always_inline bool common4(const struct frame *f, struct packet *p, const struct iphdr *ip)
{
	const struct tcphdr *tcp = (const void *)(ip + 1);
	__u32 least = sizeof(*ip) + sizeof(struct udphdr);

	if (*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(FRAGMENT_OFFSET | MORE_FRAGMENTS))
		return false;
	p->flow.protocol = ip->protocol;
	p->length = bpf_ntohs(ip->tot_len);
	if (p->flow.protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > f->end)
			return false;
		p->syn = tcp->syn && !tcp->ack;
		least = sizeof(*ip) + sizeof(*tcp);
	} else if (p->flow.protocol != IPPROTO_UDP || (void *)tcp + sizeof(struct udphdr) > f->end) {
		return false;
	}
	p->flow.src[0] = ip->saddr;
	p->flow.ports = *(__u32 *)tcp;
	p->tos = ip->tos;
	p->whole = ip->frag_off; // the one bit that is left
	p->l4 = p->l3 + sizeof(*ip);
	return p->length >= least && f->end - (void *)ip >= p->length;
}

static __always_inline bool common6(const struct frame *f, struct packet *p, const struct ipv6hdr *ip)
{
	const struct tcphdr *tcp = (const void *)(ip + 1);
	__u32 least = sizeof(*ip) + sizeof(struct udphdr);

	p->tos = bpf_ntohs(*(__be16 *)ip) >> 4;
	p->flow.protocol = ip->nexthdr;
	p->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (*(__u8 *)ip >> 4 != 6)
		return false;
	if (p->flow.protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > f->end)
			return false;
		p->syn = tcp->syn && !tcp->ack;
		least = sizeof(*ip) + sizeof(*tcp);
	} else if (p->flow.protocol != IPPROTO_UDP || (void *)tcp + sizeof(struct udphdr) > f->end) {
		return false;
	}
	__builtin_memcpy(p->flow.src, &ip->saddr, 16);
	p->flow.ports = *(__u32 *)tcp;
	p->whole = true;
	p->l4 = p->l3 + sizeof(*ip);
	return p->length >= least && f->end - (void *)ip >= p->length;
}

static __always_inline int parse4(const struct frame *f, struct packet *p, const struct iphdr *ip)
{
	__u32 header = ip->ihl * 4;

	p->flow.src[0] = ip->saddr;
	p->flow.protocol = ip->protocol;
	p->tos = ip->tos;
	p->length = bpf_ntohs(ip->tot_len);
	p->l4 = p->l3 + header;
	p->later = ip->frag_off & bpf_htons(FRAGMENT_OFFSET);
	p->fragment = ip->frag_off & bpf_htons(FRAGMENT_OFFSET | MORE_FRAGMENTS);
	p->whole = ip->frag_off & bpf_htons(DONT_FRAGMENT);
	if (ip->version != 4 || header < sizeof(*ip) || p->length < header)
		return MALFORMED;
	if (is_short(f, p))
		return TRUNCATED;
	return parse_ports(f, p);
}

// walk6 goes over extension headers from p->l4 on.
static __always_inline int walk6(const struct frame *f, struct packet *p, __u8 next)
{
#pragma unroll
	for (int i = 0; i <= HEADERS_6; i++) {
		__u8 *header = at(f, p->l4);

		p->flow.protocol = next;
		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_OPTIONS && next != NEXT_FRAGMENT)
			return FINE;
		if (i == HEADERS_6)
			return HEADERS;
		if ((void *)(header + 8) > f->end)
			return TRUNCATED;
		if (next == NEXT_FRAGMENT) {
			__be16 place = *(__be16 *)(header + 2);

			p->later = place & bpf_htons(0xfff8);
			p->fragment = place & bpf_htons(0xfff9);
			p->l4 += 8;
		} else {
			p->l4 += (header[1] + 1) * 8;
		}
		next = header[0];
		if (p->fragment) { // what follows is the same of all of them
			p->flow.protocol = next;
			return FINE;
		}
	}
	return HEADERS;
}

static __always_inline int parse6(const struct frame *f, struct packet *p, const struct ipv6hdr *ip)
{
	int why;

	__builtin_memcpy(p->flow.src, &ip->saddr, 16);
	p->tos = bpf_ntohs(*(__be16 *)ip) >> 4;
	p->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->l4 = p->l3 + sizeof(*ip);
	p->whole = true;
	if (ip->version != 6)
		return MALFORMED;
	if (is_short(f, p))
		return TRUNCATED;
	why = walk6(f, p, ip->nexthdr);
	if (why != FINE)
		return why;
	if (p->l4 - p->l3 > p->length)
		return TRUNCATED;
	return parse_ports(f, p);
}
