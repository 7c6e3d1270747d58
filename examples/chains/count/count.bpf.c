//go:build ignore
// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Counts packets and bytes by IP protocol, on XDP or TC. Anything that is no IP
// counts as protocol 255.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NO_IP 255

struct count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct count);
} protocols SEC(".maps");

// One of so many packets is counted, as that many.
const volatile __u32 sample_rate = 1;

static __always_inline __u32 protocol(void *data, void *end)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return NO_IP;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);

		return (void *)(ip + 1) > end ? NO_IP : ip->protocol;
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(eth + 1);

		return (void *)(ip + 1) > end ? NO_IP : ip->nexthdr;
	}
	return NO_IP;
}

static __always_inline void account(__u32 protocol, __u64 bytes)
{
	struct count *c;

	if (sample_rate > 1 && bpf_get_prandom_u32() % sample_rate)
		return;
	c = bpf_map_lookup_elem(&protocols, &protocol);
	if (!c)
		return;
	c->packets += sample_rate;
	c->bytes += bytes * sample_rate;
}

SEC("xdp.frags")
int count_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	account(protocol(data, end), bpf_xdp_get_buff_len(ctx)); // more than end - data, of several buffers
	return XDP_PASS;
}

SEC("tc")
int count_tc(struct __sk_buff *skb)
{
	account(protocol((void *)(long)skb->data, (void *)(long)skb->data_end), skb->len);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
