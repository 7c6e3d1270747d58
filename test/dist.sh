#!/usr/bin/env bash
# Builds twice, the second time from a copy of the tree elsewhere, and wants the
# same bytes; then has the artifact cache unpack what upgrades will.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/elsewhere"
git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -C "$tmp/elsewhere" -xf -
go run ./test/dist -version v0.0.1 -stamp 1 -out "$tmp/one" >/dev/null
(cd "$tmp/elsewhere" && go run ./test/dist -version v0.0.1 -stamp 1 -out "$tmp/two" >/dev/null)
diff -r "$tmp/one" "$tmp/two"
(cd "$tmp/one" && sha256sum --quiet -c ./*.sha256)
[ "$(tar -xOf "$tmp/one/reconciler-$(go env GOARCH).tar.gz" reconciler >"$tmp/reconciler" && chmod +x "$tmp/reconciler" && "$tmp/reconciler" version | grep -c v0.0.1)" -ge 1 ]
echo "two builds are equal: $(cat "$tmp"/one/*.sha256 | wc -l) archives"
