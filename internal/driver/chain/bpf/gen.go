// Package bpf holds the dispatchers of chains as the kernel runs them. The
// objects are committed, so that a build needs no clang.
//
// It owns the C and what bpf2go makes of it, and imports nothing of ours.
package bpf

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -cflags "-O2 -g -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu" XDP xdp.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -cflags "-O2 -g -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu" TC tc.c

// Objects of the examples and of tests, in this directory's terms.
//go:generate ./object.sh ../testdata/verdict.c
//go:generate ./object.sh ../testdata/nobtf.bare.c
//go:generate ./object.sh ../testdata/calls.c
//go:generate ./object.sh ../testdata/shared.c
//go:generate ./object.sh ../testdata/kinds.c
//go:generate ./object.sh ../testdata/relocated.c
//go:generate ./object.sh ../testdata/rewrite.c
//go:generate ./object.sh ../../../../test/bench/testdata/pass.c
//go:generate ./object.sh ../../../../test/bench/testdata/balancer.c
//go:generate ./object.sh ../../lb/plane/testdata/flows.c
//go:generate ./object.sh ../../../../examples/chains/count/count.bpf.c
//go:generate ./object.sh ../../../../examples/chains/droplist/droplist.bpf.c
//go:generate ./object.sh ../../../../examples/chains/ratelimit/ratelimit.bpf.c
