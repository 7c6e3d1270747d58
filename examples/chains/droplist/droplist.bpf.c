//go:build ignore
// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Drops what comes from a prefix on a list, unless another list lets it
// through. The lists of the blocked are for an external writer. A frame with a
// VLAN tag in it passes.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct key4 {
	__u32 prefixlen;
	__be32 addr;
};

struct key6 {
	__u32 prefixlen;
	__u8 addr[16];
};

struct entry {
	__u32 action; // of the blocked: 0 passes, 1 drops
	__u32 since;  // seconds since 1970; for people
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key4);
	__type(value, struct entry);
} blocked SEC(".maps"), allowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key6);
	__type(value, struct entry);
} blocked6 SEC(".maps"), allowed6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} dropped SEC(".maps");

static __always_inline int drop(void)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&dropped, &zero);

	if (n)
		(*n)++;
	return XDP_DROP;
}

SEC("xdp.frags")
int droplist(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct entry *e;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);
		struct key4 key = {.prefixlen = 32};

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		key.addr = ip->saddr;
		if (bpf_map_lookup_elem(&allowed, &key))
			return XDP_PASS;
		e = bpf_map_lookup_elem(&blocked, &key);
		return e && e->action ? drop() : XDP_PASS;
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(eth + 1);
		struct key6 key = {.prefixlen = 128};

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		__builtin_memcpy(key.addr, &ip->saddr, sizeof(key.addr));
		if (bpf_map_lookup_elem(&allowed6, &key))
			return XDP_PASS;
		e = bpf_map_lookup_elem(&blocked6, &key);
		return e && e->action ? drop() : XDP_PASS;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
