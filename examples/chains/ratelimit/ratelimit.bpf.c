//go:build ignore
// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Limits packets a second to ports of this host: a fixed window a port, on all
// CPUs together. Ports that are not on the list are not limited, and neither is
// a frame with a VLAN tag in it.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SECOND 1000000000LL // of nanoseconds; has a sign

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
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct window);
} windows SEC(".maps"); // by port; an array evicts none

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
	__u32 *limit = bpf_map_lookup_elem(&limits, &port), index = bpf_ntohs(port);
	__u64 now, began;
	struct window *w;

	if (!limit)
		return XDP_PASS;
	w = bpf_map_lookup_elem(&windows, &index);
	if (!w)
		return XDP_PASS;
	now = bpf_ktime_get_ns();
	began = w->began;
	// Another CPU may have begun a window after now: the difference has a
	// sign. One CPU alone begins the next.
	if ((__s64)(now - began) >= SECOND && __sync_val_compare_and_swap(&w->began, began, now) == began)
		w->count = 0;
	return verdict(__sync_fetch_and_add(&w->count, 1) >= *limit);
}

// ports4 is where the ports of TCP or UDP stand; NULL where there are none.
static __always_inline struct udphdr *ports4(struct iphdr *ip, void *end)
{
	if ((void *)(ip + 1) > end || (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP))
		return NULL;
	if (ip->frag_off & bpf_htons(0x1fff))
		return NULL; // no first fragment
	return (void *)ip + ip->ihl * 4;
}

// ports6 knows no extension headers.
static __always_inline struct udphdr *ports6(struct ipv6hdr *ip, void *end)
{
	if ((void *)(ip + 1) > end || (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP))
		return NULL;
	return (void *)(ip + 1);
}

SEC("xdp.frags")
int ratelimit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct udphdr *ports = NULL;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		ports = ports4((void *)(eth + 1), end);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		ports = ports6((void *)(eth + 1), end);
	if (!ports || (void *)(ports + 1) > end)
		return XDP_PASS;
	return limited(ports->dest);
}

char _license[] SEC("license") = "Dual BSD/GPL";
