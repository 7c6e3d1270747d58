//go:build ignore
// Sends many flows through a program in one test run, and notes where each of
// them went: each run of a packet finds the one before as its program left it.
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SIZE 64
#define FLOWS (1 << 20)

const volatile __u64 frame[SIZE / 8] = {};
const volatile __u32 first = 0; // flow, and how many there are, a power of two less one
const volatile __u32 mask = 0;

__u16 owners[FLOWS]; // the last bytes of the destination, by flow
__u32 count;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} subject SEC(".maps");

SEC("xdp")
int each(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	__u64 *to = data;
	__u32 n = count++, last = (first + ((n - 1) & mask)) & (FLOWS - 1);

	if (data + SIZE > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (n)
		owners[last] = bpf_ntohs(*(__u16 *)(data + 4));
#pragma unroll
	for (int i = 0; i < SIZE / 8; i++)
		to[i] = frame[i];
	n = first + (n & mask);
	*(__u32 *)(data + 26) = bpf_htonl(0x0a000000 | n >> 8); // an IPv4 source, and its port
	*(__u16 *)(data + 34) = bpf_htons(1024 + (n & 0xff));
	bpf_tail_call_static(ctx, &subject, 0);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
