// Package bpf holds the load balancer as the kernel runs it. The object is
// committed, so that a build needs no clang.
//
// It owns the C and what bpf2go makes of it, and imports nothing of ours.
package bpf

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -type reason -type address -type service -type backend -type table -cflags "-O2 -g -Wall -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu" LB lb.c
