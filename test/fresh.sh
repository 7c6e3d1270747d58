#!/usr/bin/env bash
# Writes generated files anew and fails when that changes anything.
set -euo pipefail
digest() { git ls-files -coz --exclude-standard | sort -z | xargs -0 sha256sum; }
before=$(digest)
go generate ./...
if ! changed=$(diff <(echo "$before") <(digest)); then
	echo "generated files are stale; run make generate and commit:" >&2
	echo "$changed" | sed -n 's/^> [0-9a-f]*  /  /p' >&2
	exit 1
fi
