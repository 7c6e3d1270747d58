//go:build ignore
// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Limits packets a second to ports of this host: a fixed window a port, on all
// CPUs together. Ports that are not on the list are not limited.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SECOND 1000000000ULL

struct window {
	__u64 began; // nanoseconds since boot
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be16);
	__type(value, __u32);
} limits SEC(".maps"); // packets a second, by port

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __be16);
	__type(value, struct window);
} windows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps"); // 0 passed, 1 dropped

static __always_inline int verdict(__u32 dropped)
{
	__u64 *n = bpf_map_lookup_elem(&verdicts, &dropped);

	if (n)
		(*n)++;
	return dropped ? XDP_DROP : XDP_PASS;
}

static __always_inline int limited(__be16 port)
{
	__u32 *limit = bpf_map_lookup_elem(&limits, &port);
	__u64 now = bpf_ktime_get_ns();
	struct window first = {.began = now, .count = 1}, *w;

	if (!limit)
		return XDP_PASS;
	w = bpf_map_lookup_elem(&windows, &port);
	if (!w) {
		bpf_map_update_elem(&windows, &port, &first, BPF_ANY);
		return verdict(*limit == 0);
	}
	if (now - w->began >= SECOND) {
		w->began = now;
		w->count = 0;
	}
	return verdict(__sync_fetch_and_add(&w->count, 1) >= *limit);
}

SEC("xdp.frags")
int ratelimit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *l4; // the ports of TCP stand in the same place

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	if (ip->frag_off & bpf_htons(0x1fff))
		return XDP_PASS; // no first fragment: it has no ports
	l4 = (void *)ip + ip->ihl * 4;
	if ((void *)(l4 + 1) > end)
		return XDP_PASS;
	return limited(l4->dest);
}

char _license[] SEC("license") = "Dual BSD/GPL";
