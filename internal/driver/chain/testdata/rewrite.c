//go:build ignore
// Changes frames: encapsulates, cuts, marks, and reads those of many buffers.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Puts four bytes in front of the EtherType and sends the frame back.
SEC("xdp")
int push(struct xdp_md *ctx)
{
	unsigned char *from, *to;

	if (bpf_xdp_adjust_head(ctx, -4))
		return XDP_ABORTED;
	to = (void *)(long)ctx->data;
	from = to + 4;
	if (to + 18 > (unsigned char *)(long)ctx->data_end)
		return XDP_DROP;
	for (int i = 0; i < 12; i++)
		to[i] = from[i];
	to[12] = 0x88;
	to[13] = 0xa8;
	to[14] = 0;
	to[15] = 7;
	return to[16] == 0x86 ? XDP_PASS : XDP_TX;
}

// Sums the bytes at both ends of a frame and cuts long ones.
SEC("xdp.frags")
int both_ends(struct xdp_md *ctx)
{
	__u64 size = bpf_xdp_get_buff_len(ctx);
	__u8 head[16], tail[16];
	__u32 sum = 0;

	if (size < 60 || size > 65535)
		return XDP_DROP;
	if (bpf_xdp_load_bytes(ctx, 0, head, sizeof(head)) || bpf_xdp_load_bytes(ctx, size - sizeof(tail), tail, sizeof(tail)))
		return XDP_ABORTED;
	for (int i = 0; i < 16; i++)
		sum += head[i] + tail[i];
	head[5] = sum;
	if (bpf_xdp_store_bytes(ctx, 0, head, sizeof(head)))
		return XDP_ABORTED;
	if (size > 6000 && bpf_xdp_adjust_tail(ctx, -100))
		return XDP_ABORTED;
	return sum & 1 ? XDP_PASS : XDP_TX;
}

// Marks what it tags, and drops what is too short for it.
SEC("classifier")
int tag(struct __sk_buff *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return TC_ACT_SHOT;
	ctx->mark = bpf_ntohs(eth->h_proto);
	ctx->priority = ctx->len & 7;
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return bpf_skb_vlan_push(ctx, bpf_htons(ETH_P_8021Q), 7) ? TC_ACT_SHOT : TC_ACT_OK;
	case bpf_htons(ETH_P_IPV6):
		return bpf_skb_change_tail(ctx, 60, 0) ? TC_ACT_SHOT : TC_ACT_PIPE;
	case bpf_htons(ETH_P_ARP):
		return TC_ACT_STOLEN;
	}
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
