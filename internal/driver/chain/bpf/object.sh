#!/usr/bin/env bash
# Compiles one C file of BPF into the object beside it, without what only a
# debugger reads.
set -euo pipefail
out=${1%.c}.o
clang-14 -O2 -g -Wall -Werror -target bpf -mcpu=v2 -fdebug-prefix-map="$PWD=." \
	-I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu -c "$1" -o "$out"
llvm-strip-14 -g "$out"
