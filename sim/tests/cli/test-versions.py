# SPDX-License-Identifier: MIT
"""A million I/Os under each kernel version, nothing failing: all of them are done, nothing is found, and at the end nothing
is held. test-versions.py IOMMUSIM MAKE-TRACE"""
import json
import os
import re
import sys

from tap import Cases, Program, check, equal, read

program = Program(sys.argv[1])
make_trace = Program(sys.argv[2])
cases = Cases()

IOS = 1_000_000
SHAPE = f'ios={IOS}', 'remote=25'
# Sections of what is held. What stays of a domain that holds nothing is itself and the tables it keeps until it is freed.
HELD = 'held', 'mapping', 'reference'
trace = os.path.abspath('a-million.ftrace')


def versions():
    rows = json.loads(program.expect(0, 'behaviours', '--json').out)['behaviours']
    return [column['version'] for column in rows[0]['versions']]


def section(snapshot, name):
    found = re.search(rf'^\[{name}\]\n((?:[^\[].*\n)*)', snapshot, re.M)
    return [line for line in found[1].splitlines() if not line.startswith('digest ')] if found else []


def a_million(version, mode):
    if not os.path.exists(trace):
        make_trace.expect(0, trace, *SHAPE)
    result = program.expect(0, 'replay', '--json', '--mode=asap', '-o', 'out', '--set', f'kernel.version={version}', '--set',
                            f'iommu.mode={mode}', trace, timeout=None)
    done = json.loads(result.out)
    equal(done['replay']['ios'], IOS, 'I/Os')
    equal(done['replay']['errors'], 0, 'errors')
    equal(done['violation_count'], 0, 'violations')
    snapshot = read('out', 'teardown.snap')
    for name in HELD:
        equal(section(snapshot, name), [], f'what [{name}] has at teardown')


for name in versions():
    for mode in 'strict', 'lazy':
        cases.add(f'{name}/{mode}', a_million, name, mode)

cases.main()
