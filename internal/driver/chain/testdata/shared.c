//go:build ignore
// Two halves of one tool, which know each other by a map that both pin by its
// name: one learns what comes, the other drops what came once too often.
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u16);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} frames SEC(".maps");

static __always_inline __u32 *seen(struct xdp_md *ctx, __u16 *key)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return 0;
	*key = eth->h_proto;
	return bpf_map_lookup_elem(&frames, key);
}

SEC("xdp")
int learn(struct xdp_md *ctx)
{
	__u32 one = 1;
	__u16 key = 0;
	__u32 *n = seen(ctx, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&frames, &key, &one, BPF_ANY);
	return XDP_PASS;
}

SEC("xdp")
int limit(struct xdp_md *ctx)
{
	__u16 key = 0;
	__u32 *n = seen(ctx, &key);

	return n && *n > 2 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
