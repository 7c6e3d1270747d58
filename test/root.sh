#!/usr/bin/env bash
# Fails with a clear message where what makes network namespaces cannot become
# root.
set -euo pipefail
[ "$(id -u)" != 0 ] || exit 0
if [ "${CI:-}" = true ]; then
	echo "network namespaces need root; CI must run this as root, nothing is skipped" >&2
	exit 1
fi
if ! command -v sudo >/dev/null; then
	echo "network namespaces need root, and there is no sudo: run this as root" >&2
	exit 1
fi
sudo -v
