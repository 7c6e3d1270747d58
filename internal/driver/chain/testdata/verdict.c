//go:build ignore
// Counts what it sees, and returns what a constant says: XDP, XDP with frags,
// TC; and entries that nobody asked for and no kernel would load.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} settings_of_the_program SEC(".maps");

const volatile __s32 verdict = 2;

static __always_inline int count(void)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&seen, &zero);

	if (n)
		(*n)++;
	bpf_map_lookup_elem(&settings_of_the_program, &zero);
	return verdict;
}

SEC("xdp")
int plain(struct xdp_md *ctx) { return count(); }

SEC("xdp.frags")
int frags(struct xdp_md *ctx) { return count(); }

SEC("tc")
int traffic(struct __sk_buff *ctx) { return count(); }

SEC("kprobe/there_is_no_such_function")
int unused(void *ctx) { return 0; }

SEC("xdp")
int refused(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	return data[0]; // beyond what was checked
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, int(struct xdp_md *));
} calls SEC(".maps") = {.values = {[0] = (void *)&plain}};

SEC("xdp")
int calling(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &calls, 0);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
