// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// All of them are made and pinned before the program is loaded, with as many
// entries as the capacities say: what stands here is the least.
#pragma once

#include "abi.h"

#define MAP(name, kind, k, v, f)                 \
	struct {                                 \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(max_entries, 1);          \
		__uint(map_flags, f);            \
		__type(key, k);                  \
		__type(value, v);                \
	} name SEC(".maps")

MAP(lb_plane, ARRAY, __u32, struct plane, BPF_F_MMAPABLE);
MAP(lb_rings, ARRAY, __u32, struct ring, BPF_F_MMAPABLE);
MAP(lb_flows, LRU_HASH, struct flow, struct flow_state, 0);
MAP(lb_vip_stats, PERCPU_ARRAY, __u32, struct service_stats, 0);
MAP(lb_be_stats, PERCPU_ARRAY, __u32, struct backend_stats, 0);
MAP(lb_reasons, PERCPU_ARRAY, enum reason, __u64, 0);

// Not the program's: from what each ring was built, and what things are called.
MAP(lb_weights, ARRAY, __u32, __u64, BPF_F_MMAPABLE); // a byte a backend
MAP(lb_vip_names, ARRAY, __u32, struct service_name, BPF_F_MMAPABLE);
MAP(lb_be_names, ARRAY, __u32, struct backend_name, BPF_F_MMAPABLE);
