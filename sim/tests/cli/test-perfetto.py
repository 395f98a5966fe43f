# SPDX-License-Identifier: MIT
"""replay --perfetto: every file against the schema in trace_events.py, and what is in it against the run.
test-perfetto.py IOMMUSIM"""
import json
import os
import re
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, equal, read, write
from trace_events import Trace, ns

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

COLUMNS = '--csv=time:us,op,offset:sectors,size:bytes,response:us'
FAULTS = os.path.join(FIXTURES, 'faults')


def run(*args, code=0, path='trace.json'):
    """Replays, and returns the file and the results."""
    result = program.expect(code, 'replay', '--perfetto', path, '--json', *args)
    return Trace(path), json.loads(result.out), result


def requests(count, gap_us=1, name='many.csv', size=4096):
    return write(name, ''.join(f'{i * gap_us},{"RW"[i % 2]},{i * 8},{size},1\n' for i in range(count)))


def check_whole(trace, replay):
    """Everything of the run is there."""
    equal(trace.other['complete'], True, 'complete', trace.other)
    equal([trace.other['left_out_requests'], trace.other['left_out_slices']], [0, 0], 'left out')
    equal(len(trace.of('finish')), trace.other['requests'], 'attempts that ended')
    equal(len(trace.of('interrupt')), replay['interrupts'], 'interrupts')


@case('the-recording')
def _():
    trace, result, done = run(BOOT)
    check_whole(trace, result['replay'])
    equal(done.err, '', 'stderr')
    equal(trace.other['requests'], result['replay']['ios'] + result['replay']['splits'], 'requests')
    equal(set(trace.groups.values()), {'CPUs', 'IOMMU', 'nvme0'}, 'groups')
    for slices, group, kind in (('submission', 'CPUs', 'CPU'), ('alloc', 'CPUs', 'CPU'), ('map', 'CPUs', 'CPU'), ('unmap', 'CPUs', 'CPU'),
                                ('invalidate', 'CPUs', 'CPU'), ('invalidate wait', 'CPUs', 'CPU'), ('walk', 'IOMMU', 'walker'),
                                ('interrupt', 'CPUs', 'CPU'), ('read', 'nvme0', 'queue'), ('fetch', 'nvme0', 'queue')):
        tracks = {trace.track_of(event) for event in trace.of(slices)}
        check(tracks and all(track[0] == group and track[1].startswith(kind + ' ') for track in tracks), slices, tracks)
    # On its channel and in its request.
    served = {trace.track_of(event)[1].split()[0] for event in trace.of('service')}
    equal(served, {'queue', 'channel'}, 'service')
    walks = trace.of('walk')
    equal(len(walks), result['device']['walks'], 'walks')
    check(sum(event['args']['count'] for event in walks) >= len(walks), 'entries that they read')


@case('an-arrow-goes-by-the-queue')
def _():
    trace, _, _ = run(COLUMNS, requests(50))
    for number, flow in trace.flows.items():
        (first, _, prepared), (middle, _, fetched), (last, _, finished) = flow
        equal([first, middle, last, prepared['name'], fetched['name'], finished['name']],
              ['s', 't', 'f', 'prepare', 'fetch', 'finish'], f'arrow {number}')
        equal(prepared['args']['request'], finished['args']['request'], 'request')


@case('one-request-to-the-nanosecond')
def _():
    # A device that takes 60 us, and a CPU that takes 1 us for submission and 2 us for the end: nothing else takes time.
    program.expect(0, 'replay', '-o', 'any', os.path.join(FIXTURES, 'traces', 'synthetic-msr.csv'))
    text = read('any', 'machine.ini')
    costs = re.sub(r'^([\w-]+) = \d+$', r'\1 = 0', text[text.index('[cost]'):text.index('[behaviour]')], flags=re.M)
    costs = costs.replace('block-submit-ns = 0', 'block-submit-ns = 1000').replace('block-complete-ns = 0', 'block-complete-ns = 2000')
    write('m.ini', costs + '[iommu]\nmode = passthrough\n[nvme]\nfetch-latency = 0\nread-latency = 60us\nlink-mb-s = 1000000\n')
    trace, _, _ = run('-c', 'm.ini', COLUMNS, write('one.csv', '7,R,0,4096,1\n'))
    got = {event['name']: (ns(event['ts']), ns(event['dur'])) for event in trace.slices}
    check(got['read'][0] == got['prepare'][0] == 0, 'the first request is at 0', got)
    equal(got['prepare'][1], 1000, 'submission', got)
    equal(got['service'], (1000, 60000), 'service', got)
    equal(got['finish'][1], 2000, 'end', got)
    equal(got['read'][1], got['finish'][0] + 2000, 'the request', got)
    equal(trace.of('walk'), [], 'walks without an IOMMU')


@case('lazy-mode')
def _():
    trace, result, _ = run('--set', 'iommu.mode=lazy', BOOT)
    check_whole(trace, result['replay'])
    equal(trace.of('invalidate'), [], 'invalidations of single ranges')
    check(trace.of('flush') and trace.of('defer') and trace.of('flush queue timer'), 'the flush queue')


@case('waits')
def _():
    # Sixteen CPUs, whose writes end at about the same time and then all want to invalidate; then queues of two.
    rows = ''.join(f'{i // 16 * 50},W,{i * 8},4096,{i % 16},1\n' for i in range(640))
    args = ['--csv=time:us,op,offset:sectors,size:bytes,cpu,response:us', write('busy.csv', rows)]
    trace, result, _ = run('--set', 'cost.invalidate-work-ns=2000', '--set', 'nvme.channels=64', *args)
    check_whole(trace, result['replay'])
    counted = {}
    for event in trace.slices:
        if event['name'].startswith('wait: '):
            counted[event['name'][6:].lower()] = counted.get(event['name'][6:].lower(), 0) + 1
    equal(counted, {lock['name'].lower(): lock['waits'] for lock in result['locks'] if lock['waits']}, 'waits for locks')
    check(counted.get('invalidation hardware'), 'waits', counted)
    trace, result, _ = run('--set', 'nvme.depth=2', '--set', 'nvme.queues=2', '--set', 'nvme.channels=1', *args)
    check_whole(trace, result['replay'])
    equal(len(trace.of('wait for a tag')), result['replay']['tag_waits'], 'waits for a tag')
    check(trace.of('wait for a channel'), 'waits for a channel')
    most = max(value for _, value in trace.counters['nvme0', 'in flight'])
    equal(most, 2, 'in flight')  # a ring of two has room for one


@case('several-controllers')
def _():
    trace, result, _ = run(COLUMNS, requests(60, name='a.csv'), requests(40, name='b.csv'), requests(20, name='c.csv'))
    check_whole(trace, result['replay'])
    equal(trace.other['requests'], 120, 'requests')
    for device, count in ('nvme0', 60), ('nvme1', 40), ('nvme2', 20):
        equal(sum(trace.track_of(event)[0] == device for event in trace.of('read', 'write')), count, device)
        equal(trace.counters[device, 'in flight'][-1][1], 0, f'{device} at the end')


@case('faults')
def _():
    for args in (['-f', os.path.join(FAULTS, 'link-midway.ini'), '--set', 'behaviour.blkdma-rollback=old'],
                 ['-f', os.path.join(FAULTS, 'sync.ini')], ['-f', os.path.join(FAULTS, 'rcache-midway.ini')],
                 ['--fail=dma.iova:7'], ['--fail=iommu.map:9'], ['--fail=iommu.invalidate_timeout:5']):
        result = program.run('replay', '--perfetto', 'f.json', '--json', *args, BOOT)
        check(result.code in (0, 1), 'exit', result)
        trace = Trace('f.json')
        found = [event for event in trace.events if event['ph'] == 'i' and event['name'] != 'fault']
        equal(trace.other['complete'], True, 'complete')
        check(bool(found) or not result.code, f'{args}: violations are there', result)


@case('commands-that-are-lost')
def _():
    # They are aborted, or the controller is reset, and tried again: each attempt has its arrow.
    points = json.loads(program.expect(0, 'faults', 'list', '--json', BOOT).out)['points']
    names = [point['point'] for point in points if point['point'].startswith(('controller.', 'nvme.')) and point['passes'] > 20]
    check('controller.lost_completion' in names and 'controller.fatal' in names, 'fault points', names)
    for name in names:
        result = program.run('replay', '--perfetto', 'f.json', f'--fail={name}:20', BOOT)
        check(result.code in (0, 1), 'exit', result)
        trace = Trace('f.json')
        check(trace.other['requests'] >= 696, f'{name}: {trace.other}')


@case('the-limit')
def _():
    many = requests(400)
    whole, _, _ = run(COLUMNS, many)
    count = whole.other['events']
    for limit in 1, 2, 30, 50, 100, 333, 1000, count - 1, count, count + 100:
        trace, _, done = run(COLUMNS, many, f'--perfetto-limit={limit}')
        equal(trace.other['limit'], limit, 'limit')
        equal(trace.other['requests'] + trace.other['left_out_requests'], 400, 'requests', trace.other)
        check(trace.other['complete'] == (not trace.other['left_out_slices']), 'complete', trace.other)
        check(trace.other['complete'] == ('warning: trace.json:' not in done.err), 'said on stderr', done)
        # What is there is the beginning of the whole, and half of the room at least is used.
        check(trace.other['complete'] or trace.other['requests'] < 400 or trace.other['left_out_slices'], 'left out')
        check(limit < 100 or limit > count or len(trace.events) > limit // 2, f'{len(trace.events)} of {limit}')
        until = trace.other['complete_until_ns']
        for kind in 'submission', 'interrupt':
            before = [[event['ts'] for event in one.of(kind) if ns(event['ts']) < until] for one in (trace, whole)]
            equal(before[0], before[1], f'{kind} before {until} ns')
    check(re.search(r'warning: trace\.json: \d+ events, complete until .*: left out \d+ requests and \d+ slices '
                    r'\(--perfetto-limit=1000\)\n', run(COLUMNS, many, '--perfetto-limit=1000')[2].err), 'warning')


@case('the-same-again-and-without')
def _():
    for mode in 'open', 'closed':
        for name in 'a', 'b':
            program.expect(0, 'replay', f'--mode={mode}', '--perfetto', f'{name}.json', '-o', name, BOOT)
        check(read('a.json') == read('b.json'), 'the same file')
        Trace('a.json')
        program.expect(0, 'replay', f'--mode={mode}', '-o', 'c', BOOT)
        for name in 'end.snap', 'teardown.snap', 'timeline.csv', 'machine.ini':
            equal(read('a', name), read('c', name), f'{name}: looking on changes nothing')
    equal(json.loads(read('a', 'run.json'))['options'], ['--mode=closed'], 'a run that is repeated writes no file')


@case('what-it-refuses')
def _():
    for args, words in ((['--perfetto=x.json', '--mode=asap'], 'nothing takes time'),
                        (['--perfetto=-'], 'standard output has the report'),
                        (['--perfetto-limit=5'], 'give --perfetto as well'),
                        (['--perfetto=x.json', '--perfetto-limit=0'], 'must be a count from 1'),
                        (['--perfetto=x.json', '--perfetto-limit=-1'], 'must be a count from 1'),
                        (['--perfetto=no/such/x.json'], 'no/such'),
                        (['--perfetto=' + os.getcwd()], os.getcwd())):
        line = program.refuses('replay', *args, '-o', 'out', BOOT)
        check(words in line, words, line)
        equal(os.listdir('.'), [], f'files after {args}')


@case('a-broken-trace-leaves-no-file')
def _():
    write('old.json', 'as it was')
    program.refuses('replay', COLUMNS, '--perfetto=old.json', write('bad.csv', '0,R,0,4096,1\n1,R,nothing,4096,1\n'))
    equal(read('old.json'), 'as it was', 'file')
    equal(sorted(os.listdir('.')), ['bad.csv', 'old.json'], 'files')


cases.main()
