#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the program and shows what it does: a recording of a real kernel replayed, then with a fault in the middle,
# under the old and the repaired kernel, and what is left behind each time.
set -eu
cd "$(dirname "$0")"
.ci/install

if [ ! -e build/build.ninja ]; then
	meson setup build >/dev/null
fi
ninja -C build sim/cmd/iommusim >/dev/null

sim=build/sim/cmd/iommusim
trace=fixtures/traces/v7.0-strict-ext4.trace.txt.zst
out=build/demo

# Runs "$@", shows it, and insists on the exit code $1.
expect() {
	want=$1
	shift
	printf '\n$ %s\n' "$*"
	code=0
	"$@" || code=$?
	printf '(exit %s)\n' "$code"
	if [ "$code" != "$want" ]; then
		echo "demo: exit $want was expected" >&2
		exit 1
	fi
}

# The same, with only the lines of the summary that tell what was found.
found() {
	want=$1
	shift
	printf '\n$ %s\n' "$*"
	code=0
	"$@" >$out/summary || code=$?
	sed -n '/^fault rules/,$p' $out/summary
	printf '(exit %s)\n' "$code"
	if [ "$code" != "$want" ]; then
		echo "demo: exit $want was expected" >&2
		exit 1
	fi
}

mkdir -p $out
echo "1. A recording of Linux 7.0 (ext4 on NVMe behind a VT-d IOMMU), replayed:"
expect 0 $sim replay $trace -o $out/clean

echo
echo "2. dma_iova_link() fails in the middle of a request, before the repair of the block mapper:"
found 1 $sim replay $trace -o $out/link-old -f fixtures/faults/link-midway.ini --set behaviour.blkdma-rollback=old

echo
echo "3. The same fault, repaired:"
found 0 $sim replay $trace -o $out/link-fixed -f fixtures/faults/link-midway.ini --set behaviour.blkdma-rollback=fixed
expect 0 $sim diff $out/clean/teardown.snap $out/link-fixed/teardown.snap

echo
echo "4. dma_iova_sync() fails, before the repair: IOVA and mappings stay, and the diff names whose they are:"
found 1 $sim replay $trace -o $out/sync-old -f fixtures/faults/sync.ini --set behaviour.blkdma-rollback=old
expect 1 $sim diff $out/clean/teardown.snap $out/sync-old/teardown.snap

echo
echo "5. The same fault, repaired: nothing is left:"
found 0 $sim replay $trace -o $out/sync-fixed -f fixtures/faults/sync.ini --set behaviour.blkdma-rollback=fixed
expect 0 $sim diff $out/clean/teardown.snap $out/sync-fixed/teardown.snap

rm -f $out/summary
echo
echo "The files of these runs are in $out: run.json, machine.ini, timeline.csv, end.snap and teardown.snap of each."
