# SPDX-License-Identifier: MIT
"""The replay loop on traces written for one question each. test-replay.py IOMMUSIM"""
import json
import os
import re
import sys

from tap import BOOT, BOOT_6_1, FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

SHARED = os.environ.get('SHARED', '')
SYNC = os.path.join(FIXTURES, 'faults', 'sync.ini')
LINK_MIDWAY = os.path.join(FIXTURES, 'faults', 'link-midway.ini')


def line(us, event, sector, sectors=8, cpu=0):
    body = {'issue': f'block_rq_issue: 259,0 R {sectors * 512} () {sector} + {sectors} be,0,4 [fio]',
            'done': f'block_rq_complete: 259,0 R () {sector} + {sectors} be,0,4 [0]'}[event]
    return f'  fio-1  [{cpu:03}] .....  {us // 1000000}.{us % 1000000:06}: {body}\n'


def trace(name, *lines):
    return write(name, '# tracer: nop\n#\n# entries-in-buffer/entries-written: 1/1   #P:4\n' + ''.join(lines))


def run(*args, code=0):
    return json.loads(program.expect(code, 'replay', '--json', *args).out)


def rows(folder):
    head, *lines = read(folder, 'timeline.csv').splitlines()
    return [dict(zip(head.split(','), map(int, text.replace(',,,', ',0,0,').split(',')))) for text in lines]


@case('hardware/every-iommu-replays-a-boot-and-holds-nothing')
def _():
    for hardware, table in (('intel', 'vtdss'), ('amd', 'amdv1'), ('arm-smmu-v3', 'arm_64_lpae_s1')):
        for mode in 'strict', 'lazy':
            result = run('--set', f'iommu.hardware={hardware}', '--set', f'iommu.mode={mode}', '-o', 'out', BOOT)
            equal(result['machine']['iommu'], hardware, 'the IOMMU')
            check(f'iommu={hardware} format={table} ' in read('out', 'end.snap'), f'{table} in the snapshot')
            held = [text for text in read('out', 'teardown.snap').splitlines() if text.startswith(('map ', 'live '))]
            equal(held, [], f'held after {hardware}, {mode}')


@case('asap/many-that-are-due-already-complete')
def _():
    # All but the first wait for its tag, each in eight pieces, and the trace has completed them before they get it: so
    # many that a completion inside a completion would run out of stack.
    count = 60000
    issues = [line(i, 'issue', 2048 * i, 2048) for i in range(count)]
    dones = [line(count + i, 'done', 2048 * i, 2048) for i in range(1, count)]
    path = trace('t', *issues, *dones, line(3 * count, 'done', 0, 2048))
    equal(run('--mode=asap', '--set', 'nvme.depth=2', '--set', 'machine.cpus=1', path)['replay']['ios'], count, 'I/Os')


@case('asap/completion-survives-a-requeue-of-the-slot-before')
def _():
    # The first request is requeued and completed by the trace meanwhile; the second takes its place in the trace.
    path = trace('t', line(0, 'issue', 0), line(10, 'done', 0), line(20, 'issue', 800), line(9000, 'issue', 1600),
                 line(9010, 'done', 800), line(9020, 'done', 1600))
    for nth in range(1, 30):
        write('f.ini', f'[fault a]\npoint = iommu.map\nnth = {nth}\n')
        program.run('replay', '--mode=asap', '-f', 'f.ini', '-o', 'out', path)
        left = [text for text in read('out', 'end.snap').splitlines() if text.endswith('state=in-flight')]
        equal(left, [], f'requests in flight with nth = {nth}')


@case('snapshots/do-not-change-the-run')
def _():
    for mode in ('open', 'closed', 'asap'):
        plain = run(f'--mode={mode}', BOOT)
        equal(run(f'--mode={mode}', '-o', mode, '--snapshot-every=100us' if mode == 'closed' else '--snapshot-every=1s',
                  BOOT), plain, f'{mode} with snapshots')
        check(any(name.startswith('at-') for name in os.listdir(mode)), f'{mode}: snapshots were written')


@case('snapshots/at-the-very-end-and-beyond')
def _():
    count = run(BOOT)['replay']['ios']
    result = program.expect(0, 'replay', '-o', 'out', f'--snapshot-at=#{count},#{count + 1},1000s', BOOT)
    check(os.path.exists(f'out/at-request-{count}.snap'), 'the snapshot after the last request')
    check('ended before 2 of the snapshots' in result.err, 'a warning of the two that were never reached', result)


@case('snapshots/at-their-time')
def _():
    program.expect(0, 'replay', '-o', 'out', '--snapshot-at=1s,2500ms', BOOT)
    equal(re.search(r'# time_ns (\d+)', read('out', 'at-2500000000ns.snap')).group(1), '2500000000', 'time')


@case('snapshots/check-finds-teardowns-with-leaks-sound')
def _():
    for fault in (SYNC, LINK_MIDWAY):
        program.expect(1, 'replay', '-o', 'out', '-f', fault, '--set', 'behaviour.blkdma-rollback=old', BOOT)
        for name in ('end.snap', 'teardown.snap'):
            program.expect(0, 'snapshot', 'check', os.path.join('out', name))


@case('timeline/rows-hold-what-happened-until-their-end')
def _():
    # One ends in the first 10 ms, one ends behind them, and one comes after a long pause.
    path = trace('t', line(0, 'issue', 0), line(100, 'done', 0), line(9990, 'issue', 800), line(10100, 'done', 800),
                 line(1000000, 'issue', 1600), line(1000100, 'done', 1600))
    program.expect(0, 'replay', '-o', 'out', path)
    equal([(row['end_ns'], row['ios'], row['in_flight']) for row in rows('out')],
          [(10000000, 1, 1), (20000000, 1, 0), (1010000000, 1, 0)], 'rows')


@case('timeline/no-latency-where-nothing-ended')
def _():
    # One takes 25 ms, and ends in the second row.
    path = trace('t', line(0, 'issue', 0), line(25000, 'done', 0))
    for settings, expected in ((('--set', 'nvme.read-latency=25ms'), [True, False]), (('--mode=asap',), [True, True])):
        program.expect(0, 'replay', '-o', 'out', *settings, path)
        latencies = [text.split(',')[9:11] for text in read('out', 'timeline.csv').splitlines()[1:]]
        equal([both == ['', ''] for both in latencies], expected, f'empty with {settings}')


@case('timeline/sums-are-the-runs')
def _():
    for mode in ('open', 'closed', 'asap'):
        replay = run(f'--mode={mode}', '-o', mode, BOOT)['replay']
        equal(sum(row['ios'] for row in rows(mode)), replay['ios'], f'{mode}: I/Os')
        equal(sum(row['bytes'] for row in rows(mode)), replay['data_bytes'], f'{mode}: bytes')


@case('time/more-than-200-days-is-refused')
def _():
    path = trace('t', line(0, 'issue', 0), line(100, 'done', 0), line(20000000 * 1000000, 'issue', 800))
    said = program.refuses('replay', path)
    check(said.startswith('t: request 2 ') and 'at most 200 days' in said, said)


@case('seed/reaches-the-segments')
def _():
    path = trace('t', *[line(i, 'issue', 8 * i) for i in range(50)])

    def mapped(*args):
        program.expect(0, 'replay', '--mode=asap', '-o', 'out', *args, path)
        return [text for text in read('out', 'end.snap').splitlines() if text.startswith('map ')]

    plain = mapped()
    equal(mapped('--seed=1', '--set', 'segments.seed=1'), plain, 'the defaults')
    check(mapped('--seed=2') != plain, 'another run')
    check(mapped('--set', 'segments.seed=2') != plain, 'other segments')


@case('waiting/a-trace-ahead-of-the-device-waits')
def _():
    count = 40000
    path = trace('t', *[line(i, 'issue', 8 * i) for i in range(count)])
    replay = run('--set', 'nvme.depth=2', '--set', 'nvme.channels=1', '--set', 'machine.cpus=1', path)['replay']
    equal(replay['ios'], count, 'I/Os')
    check(0 < replay['held_back'] < count, f'{replay["held_back"]} held back')
    check(replay['max_in_flight'] < 17000, f'{replay["max_in_flight"]} in flight')


@case('pipe/is-not-read-twice')
def _():
    path = trace('t', line(0, 'issue', 0), line(100, 'done', 0))
    write('t', read('t').replace('   #P:4', ''))
    os.mkfifo('pipe')
    if os.fork() == 0:
        with open('pipe', 'wb') as pipe, open(path, 'rb') as plain:
            pipe.write(plain.read())
        os._exit(0)
    check('machine.cpus=N' in program.refuses('replay', 'pipe', timeout=20), 'asks for the number of CPUs')
    os.wait()


def leaves_nothing(*args):
    """A run without a violation that gives everything back. Returns its report."""
    report = run('-o', 'out', *args)
    equal(report['violation_count'], 0, 'violations')
    left = [text for text in read('out', 'teardown.snap').splitlines() if re.match('(live|map|leaf|ref) ', text)]
    equal(left, [], 'left at teardown')
    return report


@case('scatter-lists/before-6.17-a-recording-of-6.1-leaves-nothing')
def _():
    for version, pieces in ('6.1', 0), ('6.6', 1), ('6.12', 1):
        for mode in 'strict', 'lazy', 'passthrough':
            replay = leaves_nothing('--set', f'kernel.version={version}', '--set', f'iommu.mode={mode}',
                                    '--set', 'segments.layout=contiguous', BOOT_6_1)['replay']
            equal(replay['errors'], 0, f'{version} {mode}: errors')
            # Requests of 512 KiB are one command in 6.1, and four where the IOVA caches set the limit.
            equal(replay['splits'] > 0, pieces > 0 and mode != 'passthrough', f'{version} {mode}: split')


@case('scatter-lists/every-point-may-fail')
def _():
    # One percent of the map calls is much: a list makes up to 128 of them.
    for point, percent in (('iova.node', 20), ('iova.magazine', 20), ('pgtable.page', 20), ('iommu.map', 1),
                           ('iommu.sync_map', 20), ('dma.*', 20), ('nvme.prp_pool', 20), ('nvme.vec_pool', 20)):
        write('f.ini', f'[fault a]\npoint = {point}\nprobability = {percent}\ntimes = -1\nseed = 3\n')
        for mode in 'strict', 'lazy':
            replay = leaves_nothing('--set', 'kernel.version=6.1', '--set', f'iommu.mode={mode}', '-f', 'f.ini',
                                    BOOT_6_1)['replay']
            equal(replay['errors'], 0, f'{point} {mode}: errors')


def shared_trace(path):
    with_issue = None
    for mode in ('open', 'asap'):
        result = run(f'--mode={mode}', path)
        equal(result['violation_count'], 0, f'{mode}: violations')
        with_issue = with_issue or result['replay']['ios']
        equal(result['replay']['ios'], with_issue, f'{mode}: I/Os')
    check(with_issue > 0, 'I/Os')


for name in sorted(os.listdir(os.path.join(SHARED, 'traces'))) if os.path.isdir(os.path.join(SHARED, 'traces')) else []:
    recording = os.path.join(SHARED, 'traces', name, 'trace.txt.zst')
    if os.path.exists(recording):
        cases.offer(f'shared/{name}', shared_trace, recording)

cases.main()
