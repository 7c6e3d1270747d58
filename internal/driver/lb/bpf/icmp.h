// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// ICMP: echo is answered, errors are sent, and those of others are taken to the
// flow that they are about.
#pragma once

#include "answer.h"
#include "table.h"

// How much of a packet an error quotes: what there is at the least, and what
// holds any options of IPv4, or some headers of IPv6, where there is plenty.
#define QUOTE4 28
#define QUOTE6 48
#define LONG_QUOTE4 68
#define LONG_QUOTE6 96

// The types and codes in use; linux/icmp.h would want a libc.
enum {
	UNREACHABLE_4 = 3, EXCEEDED_4 = 11, PARAMETER_4 = 12,
	ECHO_4 = 8, ECHO_REPLY_4 = 0,
	CODE_PORT_4 = 3, CODE_TOO_BIG_4 = 4,
	UNREACHABLE_6 = 1, TOO_BIG_6 = 2, PARAMETER_6 = 4,
	ECHO_6 = 128, ECHO_REPLY_6 = 129,
	NEIGHBOUR_6 = 133, NEIGHBOUR_LAST_6 = 137,
	CODE_PORT_6 = 4,
};

// icmp is the head of a message, of both families.
struct icmp {
	__u8 type, code;
	__u16 checksum;
	__be32 rest;
};

// open_answer turns a frame round, keeps so much of what it carries from layer
// 3 on, and makes room before that.
static __always_inline bool open_answer(struct frame *f, const struct packet *p, int room, int kept)
{
	struct ether ether = {};

	if (!may_answer(f, p))
		return false;
	reverse_ether(f, &ether);
	return resize(f, p, room, kept) && put_ether(f, &ether, p->l3);
}

static __always_inline int send_error4(struct frame *f, const struct packet *p, struct icmp e, int quote)
{
	struct icmp *icmp;
	struct iphdr *ip;

	if (!open_answer(f, p, sizeof(*ip) + sizeof(*icmp), quote))
		return XDP_DROP;
	ip = at(f, p->l3);
	icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) + quote > f->end)
		return XDP_DROP;
	fill4(ip, p, sizeof(*ip) + sizeof(*icmp) + quote, IPPROTO_ICMP);
	*icmp = e;
	icmp->checksum = ~fold(sum(icmp, sizeof(*icmp) + quote));
	return XDP_TX;
}

static __always_inline int send_error6(struct frame *f, const struct packet *p, struct icmp e, int quote)
{
	struct icmp *icmp;
	struct ipv6hdr *ip;

	if (!open_answer(f, p, sizeof(*ip) + sizeof(*icmp), quote))
		return XDP_DROP;
	ip = at(f, p->l3);
	icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) + quote > f->end)
		return XDP_DROP;
	fill6(ip, p, sizeof(*icmp) + quote, IPPROTO_ICMP6);
	*icmp = e;
	icmp->checksum = ~fold(sum(icmp, sizeof(*icmp) + quote) + pseudo6(ip, sizeof(*icmp) + quote, IPPROTO_ICMP6));
	return XDP_TX;
}

// too_big tells the sender what fits, unless the packet is one that it may not
// be told about, or that routers were to cut.
static __always_inline int too_big(struct frame *f, const struct packet *p, __u32 mtu)
{
	if (!p->whole)
		return ends(TOO_BIG, XDP_DROP);
	if (p->flow.family == 6)
		return ends(TOO_BIG, send_error6(f, p, (struct icmp){TOO_BIG_6, 0, 0, bpf_htonl(mtu)}, LONG_QUOTE6));
	if (p->later)
		return ends(TOO_BIG, XDP_DROP);
	return ends(TOO_BIG, send_error4(f, p, (struct icmp){UNREACHABLE_4, CODE_TOO_BIG_4, 0, bpf_htonl(mtu)}, LONG_QUOTE4));
}

// turn_ether answers with the frame that came. Addresses that change places leave a
// checksum as it is.
static __always_inline void turn_ether(struct frame *f, const struct packet *p)
{
	struct ether ether = {};

	reverse_ether(f, &ether);
	put_ether(f, &ether, p->l3);
}

// add_to takes up a change. Of the two zeros it writes that which is right for
// a message of zeros too.
static __always_inline void add_to(__u16 *checksum, __u32 more)
{
	__u16 sum = ~fold((__u16)~*checksum + more);

	*checksum = sum ? sum : 0xffff;
}

static __always_inline int echo4(struct frame *f, struct packet *p, struct iphdr *ip, struct icmp *icmp)
{
	if (!may_answer(f, p))
		return ends(ECHO, XDP_DROP);
	add_to(&ip->check, (__u16)~*(__u16 *)&ip->ttl);
	ip->ttl = TTL;
	add_to(&ip->check, *(__u16 *)&ip->ttl);
	ip->saddr = p->flow.dst[0];
	ip->daddr = p->flow.src[0];
	add_to(&icmp->checksum, (__u16)~bpf_htons(ECHO_4 << 8) + bpf_htons(ECHO_REPLY_4 << 8));
	icmp->type = ECHO_REPLY_4;
	turn_ether(f, p);
	return ends(ECHO, XDP_TX);
}

static __always_inline int echo6(struct frame *f, struct packet *p, struct ipv6hdr *ip, struct icmp *icmp)
{
	if (!may_answer(f, p))
		return ends(ECHO, XDP_DROP);
	ip->hop_limit = TTL;
	__builtin_memcpy(&ip->saddr, p->flow.dst, 16);
	__builtin_memcpy(&ip->daddr, p->flow.src, 16);
	add_to(&icmp->checksum, (__u16)~bpf_htons(ECHO_6 << 8) + bpf_htons(ECHO_REPLY_6 << 8));
	icmp->type = ECHO_REPLY_6;
	turn_ether(f, p);
	return ends(ECHO, XDP_TX);
}

static __always_inline bool is_error4(__u8 type)
{
	return type == UNREACHABLE_4 || type == EXCEEDED_4 || type == PARAMETER_4;
}

static __always_inline bool is_error6(__u8 type) { return type >= UNREACHABLE_6 && type <= PARAMETER_6; }

// is_of_link tells what neighbours say to each other: it is about this host,
// whoever serves its addresses (RFC 4861).
static __always_inline bool is_of_link(__u8 type) { return type >= NEIGHBOUR_6 && type <= NEIGHBOUR_LAST_6; }

// reverse_ports are those of the flow that a quoted packet, of its other
// direction, belongs to.
static __always_inline int reverse_ports(const struct frame *f, struct packet *p, __u32 offset)
{
	__u32 *ports = at(f, offset);

	if (!has_ports(&p->flow) || p->fragment)
		return FINE;
	if ((void *)(ports + 1) > f->end)
		return TRUNCATED;
	p->flow.ports = *ports << 16 | *ports >> 16;
	return FINE;
}

// about4 makes p's flow the one that an error is about.
static __always_inline int about4(const struct frame *f, struct packet *p)
{
	struct iphdr *quoted = at(f, p->l4 + sizeof(struct icmp));

	if ((void *)(quoted + 1) > f->end)
		return TRUNCATED;
	if (quoted->ihl < 5 || quoted->version != 4)
		return MALFORMED;
	if (quoted->saddr != p->flow.dst[0])
		return UNCLAIMED;
	p->error = true;
	p->flow.src[0] = quoted->daddr;
	p->flow.protocol = quoted->protocol;
	p->fragment = quoted->frag_off & bpf_htons(FRAGMENT_OFFSET);
	return reverse_ports(f, p, p->l4 + sizeof(struct icmp) + quoted->ihl * 4);
}

static __always_inline int about6(const struct frame *f, struct packet *p)
{
	struct ipv6hdr *quoted = at(f, p->l4 + sizeof(struct icmp));
	int why;

	if ((void *)(quoted + 1) > f->end)
		return TRUNCATED;
	if (quoted->version != 6)
		return MALFORMED;
	if (!same6(quoted->saddr.s6_addr32, p->flow.dst))
		return UNCLAIMED;
	p->error = true;
	__builtin_memcpy(p->flow.src, &quoted->daddr, 16);
	p->l4 += sizeof(struct icmp) + sizeof(*quoted);
	why = walk6(f, p, quoted->nexthdr);
	if (why != FINE)
		return why;
	p->fragment = p->later;
	return reverse_ports(f, p, p->l4);
}
