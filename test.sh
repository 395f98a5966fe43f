#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds with address and undefined-behaviour sanitizers and runs every test, but of what is tried by the thousand a sample;
# builds for release and runs all of that, and what only holds there; ends with the counts. Recordings beside the checkout
# (../shared) are tested as well, where they exist.
#	--browser: tests the report in Chromium, too; screenshots stay in build/screenshots
#	--package: builds the Debian packages, checks them, and uses them in a clean root instead
set -eu
cd "$(dirname "$0")"
browser=
case ${1-} in
--package) exec .ci/package ;;
--browser) browser=browser ;;
?*)
	echo "test.sh: $1? Without anything it runs the tests; --browser and --package are more." >&2
	exit 2
	;;
esac
# Whoever has a Node.js of another origin has an npm with it.
node=
{ command -v node && command -v npm; } >/dev/null || node="nodejs npm"
# shellcheck disable=SC2086 # a list of words
.ci/install ${browser:+chromium fonts-dejavu-core $node}

if [ ! -e build-test/build.ninja ]; then
	# Made to be compiled fast: lines are all that the sanitizers' stacks need.
	meson setup build-test -Doptimization=1 -Dc_args=-g1 -Db_sanitize=address,undefined -Dwerror=true -Dsample=7
fi
if [ ! -e build/build.ninja ]; then
	meson setup build -Dwerror=true # it sees more with its optimization
fi
if [ -n "$browser" ]; then
	mkdir -p build/browser
	cp sim/tests/browser/package.json sim/tests/browser/package-lock.json build/browser
	npm ci --prefix build/browser --no-audit --no-fund --loglevel=error
	meson setup --reconfigure build -Dbrowser="$PWD/build/browser" >/dev/null
fi
ninja -C build-test
ninja -C build
status=0
# Undefined behaviour fails a test, too.
export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
meson test -C build-test --print-errorlogs --no-rebuild --no-suite docs || status=$?
# All of what was a sample; the commands of the documentation; and what cannot be with sanitizers: their own memory would
# be what is measured, millions of I/Os would take long, and programs without them cannot use a library with them.
MUTATIONS=1 meson test -C build --print-errorlogs --no-rebuild --suite release || status=$?

python3 - build-test/meson-logs build/meson-logs <<'EOF'
import json
import sys
import xml.etree.ElementTree as tree

passed = failed = skipped = 0
for logs in sys.argv[1:]:
    cases = [case for suite in tree.parse(f'{logs}/testlog.junit.xml').getroot() for case in suite.iter('testcase')]
    bad = sum(case.find('failure') is not None or case.find('error') is not None for case in cases)
    left = sum(case.find('skipped') is not None for case in cases)
    # A program that crashed has cases missing, not failed: it counts itself.
    with open(f'{logs}/testlog.json') as log:
        broken = sum(json.loads(line)['result'] not in ('OK', 'SKIP') for line in log)
    passed, failed, skipped = passed + len(cases) - bad - left, failed + max(bad, broken), skipped + left
print(f'{passed} passed, {failed} failed, {skipped} skipped')
EOF
exit $status
