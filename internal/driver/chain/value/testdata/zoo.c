// The types that maps have. Build it anew with
//
//	clang -g -O2 -target bpf -fdebug-prefix-map="$PWD"=. -c zoo.c -o zoo.o && llvm-strip -g zoo.o
//
// It stands on no header, so that it compiles the same anywhere.

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define MAP(name, id, k, v) \
	struct { \
		int (*type)[id]; \
		int (*max_entries)[16]; \
		k *key; \
		v *value; \
	} name SEC(".maps")

enum action { ACTION_PASS, ACTION_DROP, ACTION_LOG = 7 };
enum verdict { VERDICT_BAD = -1, VERDICT_GOOD = 1 };

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be16 u6_addr16[8];
		__be32 u6_addr32[4];
	} in6_u;
};

struct in_addr {
	__be32 s_addr;
};

struct bpf_spin_lock {
	__u32 val;
};

struct flow {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u8 proto;
};

struct zoo {
	struct bpf_spin_lock lock;
	__u8 small;
	__s8 cold;
	bool on;
	char name[16];
	__u8 mac[6];
	__u64 count;
	__s64 debt;
	const volatile __u32 limit;
	enum action action;
	enum verdict verdict;
	struct in_addr gateway;
	struct in6_addr gateway6;
	union {
		__be32 v4;
		__u8 v6[16];
	};
	union {
		__u32 number;
		__u16 halves[2];
	} either;
	struct {
		__u16 low;
		__u16 high;
	} ports[3];
	__u32 flag : 1, level : 3, : 4, rest : 24;
	__u32 matrix[2][3];
	void *pointer;
	struct flow flow;
};

struct lpm4 {
	__u32 prefixlen;
	__be32 addr;
};

struct lpm6 {
	__u32 prefixlen;
	struct in6_addr addr;
};

struct lpm46 {
	__u32 prefixlen;
	union {
		__be32 v4;
		__u8 v6[16];
	};
};

struct lpmlong {
	__u32 prefixlen;
	__u32 ifindex;
	__be32 addr;
};

struct rule {
	enum action action;
	__u64 since;
};

MAP(zoo, 1, __u32, struct zoo);
MAP(flows, 1, struct flow, __u64);
MAP(ports, 1, __be16, bool);
MAP(allowed, 11, struct lpm4, struct rule);
MAP(allowed6, 11, struct lpm6, struct rule);
MAP(allowed46, 11, struct lpm46, struct rule);
MAP(allowedlong, 11, struct lpmlong, struct rule);

const volatile __u32 sample_rate SEC(".rodata") = 1;
const volatile char device[16] SEC(".rodata") = "";

SEC("xdp") int pass(void *context)
{
	return sample_rate + device[0];
}

char _license[] SEC("license") = "GPL";
