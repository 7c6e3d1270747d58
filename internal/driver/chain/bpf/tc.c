//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The dispatcher of a chain on TC, ingress or egress.
#define CTX struct __sk_buff
#define EMPTY -1 /* TC_ACT_UNSPEC, TCX_NEXT */
#define BIAS 1	 /* codes begin at -1 */

#include "bypass.h"
#include "slots.h"

SEC("tc")
int dispatch_tc(struct __sk_buff *ctx)
{
	int code = EMPTY;

	if (bypasses(&state, (void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return EMPTY;
	RUN_ALL
	return code;
}

char _license[] SEC("license") = "Dual BSD/GPL";
