//go:build ignore
// Built for many kernels: relocations by the kernel's own types, its version,
// functions that are verified one by one, and entries for other hooks.
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct net_device___here {
	int ifindex;
	int there_is_no_such_field;
} __attribute__((preserve_access_index));

struct iphdr___here {
	__u8 ttl;
	__u8 protocol;
} __attribute__((preserve_access_index));

extern int LINUX_KERNEL_VERSION __kconfig;
extern void there_is_no_such_function(void) __ksym __weak;

// at reads a byte of a frame, which the verifier knows nothing of.
__noinline int at(struct xdp_md *ctx, __u32 offset)
{
	__u8 byte = 0;

	if (offset > 256 || bpf_xdp_load_bytes(ctx, offset, &byte, sizeof(byte)))
		return -1;
	return byte;
}

SEC("xdp")
int portable(struct xdp_md *ctx)
{
	int protocol = bpf_core_field_offset(struct iphdr___here, protocol);

	if (LINUX_KERNEL_VERSION < 0x50000 || bpf_core_field_exists(struct net_device___here, there_is_no_such_field))
		return XDP_ABORTED;
	if (!bpf_core_field_exists(struct net_device___here, ifindex) || there_is_no_such_function)
		return XDP_ABORTED;
	return at(ctx, sizeof(struct ethhdr) + protocol) == 17 ? XDP_TX : XDP_PASS;
}

SEC("xdp/devmap")
int on_the_way_out(struct xdp_md *ctx) { return ctx->egress_ifindex ? XDP_PASS : XDP_DROP; }

SEC("xdp/cpumap")
int on_another_cpu(struct xdp_md *ctx) { return XDP_PASS; }

SEC("iter/bpf_map")
int walk(void *ctx) { return 0; }

SEC("fentry/there_is_no_such_function")
int trace(void *ctx) { return 0; }

SEC("kprobe/there_is_no_such_function")
int probe(struct pt_regs *ctx) { return 0; }

char _license[] SEC("license") = "GPL";
