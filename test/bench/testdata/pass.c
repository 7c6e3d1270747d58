//go:build ignore
// The least that a program of a chain can be; one that a constant tells from
// others; and one with a table.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

const volatile __u32 number = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, __u64);
} table SEC(".maps");

SEC("xdp")
int pass_xdp(struct xdp_md *ctx) { return XDP_PASS; }

SEC("tc")
int pass_tc(struct __sk_buff *ctx) { return TC_ACT_UNSPEC; }

SEC("xdp")
int numbered_xdp(struct xdp_md *ctx) { return number == -1U ? XDP_DROP : XDP_PASS; }

SEC("tc")
int numbered_tc(struct __sk_buff *ctx) { return number == -1U ? TC_ACT_SHOT : TC_ACT_UNSPEC; }

SEC("xdp")
int table_xdp(struct xdp_md *ctx)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&table, &zero) ? XDP_PASS : XDP_DROP;
}

// What calls cost that do nothing: the least for any way of having a program's
// return code come back.
#define CALLED(n)                                                     \
	static __attribute__((noinline)) int called##n(void *ctx)        \
	{                                                             \
		int code = XDP_PASS;                                  \
                                                                      \
		asm volatile("" : "+r"(code) : "r"(ctx));             \
		return code;                                          \
	}

CALLED(0) CALLED(1) CALLED(2) CALLED(3) CALLED(4) CALLED(5) CALLED(6) CALLED(7)
CALLED(8) CALLED(9) CALLED(10) CALLED(11) CALLED(12) CALLED(13) CALLED(14) CALLED(15)

#define CALL(n)                         \
	if (called##n(ctx) != XDP_PASS) \
		return 0;

#define CALLS                                                                   \
	CALL(0) CALL(1) CALL(2) CALL(3) CALL(4) CALL(5) CALL(6) CALL(7)         \
	CALL(8) CALL(9) CALL(10) CALL(11) CALL(12) CALL(13) CALL(14) CALL(15)

SEC("xdp")
int calls_xdp(struct xdp_md *ctx)
{
	CALLS
	return XDP_PASS;
}

SEC("tc")
int calls_tc(struct __sk_buff *ctx)
{
	CALLS
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
