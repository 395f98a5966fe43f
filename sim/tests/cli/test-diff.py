# SPDX-License-Identifier: MIT
"""Two snapshots of runs compared: a summary first, what it is due to, colour for terminals; and bisect, which finds the
behaviour. test-diff.py IOMMUSIM"""
import json
import os
import pty
import re
import subprocess
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()

SYNC = os.path.join(FIXTURES, 'faults', 'sync.ini')


def replay(folder, *more, code=0):
    return program.expect(code, 'replay', '-o', folder, *more, BOOT)


def rollback(value):
    return '--set', f'behaviour.blkdma-rollback={value}'


def diff(a, b, *more, code=1):
    """The lines of the summary, and those of the details."""
    result = program.expect(code, 'diff', *more, a, b)
    summary, _, details = result.out.partition('\n\n')
    return summary.splitlines(), details.splitlines()


@cases.case('summary/names-the-fault-and-its-request')
def _():
    replay('good', *rollback('old'))
    replay('bad', *rollback('old'), '-f', SYNC, code=1)
    summary, details = diff('good/teardown.snap', 'bad/teardown.snap')
    request = re.search(r'owner=req:(\d+)', read('bad', 'teardown.snap'))[1]
    equal([line for line in summary if 'mapping' in line],
          [f'3 mappings leaked, 16 KiB, all by dma.sync failure in request {request}'], 'mappings')
    equal([line for line in summary if 'IOVA' in line],
          [f'1 IOVA leaked, 16 KiB, by dma.sync failure in request {request}'], 'IOVAs')
    fired, = json.loads(read('bad', 'run.json'))['firings']
    equal(fired['request'], int(request), 'request')
    who = f'(dma.sync failure in request {request} at 9.62 s, pass {fired["pass"]}, cpu 0, nvme0)'
    check(all(line.endswith(who) for line in details), f'each line says {who}', details)
    # Nothing else is different, so what has no request is due to it as well.
    _, details = diff('good/end.snap', 'bad/end.snap')
    check(all('dma.sync failure' in line for line in details), 'each line says by whom', details)


@cases.case('summary/of-several-faults-only-what-has-a-request-is-told-apart')
def _():
    replay('good', *rollback('old'))
    replay('two', *rollback('old'), '--fail=dma.sync:5', '--fail=dma.sync:30', code=1)
    requests = [fired['request'] for fired in json.loads(read('two', 'run.json'))['firings']]
    summary, details = diff('good/teardown.snap', 'two/teardown.snap')
    for request in requests:
        check(any(f'1 by dma.sync failure in request {request}' in line for line in summary if 'IOVA' in line), 'its IOVA', summary)
    # A violation does not say whose it is.
    several = f'one of several failures, the first dma.sync failure in request {requests[0]}'
    check(f'2 violations found, all by {several}' in summary, 'violations', summary)
    check(all(several in line for line in details if line.startswith('violation')), 'each of them', details)


@cases.case('summary/plural-of-the-noun-that-changed')
def _():
    head = 'iommusim-snapshot 1\n# kernel.version 7.0\n[device]\n'
    write('none.snap', head)
    write('held.snap', head + 'removed path=/a number=0x0001\nremoved path=/b number=0x0001\n')
    equal(diff('none.snap', 'held.snap')[0], ['2 removed devices still held'], 'devices')


@cases.case('refuses-standard-input-for-both')
def _():
    equal(program.refuses('diff', '-', '-'), '-: only one of the two can be standard input', 'twice')


@cases.case('summary/names-the-setting')
def _():
    replay('good', '-f', SYNC, *rollback('fixed'))
    replay('bad', '-f', SYNC, *rollback('old'), code=1)
    summary, details = diff('good/teardown.snap', 'bad/teardown.snap')
    check('configured differently: behaviour.blkdma-rollback: fixed -> old' in summary, 'the setting', summary)
    check(any(line.endswith('(behaviour.blkdma-rollback: fixed -> old)') for line in details), 'as a cause', details)


@cases.case('summary/without-a-run-beside-it-there-is-no-fault')
def _():
    replay('good', *rollback('old'))
    replay('bad', *rollback('old'), '-f', SYNC, code=1)
    write('bad/run.json', 'this is no JSON')
    summary, details = diff('good/teardown.snap', 'bad/teardown.snap')
    check('3 mappings leaked, 16 KiB' in summary, 'no cause', summary)
    check(not any('failure' in line for line in details), 'no cause', details)


@cases.case('summary/json-has-it-too')
def _():
    replay('good', *rollback('old'))
    replay('bad', *rollback('old'), '-f', SYNC, code=1)
    summary, details = diff('good/teardown.snap', 'bad/teardown.snap')
    said = json.loads(program.expect(1, 'diff', '--json', 'good/teardown.snap', 'bad/teardown.snap').out)
    equal([item['text'] for item in said['summary']], summary, 'summary')
    equal(said['count'], len(details), 'details')
    check(all('dma.sync' in item['cause'] for item in said['changes']), 'causes', said)


def mappings(path, count, prot):
    """A snapshot of COUNT mappings, one page each and none next to another."""
    with open(path, 'w', encoding='ascii') as file:
        file.write('iommusim-snapshot 1\n[mapping]\n')
        for at in range(count):
            file.write(f'map domain=1 iova=0x{at * 8192:016x}-0x{at * 8192 + 4095:016x} pa=0x{at * 4096 + (1 << 40):016x} '
                       f'prot={prot} owner=req:{at}\n')


def peak_kib(out, *args):
    """The most memory that the program had. It begins with what this process has, so that must stay small until then."""
    file = os.open(out, os.O_WRONLY | os.O_CREAT, 0o600)
    child = os.posix_spawn(program.path, [program.path, *args], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, file, 1)])
    os.close(file)
    _, status, usage = os.wait4(child, 0)
    equal(os.waitstatus_to_exitcode(status), 1, 'exit code')
    return usage.ru_maxrss


@cases.case('json/memory-does-not-grow-with-the-findings')
def _():
    peaks = []
    for count in 2000, 100000:
        mappings('a.snap', count, 'r')
        mappings('b.snap', count, 'rw')
        peaks.append(peak_kib(f'{count}.json', 'diff', '--json', 'a.snap', 'b.snap'))
    if len(sys.argv) < 3:  # a sanitizer's own memory does grow
        check(peaks[1] < peaks[0] + 4096, 'the same memory', peaks)
    said = json.loads(read('100000.json'))
    equal((said['count'], len(said['changes'])), (100000, 100000), 'findings')
    equal(list(said), ['changes', 'summary', 'count'], 'members')
    equal((said['changes'][-1]['a'], said['changes'][-1]['b']), ('r', 'rw'), 'the last one')


@cases.case('stat/counts-and-no-more')
def _():
    mappings('a.snap', 30, 'r')
    mappings('b.snap', 31, 'rw')
    result = program.expect(1, 'diff', '--stat', 'a.snap', 'b.snap')
    equal([line.split() for line in result.out.splitlines()],
          [['mapping', 'added', '1'], ['permission', 'changed', '30'], ['in', 'all', '31']], 'counts')
    said = json.loads(program.expect(1, 'diff', '--stat', '--json', 'a.snap', 'b.snap').out)
    equal(said['changes'], [{'change': 'mapping added', 'count': 1}, {'change': 'permission changed', 'count': 30}], 'JSON')
    program.expect(0, 'diff', '--stat', 'a.snap', 'a.snap')


@cases.case('ignore/leaves-fields-out-but-no-keys')
def _():
    mappings('a.snap', 3, 'r')
    mappings('b.snap', 3, 'rw')
    program.expect(0, 'diff', '--ignore=prot', 'a.snap', 'b.snap')
    program.expect(1, 'diff', '--ignore=owner,pa', 'a.snap', 'b.snap')
    mappings('b.snap', 4, 'r')
    check('mapping added' in program.expect(1, 'diff', '--ignore=iova,domain', 'a.snap', 'b.snap').out, 'a key stays')


@cases.case('unknown/field-of-a-noun-that-is-not-compared')
def _():
    text = 'iommusim-snapshot 1\n[fault]\nrule name=a number=0x0001 passes=1 fired=0'
    write('a.snap', f'{text}\n')
    write('b.snap', f'{text} later=7\n')
    _, details = diff('a.snap', 'b.snap')
    equal(details, ['changed: name=a number=0x0001 later (none) -> 7'], 'details')
    program.expect(0, 'diff', '--ignore=later', 'a.snap', 'b.snap')


@cases.case('same/prints-nothing')
def _():
    replay('out')
    equal(program.expect(0, 'diff', 'out/end.snap', 'out/end.snap').out, '', 'stdout')
    equal(json.loads(program.expect(0, 'diff', '--json', 'out/end.snap', 'out/end.snap').out)['count'], 0, 'count')


@cases.case('moved/mapping-of-a-request-at-another-address')
def _():
    replay('a', *rollback('old'), '-f', SYNC, code=1)
    text = read('a', 'teardown.snap').rpartition('digest')[0]
    write('b.snap', re.sub(r'(?m)^(map .*iova=0x0000000)0f', r'\g<1>1f', re.sub(r'-0x00000000f', '-0x00000001f', text))
          .replace('iova=0x00000000fff', 'iova=0x00000001fff').replace('range=0x00000000fff', 'range=0x00000001fff'))
    _, details = diff('a/teardown.snap', 'b.snap')
    moved = [line for line in details if line.startswith('mapping moved')]
    equal(len(moved), 3, 'moved', '\n'.join(details))
    check(all(re.search(r'iova=0x00000001f\S+ iova 0x00000000f\S+ -> 0x00000001f', line) for line in moved), 'from and to', moved)
    check(not any(line.startswith(('mapping added', 'mapping removed')) for line in details), 'no other', details)


def on_terminal(*args, **env):
    """What the program prints on a terminal."""
    master, slave = pty.openpty()
    with subprocess.Popen([program.path, *args], stdout=slave, stdin=subprocess.DEVNULL,
                          env={**os.environ, 'TERM': 'xterm', **env}) as process:
        os.close(slave)
        out = b''
        try:
            while chunk := os.read(master, 65536):
                out += chunk
        except OSError:  # the other end is closed
            pass
        equal(process.wait(), 1, 'exit code', out)
    os.close(master)
    return out.decode()


@cases.case('colour/on-a-terminal-alone-and-unless-no-color')
def _():
    replay('good')
    replay('bad', *rollback('old'), '-f', SYNC, code=1)
    args = 'diff', 'good/teardown.snap', 'bad/teardown.snap'
    check('\033[32mIOVA leaked' in on_terminal(*args), 'colour')
    for env in {'NO_COLOR': '1'}, {'TERM': 'dumb'}:
        check('\033' not in on_terminal(*args, **env), f'no colour with {env}')
    check('\033' not in on_terminal('diff', '--json', *args[1:]), 'no colour in JSON')
    check('\033' not in program.expect(1, *args).out, 'no colour in a file')


# ---- bisect ----

def bisect(good, bad, *more, code=1):
    return program.expect(code, 'bisect', '-f', SYNC, f'--good={good}', f'--bad={bad}', *more, BOOT)


@cases.case('bisect/finds-the-behaviour-and-the-event')
def _():
    said = json.loads(bisect('version=fixed', 'blkdma-rollback=old,bounce-link=old,p2p-vec-free=leak', '--json').out)
    equal([(row['name'], row['good'], row['bad']) for row in said['behaviours']],
          [('blkdma-rollback', 'fixed', 'old')], 'behaviours')
    check(said['behaviours_tried'] >= 3, 'tried', said)
    equal((said['violations_good'], said['violations_bad']), (0, 1), 'violations')
    event = said['first_event']
    check('request 273: unmap' in event['good'], 'the good run undoes the mapping', event)
    check('request 273: unmap' not in event['bad'] and event['bad'] != event['good'], 'the bad one does not', event)


@cases.case('bisect/behaviours-that-make-no-difference')
def _():
    equal(bisect('p2p-vec-free=fixed', 'p2p-vec-free=leak', code=0).out,
          'both runs end alike: behaviours that differ: 1\n', 'stdout')


@cases.case('bisect/leaves-nothing-behind-and-says-the-same-again')
def _():
    os.mkdir('tmp')
    first = bisect('blkdma-rollback=fixed', 'blkdma-rollback=old,metadata-gap=own').out
    again = program.expect(1, 'bisect', '-f', SYNC, '--good=blkdma-rollback=fixed',
                           '--bad=blkdma-rollback=old,metadata-gap=own', BOOT, env={'TMPDIR': os.path.abspath('tmp')}).out
    equal(again, first, 'stdout')
    equal(os.listdir('tmp'), [], 'temporary files')


REFUSED = {
    'no-sets': ([], '--good'),
    'name-unknown': (['--good=nosuch=1', '--bad=bounce-link=old'], 'nosuch'),
    'value-unknown': (['--good=bounce-link=maybe', '--bad=bounce-link=old'], 'old, fixed'),
    'version-unknown': (['--good=version=5.0', '--bad=bounce-link=old'], '5.0'),
    'no-value': (['--good=bounce-link', '--bad=bounce-link=old'], 'NAME=VALUE'),
    'sets-alike': (['--good=bounce-link=old', '--bad=bounce-link=old'], 'same'),
}


@cases.case('bisect/refuses-what-it-cannot-do')
def _():
    for name, (options, part) in REFUSED.items():
        check(part in program.refuses('bisect', *options, BOOT), f'{name}: "{part}" in the message')
    check('many times' in program.refuses('bisect', '--good=bounce-link=old', '--bad=bounce-link=fixed', '-'), 'a pipe')


cases.main()
