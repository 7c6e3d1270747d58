// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Control frames that no program may take away. All that is asked for is in
// .rodata, so what is not asked for costs nothing: the verifier cuts it out.
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "state.h"

#define ETH_P_SLOW_PROTOCOLS 0x8809
#define ETH_P_LINK_LAYER_DISCOVERY 0x88cc
#define VLANS 2
#define IPPROTO_IPV6_ICMP 58

struct tag {
	__be16 tci, proto;
};

// is_bfd tells the ports of RFC 5881 (single hop, echo), 5883 (multihop) and
// 7130 (on the members of a LAG).
static __always_inline bool is_bfd(void *l4, void *end)
{
	struct udphdr *udp = l4;

	if ((void *)(udp + 1) > end)
		return false;
	return udp->dest == bpf_htons(3784) || udp->dest == bpf_htons(3785) ||
	       udp->dest == bpf_htons(4784) || udp->dest == bpf_htons(6784);
}

static __always_inline bool bypasses4(const volatile struct chain *s, struct iphdr *ip, void *end)
{
	if ((void *)(ip + 1) > end)
		return false;
#pragma unroll
	for (int i = 0; i < PREFIXES; i++) {
		if (i < s->count4 && (ip->saddr & s->from4[i].mask) == s->from4[i].addr)
			return true;
	}
	if (!(s->frames & FRAME_BFD) || ip->protocol != IPPROTO_UDP || ip->ihl != 5)
		return false;
	return is_bfd(ip + 1, end);
}

static __always_inline bool bypasses6(const volatile struct chain *s, struct ipv6hdr *ip, void *end)
{
	if ((void *)(ip + 1) > end)
		return false;
#pragma unroll
	for (int i = 0; i < PREFIXES; i++) {
		if (i < s->count6 &&
		    (ip->saddr.s6_addr32[0] & s->from6[i].mask[0]) == s->from6[i].addr[0] &&
		    (ip->saddr.s6_addr32[1] & s->from6[i].mask[1]) == s->from6[i].addr[1] &&
		    (ip->saddr.s6_addr32[2] & s->from6[i].mask[2]) == s->from6[i].addr[2] &&
		    (ip->saddr.s6_addr32[3] & s->from6[i].mask[3]) == s->from6[i].addr[3])
			return true;
	}
	if (s->frames & FRAME_ND && ip->nexthdr == IPPROTO_IPV6_ICMP) {
		__u8 *type = (void *)(ip + 1);

		// From a router solicitation to a redirect (RFC 4861), which are
		// valid only from the link itself.
		if ((void *)(type + 1) <= end && *type >= 133 && *type <= 137 && ip->hop_limit == 255)
			return true;
	}
	if (!(s->frames & FRAME_BFD) || ip->nexthdr != IPPROTO_UDP)
		return false;
	return is_bfd(ip + 1, end);
}

// bypasses tells whether a frame goes to the kernel before any slot.
static __always_inline bool bypasses(const volatile struct chain *s, void *data, void *end)
{
	struct ethhdr *eth = data;
	void *next = eth + 1;
	__be16 proto;

	if (!s->frames && !s->count4 && !s->count6)
		return false;
	if (next > end)
		return false;
	proto = eth->h_proto;
#pragma unroll
	for (int i = 0; i < VLANS; i++) {
		struct tag *tag = next;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return false;
		proto = tag->proto;
		next = tag + 1;
	}
	if (s->frames & FRAME_ARP && proto == bpf_htons(ETH_P_ARP))
		return true;
	if (s->frames & FRAME_LACP && proto == bpf_htons(ETH_P_SLOW_PROTOCOLS))
		return true;
	if (s->frames & FRAME_LLDP && proto == bpf_htons(ETH_P_LINK_LAYER_DISCOVERY))
		return true;
	if ((s->frames & FRAME_BFD || s->count4) && proto == bpf_htons(ETH_P_IP))
		return bypasses4(s, next, end);
	if ((s->frames & (FRAME_ND | FRAME_BFD) || s->count6) && proto == bpf_htons(ETH_P_IPV6))
		return bypasses6(s, next, end);
	return false;
}
