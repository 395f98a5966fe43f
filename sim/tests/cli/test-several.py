# SPDX-License-Identifier: MIT
"""Several traces in one run: each has a controller of its own, behind the same IOMMU. test-several.py IOMMUSIM"""
import json
import os
import re
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, equal, read, tree, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

COLUMNS = '--csv=time:us,op,offset:sectors,size:bytes,response:us'


def run(*args, code=0):
    columns = [] if BOOT in args else [COLUMNS]
    return json.loads(program.expect(code, 'replay', '--json', *columns, *args).out)


def three(name='three.csv'):
    return write(name, '0,R,0,4096,1\n10,R,8,4096,1\n20,R,16,4096,1\n')


def one(name='one.csv', us=0):
    return write(name, f'{us},R,800,4096,1\n')


def free_machine():
    """A machine on which nothing takes time but the latency of reads, 60 us, and 5 ns of the link for 4 KiB."""
    program.expect(0, 'replay', '-o', 'any', os.path.join(FIXTURES, 'traces', 'synthetic-msr.csv'))
    text = read('any', 'machine.ini')
    costs = re.sub(r'^([\w-]+) = \d+$', r'\1 = 0', text[text.index('[cost]'):text.index('[behaviour]')], flags=re.M)
    return write('free.ini', costs + '[iommu]\nmode = passthrough\n[nvme]\nfetch-latency = 0\nread-latency = 60us\n'
                 'link-mb-s = 1000000\n')


@case('each-has-a-controller-and-a-domain')
def _():
    result = run(three('a.csv'), one(), three('b.csv'), '-o', 'out')
    equal([(trace['name'], trace['device'], trace['ios'], trace['data_bytes']) for trace in result['traces']],
          [('a.csv', 'nvme0', 3, 12288), ('one.csv', 'nvme1', 1, 4096), ('b.csv', 'nvme2', 3, 12288)], 'traces')
    check('trace' not in result, 'no single trace')
    equal([result['replay'][key] for key in ('ios', 'data_bytes')], [7, 28672], 'I/Os and bytes of the run')
    equal(result['machine']['controllers'], 3, 'controllers')
    end = read('out', 'end.snap')
    equal(re.findall(r'^domain id=(\d) device=(\w+)', end, re.M), [('1', 'nvme0'), ('2', 'nvme1'), ('3', 'nvme2')], 'domains')
    equal(re.findall(r'^ref object=(nvme\d) holder=iommu%20group%20(\d)', end, re.M),
          [('nvme0', '1'), ('nvme1', '2'), ('nvme2', '3')], 'groups')
    for name in 'end.snap', 'teardown.snap':
        program.expect(0, 'snapshot', 'check', f'out/{name}')


@case('they-do-not-wait-for-one-another')
def _():
    # On a machine where only the device takes time each trace is as if it were alone, however full the other's queue is.
    machine = free_machine()
    for limit in ['--depth=1'], ['--set', 'nvme.depth=2']:
        result = run('-c', machine, *limit, three('a.csv'), three('b.csv'), one('c.csv', us=25))
        equal([(trace['lateness_mean_ns'], trace['lateness_max_ns'], trace['latency_max_ns'])
               for trace in result['traces']][2], (0, 0, 60005), f'the third with {limit}')
        equal([trace['lateness_max_ns'] for trace in result['traces']], [100010, 100010, 0], f'late with {limit}')
        equal(result['replay']['end_ns'], 180015, f'end with {limit}')
        closed = run('-c', machine, '--no-stall', *limit, three('a.csv'), one('c.csv', us=25))
        equal([trace['latency_mean_ns'] for trace in closed['traces']], [60005, 60005], f'closed with {limit}')
        equal(closed['replay']['end_ns'], 180015, f'closed end with {limit}')


@case('closed/they-take-turns')
def _():
    result = run('-c', free_machine(), '--no-stall', '--limit=4', three('a.csv'), three('b.csv'))
    equal([trace['ios'] for trace in result['traces']], [2, 2], 'of four requests')


@case('requests-are-in-order-of-time')
def _():
    # None of them completes: what is in flight at the end has its number in the run, and its controller.
    def issues(name, *times):
        return write(name, ''.join(f' fio-1 [000] ..... 1.{us:06}: block_rq_issue: 259,0 R 4096 () {8 * us} + 8 be,0,4 [fio]\n'
                                   for us in times))
    program.expect(0, 'replay', '--mode=asap', '--set', 'machine.cpus=1', '-o', 'out', issues('a', 0, 20, 30),
                   issues('b', 0, 10, 30, 35))
    equal(re.findall(r'^request number=0x0*(\w+) sector=0x0*(\w*) .*device=(\w+)', read('out', 'end.snap'), re.M),
          [('1', '', 'nvme0'), ('2', '', 'nvme1'), ('3', '50', 'nvme1'), ('4', 'a0', 'nvme0'), ('5', 'f0', 'nvme0'),
           ('6', 'f0', 'nvme1'), ('7', '118', 'nvme1')], 'requests')


@case('parts-are-of-each')
def _():
    result = run('--skip=1', '--repeat=2', three(), three('b.csv'))
    equal([(trace['ios'], trace['part']) for trace in result['traces']], [(4, '--skip=1 --repeat=2')] * 2, 'parts')
    equal(run('--limit=5', three(), three('b.csv'))['replay']['ios'], 5, 'the limit is of the run')


@case('the-same-again')
def _():
    for mode in 'open', 'closed', 'asap':
        for folder in 'a', 'b':
            program.expect(0, 'replay', f'--mode={mode}', '--set', 'iommu.mode=lazy', '-o', folder, BOOT, BOOT)
            os.remove(f'{folder}/run.json')
        equal(tree('a'), tree('b'), f'results of {mode}')


@case('a-trace-beside-another-makes-the-same-mappings')
def _():
    # Functionally controllers are apart: strict, without device time, each trace's totals are those of the trace alone.
    alone, both = run('--mode=asap', BOOT), run('--mode=asap', BOOT, BOOT)
    for group, key in (('replay', 'data_bytes'), ('replay', 'errors'), ('iommu', 'maps'), ('iommu', 'mapped_bytes'),
                       ('iommu', 'unmaps'), ('iova', 'allocs'), ('iova', 'frees')):
        equal(both[group][key], 2 * alone[group][key], key)


@case('timers-are-of-their-domain')
def _():
    # Lazy: what is unmapped waits for the timer of its own domain. More addresses than two magazines a CPU hold, freed at
    # once: full magazines go to the depot, and its timer gives them back.
    text = ''.join(f'{i},R,{8 * i},4096,100000\n' for i in range(1000)) + '5000000,R,0,4096,100000\n'
    lazy = ['--mode=asap', '--set', 'iommu.mode=lazy', '--set', 'machine.cpus=1']
    paths = write('one.csv', '0,R,0,4096,10\n5000000,R,0,4096,100000\n'), write('many.csv', text)
    few, many, both = (run(*lazy, *some) for some in (paths[:1], paths[1:], paths))
    for group, key in (('flush_queue', 'flushes_timer'), ('flush_queue', 'windows'), ('iova', 'depot_trims')):
        check(many[group][key] > 0, f'{key} of the second alone')
        equal(both[group][key], few[group][key] + many[group][key], key)


@case('hardware/every-iommu-has-them-all')
def _():
    for hardware in 'intel', 'amd', 'arm-smmu-v3':
        ats = [['iotlb.ats=yes']] if hardware == 'intel' else []
        for sets in *ats, [], ['iommu.mode=lazy'], ['iommu.untrusted=yes', 'kernel.version=fixed'], ['kernel.version=6.1']:
            result = run('--set', f'iommu.hardware={hardware}', *[word for one_ in sets for word in ('--set', one_)], '-o',
                         'out', BOOT, BOOT)
            equal(result['iommu']['page_faults'], 0, f'faults of {hardware} {sets}')
            held = [text for text in read('out', 'teardown.snap').splitlines() if text.startswith(('map ', 'live '))]
            equal(held, [], f'held after {hardware} {sets}')
            program.expect(0, 'snapshot', 'check', 'out/end.snap')


@case('faults/of-one-controller')
def _():
    write('f.ini', '[fault a]\npoint = dma.link\nnth = 1\ndevice = nvme1\n')
    result = run('-f', 'f.ini', '--set', 'kernel.version=fixed', BOOT, BOOT)
    equal([firing['device'] for firing in result['firings']], ['nvme1'], 'where it fired')


@case('faults/every-point-of-the-second-controller')
def _():
    path = three()
    points = json.loads(program.expect(0, 'faults', 'list', '--json', COLUMNS, path, path).out)['points']
    for point in points:
        for nth in 1, 2, 5:
            write('f.ini', f'[fault a]\npoint = {point["point"]}\nnth = {nth}\ndevice = nvme1\n')
            result = program.run('replay', COLUMNS, '-f', 'f.ini', '--set', 'kernel.version=fixed', '-o', 'out', path, path)
            check(result.code == 0, f'{point["point"]} {nth}: nothing to report', result)
            held = [text for text in read('out', 'teardown.snap').splitlines() if text.startswith(('map ', 'live '))]
            equal(held, [], f'held after {point["point"]} {nth}')


@case('leaks-are-told-by-controller')
def _():
    # What the old rollback leaks, on the second controller alone.
    write('f.ini', read(FIXTURES, 'faults', 'sync.ini') + '\ndevice = nvme1\n')
    result = run('-f', 'f.ini', '--set', 'behaviour.blkdma-rollback=old', '-o', 'out', BOOT, BOOT, code=1)
    equal({violation['device'] for violation in result['violations']}, {'nvme1'}, 'whose violations')
    equal(set(re.findall(r'^(?:map|live) domain=(\d)', read('out', 'teardown.snap'), re.M)), {'2'}, 'what is left')


@case('faults-list/of-several')
def _():
    def passes(*paths):
        points = json.loads(program.expect(0, 'faults', 'list', '--json', COLUMNS, *paths).out)['points']
        return {point['point']: point['passes'] for point in points}['dma.iova']
    alone = passes(three())
    equal(passes(three(), three('b.csv')), 2 * alone, 'passes')


@case('refused')
def _():
    path = three()
    equal(program.refuses('replay', '-', '-'), '-: only one trace can be standard input', 'stdin twice')
    equal(program.refuses('replay', COLUMNS, *[path] * 65), 'more than 64 traces', 'too many')
    check('nothing.csv' in program.refuses('replay', COLUMNS, '-o', 'out', path, 'nothing.csv'), 'a missing one')
    check(not os.path.exists('out'), 'nothing is left behind')
    bad = write('bad.csv', '0,R,0,4096,1\n1,R,x,4096,1\n')
    check('bad.csv:2: ' in program.refuses('replay', COLUMNS, '--set', 'machine.cpus=1', path, bad), 'a broken one')


cases.main()
