#!/usr/bin/env bash
# Fails with a clear message where tests of the kernel cannot become root.
set -euo pipefail
[ "$(id -u)" != 0 ] || exit 0
if [ "${CI:-}" = true ]; then
	echo "tests make network namespaces and need root; CI must run them as root, they are not skipped" >&2
	exit 1
fi
if ! command -v sudo >/dev/null; then
	echo "tests make network namespaces and need root: run this as root" >&2
	exit 1
fi
sudo -v
