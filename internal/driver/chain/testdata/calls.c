//go:build ignore
// Goes on in programs of its own, by a verdict for each kind of frame, and
// counts how deep it can.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

int on_ip(struct xdp_md *ctx);
int on_arp(struct xdp_md *ctx);
int on_udp(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__array(values, int(struct xdp_md *));
} stages SEC(".maps") = {.values = {[1] = (void *)&on_ip, [2] = (void *)&on_arp, [5] = (void *)&on_udp}};

static __noinline __u16 protocol(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return 0;
	return bpf_ntohs(eth->h_proto);
}

SEC("xdp")
int enter(struct xdp_md *ctx)
{
	switch (protocol(ctx)) {
	case ETH_P_IP:
		bpf_tail_call(ctx, &stages, 1);
		return XDP_ABORTED;
	case ETH_P_ARP:
		bpf_tail_call(ctx, &stages, 2);
		return XDP_ABORTED;
	case ETH_P_8021Q:
		bpf_tail_call(ctx, &stages, 7); // nothing is there
		return XDP_DROP;
	}
	return XDP_PASS;
}

SEC("xdp")
int on_ip(struct xdp_md *ctx)
{
	struct iphdr *ip = (void *)(long)ctx->data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	if (ip->protocol == 17)
		bpf_tail_call(ctx, &stages, 5);
	return XDP_PASS;
}

SEC("xdp")
int on_arp(struct xdp_md *ctx) { return XDP_TX; }

SEC("xdp")
int on_udp(struct xdp_md *ctx) { return protocol(ctx) == ETH_P_IP ? XDP_DROP : XDP_ABORTED; }

int again(struct __sk_buff *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, int(struct __sk_buff *));
} self SEC(".maps") = {.values = {[0] = (void *)&again}};

const volatile __u32 depth = 8;

SEC("tc")
int start(struct __sk_buff *ctx)
{
	ctx->cb[0] = 0;
	bpf_tail_call(ctx, &self, 0);
	return TC_ACT_SHOT;
}

SEC("tc")
int again(struct __sk_buff *ctx)
{
	if (++ctx->cb[0] < depth) {
		bpf_tail_call(ctx, &self, 0);
		return TC_ACT_SHOT;
	}
	ctx->mark = ctx->cb[0];
	return TC_ACT_STOLEN;
}

char _license[] SEC("license") = "GPL";
