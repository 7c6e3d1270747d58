// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Refusals for services that have no backend and say so: a reset to TCP, port
// unreachable to the rest (RFC 9293, 792, 4443).
#pragma once

#include "icmp.h"

// reset makes a TCP header the refusal of what it was.
static __always_inline void reset(struct tcphdr *tcp, __u32 payload)
{
	__be32 seq = tcp->ack ? tcp->ack_seq : 0;
	__be32 ack = tcp->ack ? 0 : bpf_htonl(bpf_ntohl(tcp->seq) + payload + tcp->syn + tcp->fin);
	__be16 source = tcp->source;

	tcp->source = tcp->dest;
	tcp->dest = source;
	((__be16 *)tcp)[6] = tcp->ack ? bpf_htons(0x5004) : bpf_htons(0x5014); // 5 words; RST, or RST and ACK
	tcp->seq = seq;
	tcp->ack_seq = ack;
	tcp->window = 0;
	tcp->urg_ptr = 0;
	tcp->check = 0;
}

static __always_inline int reset4(struct frame *f, const struct packet *p)
{
	struct iphdr *ip;
	struct tcphdr *tcp;
	__u64 total;

	if (!resize(f, p, 0, sizeof(*ip) + sizeof(*tcp)))
		return XDP_DROP;
	turn_ether(f, p);
	ip = at(f, p->l3);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > f->end)
		return XDP_DROP;
	reset(tcp, p->length - sizeof(*ip) - tcp->doff * 4);
	fill4(ip, p, sizeof(*ip) + sizeof(*tcp), IPPROTO_TCP);
	total = sum(&ip->saddr, 8) + bpf_htonl(IPPROTO_TCP) + bpf_htonl(sizeof(*tcp));
	tcp->check = ~fold(total + sum(tcp, sizeof(*tcp)));
	return XDP_TX;
}

static __always_inline int reset6(struct frame *f, const struct packet *p)
{
	struct ipv6hdr *ip;
	struct tcphdr *tcp;

	if (!resize(f, p, 0, sizeof(*ip) + sizeof(*tcp)))
		return XDP_DROP;
	turn_ether(f, p);
	ip = at(f, p->l3);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > f->end)
		return XDP_DROP;
	reset(tcp, p->length - sizeof(*ip) - tcp->doff * 4);
	fill6(ip, p, sizeof(*tcp), IPPROTO_TCP);
	tcp->check = ~fold(sum(tcp, sizeof(*tcp)) + pseudo6(ip, sizeof(*tcp), IPPROTO_TCP));
	return XDP_TX;
}

static __always_inline bool is_reset(const struct frame *f, const struct packet *p)
{
	struct tcphdr *tcp = at(f, p->l4);

	return (void *)(tcp + 1) <= f->end && tcp->rst;
}

// reject refuses a packet. Who sends options, extension headers or fragments
// gets no answer, nor does a reset.
static __always_inline int reject(struct frame *f, const struct packet *p)
{
	bool four = p->flow.family == 4;
	__u32 plain = four ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	if (p->fragment || p->l4 - p->l3 != plain || !may_answer(f, p))
		return XDP_DROP;
	if (p->flow.protocol == IPPROTO_TCP) {
		if (is_reset(f, p))
			return XDP_DROP;
		return four ? reset4(f, p) : reset6(f, p);
	}
	if (p->flow.protocol == IPPROTO_ICMP || p->flow.protocol == IPPROTO_ICMP6)
		return XDP_DROP;
	if (four)
		return send_error4(f, p, (struct icmp){UNREACHABLE_4, CODE_PORT_4}, QUOTE4);
	return send_error6(f, p, (struct icmp){UNREACHABLE_6, CODE_PORT_6}, QUOTE6);
}
