#!/usr/bin/env bash
# Runs every fuzz target of the module for a while: fuzz.sh 30s
# Each input that reaches new code is minimised, by default for up to a minute
# in which no other is tried; a hundred attempts are enough to keep one short.
set -euo pipefail
for_each=${1:-30s}
count=0
for package in $(git grep -l '^func Fuzz' -- '*_test.go' | xargs -r dirname | sort -u); do
	listed=$(go test -list '^Fuzz' "./$package") # fails where the package does not build
	for target in $(grep '^Fuzz' <<<"$listed"); do
		echo "== $package $target, $for_each"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$for_each" -fuzzminimizetime 100x "./$package"
		count=$((count + 1))
	done
done
if [ "$count" = 0 ]; then
	echo "fuzz: no target found" >&2
	exit 1
fi
echo "fuzz: $count targets, $for_each each"
