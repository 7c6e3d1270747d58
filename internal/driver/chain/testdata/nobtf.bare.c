//go:build ignore
// As objects were before BTF: map definitions in a section of their own, as long
// as iproute2 has them, and entries of the names that it knows.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct definition {
	__u32 type, key_size, value_size, max_entries, flags;
	__u32 id, pinning, inner_id, inner_idx;
};

struct definition refused SEC("maps") = {
	.type = BPF_MAP_TYPE_HASH, .key_size = 2, .value_size = 4, .max_entries = 16,
};

struct definition protocols SEC("maps") = {
	.type = BPF_MAP_TYPE_PERCPU_HASH, .key_size = 2, .value_size = 8, .max_entries = 64, .pinning = 2,
};

// look counts the EtherType of a frame and returns what is written for it; 0
// where nothing is.
static __always_inline __u32 look(void *data, void *end)
{
	struct ethhdr *eth = data;
	__u64 one = 1, *n;
	__u32 *code;
	__u16 key;

	if ((void *)(eth + 1) > end)
		return 0;
	key = eth->h_proto;
	n = bpf_map_lookup_elem(&protocols, &key);
	if (n)
		(*n)++;
	else
		bpf_map_update_elem(&protocols, &key, &one, BPF_ANY);
	code = bpf_map_lookup_elem(&refused, &key);
	return code ? *code : 0;
}

SEC("prog")
int filter(struct xdp_md *ctx) { return XDP_PASS; }

SEC("xdp/filter")
int bare_xdp(struct xdp_md *ctx)
{
	__u32 code = look((void *)(long)ctx->data, (void *)(long)ctx->data_end);

	return code ? code : XDP_PASS;
}

SEC("classifier/filter")
int bare_tc(struct __sk_buff *ctx)
{
	if (look((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
