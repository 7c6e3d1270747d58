//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The dispatcher of a chain on XDP.
#define CTX struct xdp_md
#define EMPTY XDP_PASS
#define BIAS 0

#include "bypass.h"
#include "slots.h"

SEC("xdp")
int dispatch_xdp(struct xdp_md *ctx)
{
	int code = XDP_PASS;

	if (bypasses(&state, (void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return XDP_PASS;
	RUN_ALL
	return code;
}

char _license[] SEC("license") = "Dual BSD/GPL";
