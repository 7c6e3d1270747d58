#!/usr/bin/env bash
# Compiles one C file of BPF into the object beside it, without what only a
# debugger reads; of *.bare.c without types, as objects without BTF are.
set -euo pipefail
out=${1%.c}.o
types=-g
[ "$1" = "${1%.bare.c}" ] || types=
clang-14 -O2 $types -Wall -Werror -target bpf -mcpu=v2 -fdebug-prefix-map="$PWD=." \
	-I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu -c "$1" -o "$out"
llvm-strip-14 -g "$out"
