#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds with address and undefined-behaviour sanitizers, runs every test, and ends with the counts.
# Recordings beside the checkout (../shared) are tested as well, where they exist.
set -eu
cd "$(dirname "$0")"
.ci/install

build=build-test
if [ ! -e $build/build.ninja ]; then
	meson setup $build --buildtype=debugoptimized -Db_sanitize=address,undefined -Dwerror=true
fi
ninja -C $build
status=0
meson test -C $build --print-errorlogs --no-rebuild || status=$?

python3 - $build/meson-logs <<'EOF'
import json
import sys
import xml.etree.ElementTree as tree

logs = sys.argv[1]
cases = [case for suite in tree.parse(f'{logs}/testlog.junit.xml').getroot() for case in suite.iter('testcase')]
failed = sum(case.find('failure') is not None or case.find('error') is not None for case in cases)
skipped = sum(case.find('skipped') is not None for case in cases)
# A program that crashed has cases missing, not failed: it counts itself.
with open(f'{logs}/testlog.json') as log:
    broken = sum(json.loads(line)['result'] not in ('OK', 'SKIP') for line in log)
print(f'{len(cases) - failed - skipped} passed, {max(failed, broken)} failed, {skipped} skipped')
EOF
exit $status
