// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Answers that the program itself gives: frames go back where they came from,
// with the tags they came with.
#pragma once

#include "count.h"
#include "parse.h"

#define ETHER_MAX (sizeof(struct ethhdr) + 4 * TAGS)

// ether is the head of a frame up to layer 3, tags and all, as 16-bit words.
struct ether {
	__u16 words[ETHER_MAX / 2];
};

// may_answer tells senders that exist once: no answer goes to a group, and none
// to what was sent to one (RFC 1122, 4443).
static __always_inline bool may_answer(const struct frame *f, const struct packet *p)
{
	const __u8 *to = f->data, *from = (const __u8 *)p->flow.src;

	if (f->data + ETHER_MAX > f->end || to[0] & 1)
		return false;
	if (p->flow.family == 4)
		return from[0] != 0 && from[0] != 127 && from[0] < 224;
	return from[0] != 0xff && (p->flow.src[0] || p->flow.src[1] || p->flow.src[2] || p->flow.src[3]);
}

// reverse_ether reads the head of a frame as its answer has it.
static __always_inline void reverse_ether(const struct frame *f, struct ether *e)
{
	const __u16 *from = f->data;

	if (f->data + ETHER_MAX > f->end)
		return;
	__builtin_memcpy(e->words, from, ETHER_MAX);
#pragma unroll
	for (int i = 0; i < 3; i++) {
		e->words[i] = from[i + 3];
		e->words[i + 3] = from[i];
	}
}

// put_ether writes as much of it as there was.
static __always_inline bool put_ether(struct frame *f, const struct ether *e, __u32 size)
{
	__u16 *to = f->data;

	if (f->data + ETHER_MAX > f->end)
		return false;
#pragma unroll
	for (unsigned int i = 0; i < ETHER_MAX / 2; i++) {
		if (i * 2 < size)
			to[i] = e->words[i];
	}
	return true;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// sum adds up words, whose number is constant.
static __always_inline __u64 sum(const void *from, __u32 bytes)
{
	const __u32 *words = from;
	__u64 total = 0;

#pragma unroll
	for (__u32 i = 0; i < bytes / 4; i++)
		total += words[i];
	return total;
}

// pseudo6 is what ICMPv6 and TCP checksums cover beside the message.
static __always_inline __u64 pseudo6(const struct ipv6hdr *ip, __u32 length, __u8 protocol)
{
	return sum(&ip->saddr, 32) + bpf_htonl(length) + bpf_htonl(protocol);
}

static __always_inline void fill4(struct iphdr *ip, const struct packet *p, __u32 length, __u8 protocol)
{
	*(__be16 *)ip = bpf_htons(0x4500);
	ip->tot_len = bpf_htons(length);
	ip->id = 0;
	ip->frag_off = bpf_htons(DONT_FRAGMENT);
	ip->ttl = TTL;
	ip->protocol = protocol;
	ip->check = 0;
	ip->saddr = p->flow.dst[0];
	ip->daddr = p->flow.src[0];
	ip->check = ~fold(sum(ip, sizeof(*ip)));
}

static __always_inline void fill6(struct ipv6hdr *ip, const struct packet *p, __u32 payload, __u8 protocol)
{
	*(__be32 *)ip = bpf_htonl(6U << 28);
	ip->payload_len = bpf_htons(payload);
	ip->nexthdr = protocol;
	ip->hop_limit = TTL;
	__builtin_memcpy(&ip->saddr, p->flow.dst, 16);
	__builtin_memcpy(&ip->daddr, p->flow.src, 16);
}

// resize makes room for a header before layer 3, and cuts off what lies beyond
// so many bytes of it.
static __always_inline bool resize(struct frame *f, const struct packet *p, int room, int kept)
{
	int cut = (int)bpf_xdp_get_buff_len(f->ctx) - (int)p->l3 - kept;

	if (cut < 0 || (cut && bpf_xdp_adjust_tail(f->ctx, -cut)))
		return false;
	if (room && bpf_xdp_adjust_head(f->ctx, -room))
		return false;
	open_frame(f, f->ctx);
	return true;
}
