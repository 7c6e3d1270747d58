#!/usr/bin/env bash
# Installs the Debian packages that something here needs beside Go, and calls
# apt only when a command is missing: deps.sh test, guest, play or generate.
set -euo pipefail

# command and the package that has it
case "${1:-test}" in
test) needs="ip:iproute2 git:git strace:strace gcc:gcc xdp-filter:xdp-tools bpftool:bpftool sysctl:procps ethtool:ethtool systemctl:systemd" ;;
guest) needs="ip:iproute2 git:git qemu-system-x86_64:qemu-system-x86 dpkg-deb:dpkg xz:xz-utils mkfs.ext4:e2fsprogs" ;;
play) needs="ip:iproute2 git:git" ;;
generate) needs="git:git clang-14:clang-14 llvm-strip-14:llvm-14" ;;
*) echo "deps: want test, guest, play or generate" >&2 && exit 64 ;;
esac

if ! command -v go >/dev/null; then
	echo "deps: no go: unpack Go 1.26 of https://go.dev/dl/ to /usr/local/go, or put yours into PATH" >&2
	exit 1
fi
missing=()
for need in $needs; do
	PATH="$PATH:/usr/sbin:/sbin" command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
# gcc without the C library's headers cannot build the race detector's runtime
[ "${1:-test}" != test ] || [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
if [ "${1:-test}" = generate ]; then
	[ -e /usr/include/bpf/bpf_helpers.h ] || missing+=(libbpf-dev)
	[ -e /usr/include/linux/bpf.h ] || missing+=(linux-libc-dev)
fi
[ -d /etc/ssl/certs ] || missing+=(ca-certificates)
[ "${#missing[@]}" -gt 0 ] || exit 0

echo "installing ${missing[*]}" >&2
if ! command -v apt-get >/dev/null; then
	echo "deps: this is no Debian; install what holds: ${missing[*]}" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
	if ! command -v sudo >/dev/null; then
		echo "deps: no root and no sudo; as root: apt-get install ${missing[*]}" >&2
		exit 1
	fi
fi
export DEBIAN_FRONTEND=noninteractive
for try in 1 2 3; do
	if $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
		exit 0
	fi
	echo "deps: apt failed, try $try of 3" >&2
	sleep $((try * 5))
done
exit 1
