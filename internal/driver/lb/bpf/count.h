// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#pragma once

#include "maps.h"

// ends counts why a packet ends here, and is its verdict.
static __always_inline int ends(enum reason why, int verdict)
{
	__u32 at = why;
	__u64 *n = bpf_map_lookup_elem(&lb_reasons, &at);

	if (n)
		(*n)++;
	return verdict;
}

// refused ends a packet that cannot be told apart; one of somebody else passes.
static __always_inline int refused(int why) { return ends(why, why == UNCLAIMED ? XDP_PASS : XDP_DROP); }

static __always_inline struct service_stats *stats_of_service(__u32 service)
{
	return bpf_map_lookup_elem(&lb_vip_stats, &service);
}

static __always_inline struct backend_stats *stats_of_backend(__u32 backend)
{
	return bpf_map_lookup_elem(&lb_be_stats, &backend);
}
