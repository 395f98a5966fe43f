# SPDX-License-Identifier: MIT
"""Damaged traces given to the whole program: cut off anywhere, a byte changed anywhere. Exit 0 or 2, one line when it is
2, never a signal, never a file left. What each defect is called is test-trace's; here it is what the program makes of
it. test-hostile.py IOMMUSIM MAKE-TRACE"""
import os
import re
import shutil
import subprocess
import sys

from tap import FIXTURES, Cases, Program, check, check_one_line, equal, sample, tree, write

program = Program(sys.argv[1])
make_trace = os.path.abspath(sys.argv[2])
cases = Cases()

TRACEDAT = os.path.join(FIXTURES, 'traces', 'synthetic.trace.dat')
FTRACE = os.path.join(FIXTURES, 'traces', 'loop-mix.ftrace-events.txt')
LINES = 40
CUTS = 40  # of the ftrace file, beside those between lines; of trace.dat
RECORD_BYTES = 48


def survives(trace, what, *options):
    """Replays TRACE and returns the exit code."""
    result = program.run('replay', '-o', 'out', *options, trace, timeout=30)
    left = {name for name, content in tree('out').items() if content is not None}
    shutil.rmtree('out', ignore_errors=True)
    check(result.code in (0, 2), f'{what}: exit 0 or 2 expected', result)
    if result.code == 2:
        check_one_line(result)
        check(re.match(rf'iommusim: {re.escape(trace)}[^:@]*([:@]\d+)?: ', result.err), f'{what}: names the file', result)
        equal(left, set(), f'{what}: files left')
    else:
        equal(result.err, '', f'{what}: stderr')
        check('run.json' in left, f'{what}: no run.json', result)
    return result.code


def small_ftrace():
    with open(FTRACE, 'rb') as file:
        return b''.join(file.readline() for _ in range(LINES))


@cases.case('ftrace/every-line-cut')
def _():
    whole = small_ftrace()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    codes = [survives(write('t.txt', whole[:end]), f'first {end} bytes') for end in [0, *ends]]
    equal(codes[0], 2, 'nothing at all')
    equal(codes[-1], 0, 'the whole')


@cases.case('ftrace/cut-inside-lines')
def _():
    whole = small_ftrace()
    codes = {survives(write('t.txt', whole[:i]), f'first {i} bytes', '--set', 'machine.cpus=2')
             for i in sample(range(1, len(whole), max(1, len(whole) // CUTS)))}
    equal(codes, {0, 2}, 'some are taken, some are not')


@cases.case('ftrace/a-byte-changed')
def _():
    whole = small_ftrace()
    for i in sample(range(0, len(whole), max(1, len(whole) // CUTS))):
        for byte in (0, 0xff, whole[i] ^ 1):
            survives(write('t.txt', whole[:i] + bytes([byte]) + whole[i + 1:]), f'byte {i} is {byte}', '--mode=asap')


def small_blktrace():
    subprocess.run([make_trace, 't', 'ios=12', 'cpus=2', 'depth=4'], check=True)
    content = []
    for cpu in range(2):
        with open(f't.blktrace.{cpu}', 'rb') as file:
            content.append(file.read())
    return content


@cases.case('blktrace/every-byte-of-the-first-record-changed')
def _():
    first, _ = small_blktrace()
    equal(survives('t', 'whole'), 0, 'the whole')
    codes = set()
    for i in sample(range(RECORD_BYTES)):
        for byte in (0xff, first[i] ^ 1, first[i] ^ 0x80):
            write('t.blktrace.0', first[:i] + bytes([byte]) + first[i + 1:])
            codes.add(survives('t', f'byte {i} is {byte}'))
    equal(codes, {0, 2}, 'some are taken, some are not')


@cases.case('blktrace/every-cut-of-one-file')
def _():
    _, second = small_blktrace()
    for end in sample(range(0, len(second), 8 if len(second) > 400 else 1)):
        write('t.blktrace.1', second[:end])
        survives('t', f'first {end} bytes of the second file')


@cases.case('blktrace/a-file-missing')
def _():
    small_blktrace()
    os.remove('t.blktrace.1')
    survives('t', 'one of two')
    os.remove('t.blktrace.0')
    equal(program.run('replay', 't').code, 2, 'none of two')


def verify_survives(trace, what):
    """Verifies the model with TRACE and returns the exit code."""
    result = program.run('verify', trace, timeout=60)
    check(result.code in (0, 1, 2), f'{what}: exit 0, 1 or 2 expected', result)
    if result.code == 2:
        check_one_line(result)
        check(re.match(rf'iommusim: {re.escape(trace)}([:@]\d+)?: ', result.err), f'{what}: names the file', result)
        equal(result.out, '', f'{what}: stdout')
    else:
        equal(result.err, '', f'{what}: stderr')
    return result.code


@cases.case('verify/trace.dat-cut')
def _():
    with open(TRACEDAT, 'rb') as file:
        whole = file.read()
    for end in sample(range(0, len(whole), len(whole) // CUTS)):
        equal(verify_survives(write('t.dat', whole[:end]), f'first {end} bytes'), 2, f'first {end} bytes')
    equal(verify_survives(write('t.dat', whole), 'the whole'), 1, 'the whole')
    differs = program.expect(1, 'verify', 't.dat')
    check('first difference: t.dat@4112: ' in differs.out, 'the offset of the record expected', differs)
    check('"offset" : 4112' in program.expect(1, 'verify', '--json', 't.dat').out, 'the offset in JSON expected')


@cases.case('verify/trace.dat-a-byte-changed')
def _():
    with open(TRACEDAT, 'rb') as file:
        whole = file.read()
    codes = set()
    records = whole.index(b'block_rq_issue'), 4096, 8192
    for start in (0, *records):
        for i in sample(range(start, start + 4 * CUTS, 7)):
            for byte in (0xff, whole[i] ^ 1):
                codes.add(verify_survives(write('t.dat', whole[:i] + bytes([byte]) + whole[i + 1:]), f'byte {i} is {byte}'))
    equal(codes, {1, 2}, 'some are taken, some are not')


@cases.case('verify/every-damaged-trace.dat')
def _():
    folder = os.path.join(FIXTURES, 'hostile', 'traces')
    damaged = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith('.dat')]
    equal({verify_survives(path, path) for path in damaged}, {2}, 'exit codes')


@cases.case('fixtures/every-damaged-trace')
def _():
    refused = 0
    folder = os.path.join(FIXTURES, 'hostile', 'traces')
    for name in sorted(os.listdir(folder)):
        for options in ([], ['--mode=asap', '--set', 'machine.cpus=2']):
            result = program.run('replay', *options, os.path.join(folder, name), timeout=30)
            check(result.code in (0, 2), f'{name}: exit 0 or 2 expected', result)
            if result.code == 2:
                check_one_line(result)
                refused += 1
    check(refused > len(os.listdir(folder)), f'only {refused} refused')


@cases.case('fixtures/every-damaged-snapshot')
def _():
    folder = os.path.join(FIXTURES, 'hostile', 'snapshots')
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        for args in (['snapshot', 'check', path], ['snapshot', 'show', path], ['diff', path, path]):
            result = program.run(*args, timeout=30)
            # Damage that leaves every line readable is found by check alone.
            wanted = (1, 2) if args[1] == 'check' else (0, 1, 2)
            check(result.code in wanted, f'{name}: exit of {wanted} expected', result)
            if result.code == 2:
                check_one_line(result)


cases.main()
