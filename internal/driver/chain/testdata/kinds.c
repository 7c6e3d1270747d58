//go:build ignore
// Asks a map of nearly every type there is, and answers by what they hold.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} tables SEC(".maps") = {.values = {[0] = &first, [2] = &second}};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, __u64);
} talkers SEC(".maps");

struct key {
	__u32 bits;
	__be32 addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, __u32);
} prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct {
		struct bpf_spin_lock lock;
		__u32 frames;
	});
} locked SEC(".maps");

__u64 total;		// .bss
__u32 generation = 7;	// .data

static __always_inline void count(struct xdp_md *ctx, __u32 addr)
{
	__u64 one = 1, *n = bpf_map_lookup_elem(&talkers, &addr);
	__u32 zero = 0;
	typeof(*(locked.value)) *l = bpf_map_lookup_elem(&locked, &zero);

	if (n)
		(*n)++;
	else
		bpf_map_update_elem(&talkers, &addr, &one, BPF_ANY);
	if (l) {
		bpf_spin_lock(&l->lock);
		l->frames += generation;
		bpf_spin_unlock(&l->lock);
	}
	__sync_fetch_and_add(&total, 1);
	bpf_ringbuf_output(&events, &addr, sizeof(addr), 0);
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &addr, sizeof(addr));
}

SEC("xdp")
int ask(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct key key = {32};
	__u32 *code, at, protocol;
	void *table;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	count(ctx, ip->saddr);
	key.addr = ip->saddr;
	code = bpf_map_lookup_elem(&prefixes, &key);
	if (code)
		return *code;
	protocol = ip->protocol;
	at = protocol == 1 ? 2 : 0;
	table = bpf_map_lookup_elem(&tables, &at);
	code = table ? bpf_map_lookup_elem(table, &protocol) : 0;
	if (code)
		return *code;
	return bpf_redirect_map(&ports, 0, XDP_PASS);
}

char _license[] SEC("license") = "GPL";
