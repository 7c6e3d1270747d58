//go:build ignore
// What the load balancer is measured with: a wrapper that makes each packet of
// a test run a fresh one, of one of many flows; and floors, that do the least.
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SIZE 128
#define WORDS 12 // that are put back: all headers
#define FIRST 6	 // where they begin: so, no header's field lies in two of them

const volatile __u64 frame[WORDS] = {};
const volatile __u32 address_word = 0, address_shift = 0; // where a source's last bytes are
const volatile __u32 port_word = 0, port_shift = 0;
const volatile __u32 mask = 0; // flows, less one
const volatile bool twice = false; // grow and shrink once more: what a restored frame costs
const volatile bool alone = false; // end here: what is not the subject's

static __u32 count;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} subject SEC(".maps");

// fresh puts the frame back as it was, with the source of the next flow. Each
// field is stored as a part of one word, or who reads it would have to wait, as
// for no packet that came over a wire.
SEC("xdp")
int fresh(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	long grown = end - data - SIZE;
	__u32 n = 0;

	if (twice && (bpf_xdp_adjust_head(ctx, -20) || bpf_xdp_adjust_head(ctx, 20)))
		return XDP_ABORTED;
	if (grown && bpf_xdp_adjust_head(ctx, grown))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + SIZE > end)
		return XDP_ABORTED;
	if (mask)
		n = count++ * 0x9e3779b1 & mask;
	*(__u32 *)data = 0x02000000;
	*(__u16 *)(data + 4) = 0x0200;
#pragma unroll
	for (__u32 i = 0; i < WORDS; i++) {
		__u64 word = frame[i];

		if (mask && i == address_word)
			word |= (__u64)bpf_htonl(n >> 8) << address_shift;
		if (mask && i == port_word)
			word |= (__u64)bpf_htons(1024 + (n & 0xff)) << port_shift;
		*(__u64 *)(data + FIRST + 8 * i) = word;
	}
	if (alone)
		return XDP_PASS;
	bpf_tail_call_static(ctx, &subject, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int nothing(struct xdp_md *ctx) { return XDP_PASS; }

// Where a bare tunnel leads, out of the compiler's sight.
const volatile __u64 ether[2] = {};
const volatile __u32 outer[10] = {};
const volatile __u32 sum = 0;

// encap4 puts an outer header before IPv4, and knows all but its length.
SEC("xdp")
int encap4(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u16 length;
	__u32 check;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	length = bpf_htons(bpf_ntohs(ip->tot_len) + sizeof(*ip));
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	ip = data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	((__u64 *)data)[0] = ether[0];
	*(__u32 *)(data + 8) = ether[1];
	*(__u16 *)(data + 12) = bpf_htons(ETH_P_IP);
	check = sum + length;
	check = (check & 0xffff) + (check >> 16);
	*(__u32 *)ip = 0x45 | (__u32)length << 16;
	((__u32 *)ip)[1] = outer[1];
	*(__u32 *)&ip->ttl = (outer[2] & 0xffff) | (__u32)(__u16)~check << 16;
	ip->saddr = outer[3];
	ip->daddr = outer[4];
	return XDP_TX;
}

// encap6 puts IPv6 before what is there.
SEC("xdp")
int encap6(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip;
	__u32 *words;
	__u16 length;

	if (data + sizeof(struct ethhdr) + sizeof(*ip) > end)
		return XDP_DROP;
	length = *(__u16 *)(data + sizeof(struct ethhdr) + 4);
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	ip = data + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	((__u64 *)data)[0] = ether[0];
	*(__u32 *)(data + 8) = ether[1];
	*(__u16 *)(data + 12) = bpf_htons(ETH_P_IPV6);
	words = (__u32 *)ip;
	words[0] = outer[0];
	words[1] = (outer[1] & 0xffff0000) | length;
#pragma unroll
	for (int i = 2; i < 10; i++)
		words[i] = outer[i];
	return XDP_TX;
}

// parse4 reads as far as a packet's destination, and passes it.
static __always_inline void *network(struct xdp_md *ctx, __u16 *proto)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	data = eth + 1;
	if (data > end)
		return NULL;
	*proto = eth->h_proto;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (*proto != bpf_htons(ETH_P_8021Q) && *proto != bpf_htons(ETH_P_8021AD))
			return data;
		if (data + 4 > end)
			return NULL;
		*proto = ((__u16 *)data)[1];
		data += 4;
	}
	return data;
}

// parse reads as far as a packet's destination, and passes it.
SEC("xdp")
int parse(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	__u16 proto = 0;
	void *l3 = network(ctx, &proto);

	if (!l3)
		return XDP_PASS;
	if (proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = l3;

		if ((void *)(ip + 1) <= end && ip->daddr == outer[4])
			return XDP_DROP;
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = l3;

		if ((void *)(ip + 1) <= end && ip->daddr.s6_addr32[0] == outer[6] && ip->daddr.s6_addr32[1] == outer[7] &&
		    ip->daddr.s6_addr32[2] == outer[8] && ip->daddr.s6_addr32[3] == outer[9])
			return XDP_DROP;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
