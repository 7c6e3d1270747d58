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

static __always_inline struct service_stats *stats_of_service(__u32 service)
{
	return bpf_map_lookup_elem(&lb_vip_stats, &service);
}

static __always_inline struct backend_stats *stats_of_backend(__u32 backend)
{
	return bpf_map_lookup_elem(&lb_be_stats, &backend);
}
