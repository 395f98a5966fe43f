# SPDX-License-Identifier: MIT
"""Parts of a trace, faster or slower, several times, and how far a replay falls behind: each option alone and several
together, on small traces whose outcome is worked out by hand. test-scale.py IOMMUSIM"""
import gzip
import json
import os
import re
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

COLUMNS = '--csv=time:us,op,offset:sectors,size:bytes,response:us'
# Five requests: the last response ends at 1050 us. They cover the sectors 100 to 2207: less than 2 MiB.
FIVE = ('100,R,100,4096,30\n'  # ends at 130
        '200,W,108,8192,300\n'  # ends at 500
        '400,R,2000,4096,10\n'  # ends at 410
        '900,W,300,512,50\n'  # ends at 950
        '1000,R,2200,4096,50\n')  # ends at 1050


def five():
    return write('five.csv', FIVE)


def info(*args):
    return json.loads(program.expect(0, 'trace', 'info', '--json', COLUMNS, *args).out)


def run(*args, code=0):
    result = json.loads(program.expect(code, 'replay', '--json', *args).out)
    # The command line is not what a run came to.
    result.pop('options')
    return result


def ops(facts):
    return {op['op']: (op['count'], op['data_bytes']) for op in facts['ops']}


def sums(facts):
    return facts['ios'], facts['completed'], facts['unfinished'], facts['span_ns'] // 1000


def in_flight(folder):
    """Number and sector of the requests in the last snapshot."""
    return [(int(number, 16), int(sector, 16)) for number, sector in
            re.findall(r'^request number=(\w+) sector=(\w+)', read(folder, 'end.snap'), re.MULTILINE)]


@case('info/as-recorded')
def _():
    facts = info(five())
    equal(sums(facts), (5, 5, 0, 950), 'requests, completed, unfinished, span')
    equal(ops(facts), {'read': (3, 12288), 'write': (2, 8704)}, 'operations')
    check('part' not in facts, 'no part is named')


@case('from/takes-requests-issued-then-or-later')
def _():
    # 0 is the first event, the first issue. 300 us: the third request on. What was issued before is left out with its end.
    facts = info('--from=300us', five())
    equal(sums(facts), (3, 3, 0, 650), 'from the third on')
    equal(ops(facts), {'read': (2, 8192), 'write': (1, 512)}, 'operations')
    equal(facts['part'], '--from=300000ns', 'the part')
    equal(sums(info('--from=300001ns', five())), (2, 2, 0, 150), 'just behind the third')


@case('to/takes-requests-issued-before')
def _():
    equal(sums(info('--to=300us', five())), (2, 2, 0, 400), 'the first two, and the end of the second')
    equal(sums(info('--to=300001ns', five())), (3, 3, 0, 400), 'the third, too')
    equal(sums(info('--from=100us', '--to=800us', five())), (2, 2, 0, 300), 'second and third')


@case('to/what-lies-behind-is-not-read')
def _():
    # A request each 10 us, and a damaged line behind the last, farther than readers look ahead.
    path = write('t.txt', ''.join(
        f'  fio-1  [000] .....  1.{10 * i:06}: block_rq_issue: 259,0 R 4096 () {8 * i} + 8 be,0,4 [fio]\n'
        f'  fio-1  [000] .....  1.{10 * i + 5:06}: block_rq_complete: 259,0 R () {8 * i} + 8 be,0,4 [0]\n'
        for i in range(2000)) + 'garbage\n')
    for args, count in (['--to=50us'], 5), (['--to=50us', '--repeat=2'], 10):
        facts = json.loads(program.expect(0, 'trace', 'info', '--json', *args, path).out)
        equal(facts['ios'], count, f'requests with {args}')
    equal(program.refuses('trace', 'info', path)[:11], 't.txt:4001:', 'the whole')


@case('skip/leaves-out-the-first')
def _():
    equal(sums(info('--skip=2', five())), (3, 3, 0, 650), 'without two')
    equal(ops(info('--skip=4', five())), {'read': (1, 4096)}, 'the last')
    equal(sums(info('--from=100us', '--skip=1', '--to=850us', five())), (2, 2, 0, 550), 'without the first of three')


@case('skip/time-counts-from-the-first-that-is-taken')
def _():
    # In asap mode the run ends at the last event of the part: 1050 - 400 us; --from counts from what was asked for.
    def end_ns(*args):
        return run('--mode=asap', COLUMNS, *args, five())['replay']['end_ns']
    equal(end_ns(), 950000, 'whole')
    equal(end_ns('--skip=2'), 650000, 'two skipped')
    equal(end_ns('--from=200us'), 750000, 'from 200 us: the first of it arrives at 100 us')
    equal(end_ns('--from=200us', '--skip=1'), 150000, 'from, and one skipped')


@case('scale/is-how-many-times-as-fast')
def _():
    equal(sums(info('--scale=2', five()))[3], 475, 'twice as fast')
    equal(sums(info('--scale=0.5', five()))[3], 1900, 'half as fast')
    equal(info('--scale=3', five())['span_ns'], 316666, 'a third, rounded down')
    equal(info('--scale=1.000', five())['span_ns'], 950000, 'as recorded')
    equal(sums(info('--from=300us', '--scale=0.1', five())), (3, 3, 0, 6500), 'of a part: times are those of the trace')


@case('repeat/time-goes-on')
def _():
    facts = info('--repeat=3', five())
    equal(sums(facts), (15, 15, 0, 2850), 'three rounds of 950 us')
    equal(ops(facts), {'read': (9, 36864), 'write': (6, 26112)}, 'operations')
    # 2207 - 100 sectors, in whole MiB.
    equal(facts['shift_bytes'], 2 << 20, 'distance of the rounds')
    equal(facts['events'], 30, 'events read')
    equal(facts['max_in_flight'], info(five())['max_in_flight'], 'most in flight')


@case('repeat/of-a-part-and-faster')
def _():
    # The part takes 650 us, from 300 us on; at twice the speed 325.
    facts = info('--from=300us', '--scale=2', '--repeat=4', '--shift=1G', five())
    equal(sums(facts), (12, 12, 0, 1300), 'four rounds')
    equal(facts['shift_bytes'], 1 << 30, 'distance')
    equal(facts['part'], '--from=300000ns --scale=2 --repeat=4 --shift=1073741824', 'the part')


@case('repeat/shifts-places-on-the-disk')
def _():
    # The second request of a round never completes: the round ends it, but for the last.
    path = write('open.csv', 'time,op,offset,size,response\n' + '0,R,100,4096,5\n10,R,3000,4096,5\n')
    text = ''.join(f'  fio-1  [000] .....  1.{us:06}: {body} be,0,4 [{end}]\n' for us, body, end in (
        (0, 'block_rq_issue: 259,0 R 4096 () 100 + 8', 'fio'), (10, 'block_rq_issue: 259,0 R 4096 () 3000 + 8', 'fio'),
        (20, 'block_rq_complete: 259,0 R () 100 + 8', '0')))
    path = write('open.txt', text)
    for args, sector in (['--repeat=1'], 3000), (['--repeat=3'], 3000 + 2 * 4096), \
            (['--repeat=3', '--shift=0'], 3000), (['--repeat=3', '--shift=512k'], 3000 + 2 * 1024):
        program.expect(0, 'replay', '--mode=asap', '--set', 'machine.cpus=1', '-o', 'out', *args, path)
        rounds = int(args[0][-1])
        equal(in_flight('out'), [(2 * rounds, sector)], f'in flight at the end with {args}')
        result = json.loads(read('out', 'run.json'))
        equal(result['trace'].get('unfinished'), rounds, f'unfinished with {args}')
        equal(result['replay']['ios'], 2 * rounds, f'I/Os with {args}')


@case('repeat/of-packed-files-and-limits')
def _():
    with gzip.open('five.csv.gz', 'wb') as file:
        file.write(FIVE.encode())
    equal(sums(info('--repeat=2', 'five.csv.gz')), (10, 10, 0, 1900), 'packed')
    equal(run(COLUMNS, '--repeat=1000', '--limit=7', five())['replay']['ios'], 7, 'I/Os up to the limit')


@case('repeat/a-recording-with-segments-keeps-them')
def _():
    whole, twice = run('--mode=asap', BOOT), run('--mode=asap', '--repeat=2', BOOT)
    for key in 'ios', 'recorded_segments', 'made_segments', 'data_bytes':
        equal(twice['replay'][key], 2 * whole['replay'][key], key)
    equal(twice['trace']['events'], 2 * whole['trace']['events'], 'events')


@case('run/can-be-repeated-from-what-it-wrote')
def _():
    first = run(COLUMNS, '--skip=1', '--scale=1.5', '--repeat=3', '--from=1us', '-o', 'a', five())
    part = first['trace']['part']
    equal(part, '--from=1000ns --skip=1 --scale=1.5 --repeat=3', 'the part')
    check(read('a', 'machine.ini').startswith(f'# The trace was read with {part}\n'), 'machine.ini names it')
    second = run('-c', 'a/machine.ini', COLUMNS, *part.split(), '-o', 'b', five())
    equal(second, first, 'the summary')
    for name in 'end.snap', 'timeline.csv', 'machine.ini':
        equal(read('b', name), read('a', name), name)


@case('faults-list/takes-parts-as-well')
def _():
    def passes(*args):
        points = json.loads(program.expect(0, 'faults', 'list', '--json', COLUMNS, *args, five()).out)['points']
        return {point['point']: point['passes'] for point in points}['dma.iova']
    # One address a request, besides those of probing.
    equal(passes('--repeat=3') - passes(), 10, 'passes more with ten requests more')


@case('refused/values')
def _():
    path = five()
    for option, why in (('--from=x', 'a time such as 5ms'), ('--from=-1', 'a time such as 5ms'), ('--to=0', 'after 0'),
                        ('--to=', 'a time such as 5ms'), ('--skip=x', 'a count'), ('--skip=-1', 'a count'),
                        ('--scale=0', 'from 0.000001 to 1000000'), ('--scale=-1', 'from 0.000001'),
                        ('--scale=1e3', 'from 0.000001'), ('--scale=1.', 'from 0.000001'), ('--scale=', 'from 0.000001'),
                        ('--scale=0.0000001', 'from 0.000001'), ('--scale=1000000.1', 'from 0.000001'),
                        ('--scale=99999999999999999999999999999', 'from 0.000001'), ('--scale=nan', 'from 0.000001'),
                        ('--repeat=0', 'from 1 to'), ('--repeat=-1', 'from 1 to'), ('--repeat=10000000000', 'from 1 to'),
                        ('--shift=1M', 'give that, too')):
        for command in ('trace', 'info'), ('replay',):
            message = program.refuses(*command, COLUMNS, option, path)
            check(message.startswith(option.split('=')[0]), f'{option} is named', message)
            check(why in message, f'{option}: {why}', message)
    for args, why in ((['--repeat=2', '--shift=100'], 'whole sectors'), (['--from=5us', '--to=5us'], 'after --from')):
        check(why in program.refuses('replay', COLUMNS, *args, path), f'{args}: {why}')


@case('refused/options-of-another-format')
def _():
    path = five()
    for args, message in ((['--trace-format=msr'], '--csv is for traces in format csv, not msr'),
                          (['--blkparse-format=%a'], '--csv and --blkparse-format are of different formats: give one')):
        for command in ('trace', 'info'), ('replay',):
            equal(program.refuses(*command, COLUMNS, *args, path), message, args)
    equal(program.refuses('trace', 'info', '--blkparse-format=%a', '--trace-format=csv', path),
          '--blkparse-format is for traces in format blkparse, not csv', 'of blkparse')
    for same in 'csv', 'auto':
        program.expect(0, 'trace', 'info', COLUMNS, f'--trace-format={same}', path)


@case('refused/what-leaves-nothing-or-goes-too-far')
def _():
    path = five()
    for args in ['--from=1s'], ['--skip=5'], ['--from=901us', '--to=902us'], ['--to=200us', '--skip=2']:
        for command in ('trace', 'info'), ('replay', '-o', 'out', '--set', 'machine.cpus=1'):
            equal(program.refuses(*command, COLUMNS, *args, path),
                  'five.csv: no request is left of it by --from, --to and --skip', args)
    check(not os.path.exists('out/run.json'), 'nothing is left behind')
    check('past the last sector' in program.refuses('replay', COLUMNS, '--repeat=1000000000', '--shift=1G', path), 'disk')
    check('at most 200 days' in program.refuses('replay', COLUMNS, '--scale=0.000001', '--repeat=100000', path), 'time')


@case('refused/a-pipe-cannot-be-repeated')
def _():
    message = program.refuses('replay', '--set', 'machine.cpus=1', COLUMNS, '--repeat=2', '-', stdin=FIVE.encode())
    equal(message, '-: --repeat needs a trace that can be read again, not a pipe', 'the message')
    result = json.loads(program.expect(0, 'trace', 'info', '--json', COLUMNS, '--skip=1', '-', stdin=FIVE.encode()).out)
    equal(result['ios'], 4, 'other options take one')


# ---- how far the replay falls behind ----

def free_machine():
    """A machine on which nothing takes time but the latency of reads, 60 us, and 5 ns of the link for 4 KiB."""
    program.expect(0, 'replay', '-o', 'any', os.path.join(FIXTURES, 'traces', 'synthetic-msr.csv'))
    text = read('any', 'machine.ini')
    costs = re.sub(r'^([\w-]+) = \d+$', r'\1 = 0', text[text.index('[cost]'):text.index('[behaviour]')], flags=re.M)
    return write('free.ini', costs + '[iommu]\nmode = passthrough\n[nvme]\nfetch-latency = 0\nread-latency = 60us\n'
                 'link-mb-s = 1000000\n')


def three(name='three.csv'):
    return write(name, '0,R,0,4096,1\n10,R,8,4096,1\n20,R,16,4096,1\n')


@case('late/nobody-is')
def _():
    replay = run('-c', free_machine(), COLUMNS, three())['replay']
    equal([replay[key] for key in ('late_ios', 'lateness_mean_ns', 'lateness_max_ns', 'end_ns')], [0, 0, 0, 80005],
          'late, mean, max, end')


@case('late/one-at-a-time')
def _():
    # Each takes 60005 ns: the second begins then, 50005 ns late, the third at 120010, 100010 late. Together 150015, a third.
    machine = free_machine()
    for limit in ['--depth=1'], ['--set', 'nvme.depth=2']:
        replay = run('-c', machine, COLUMNS, *limit, three())['replay']
        equal([replay[key] for key in ('late_ios', 'lateness_mean_ns', 'lateness_max_ns', 'end_ns')],
              [2, 50005, 100010, 180015], f'late, mean, max, end with {limit}')
    equal(run('-c', machine, COLUMNS, '--depth=1', three())['replay']['max_in_flight'], 1, 'most in flight')
    equal(run('-c', machine, COLUMNS, '--depth=2', three())['replay']['max_in_flight'], 2, 'most in flight')
    text = program.expect(0, 'replay', '-c', machine, COLUMNS, '--depth=1', three()).out
    for line in 'submitted late +2', 'late by, mean of all +50.0 us', 'late by, max +100 us', 'in flight at most +1':
        check(re.search(line, text), line, text)


@case('late/slower-is-in-time')
def _():
    # A tenth of the speed: 100 us apart.
    replay = run('-c', free_machine(), COLUMNS, '--depth=1', '--scale=0.1', three())['replay']
    equal([replay[key] for key in ('late_ios', 'end_ns')], [0, 260005], 'late, end')


@case('no-stall/is-closed')
def _():
    machine, path = free_machine(), three()
    closed = run('-c', machine, COLUMNS, '--mode=closed', path)
    equal(run('-c', machine, COLUMNS, '--no-stall', path), closed, '--no-stall')
    equal(closed['replay']['end_ns'], 60013, 'all at once: one latency, and 3 x 4.096 ns of the link')
    check('late_ios' not in closed['replay'], 'nobody is late')
    equal(run('-c', machine, COLUMNS, '--no-stall', '--depth=1', path)['replay']['end_ns'], 180015, 'one at a time')
    equal(run('-c', machine, COLUMNS, '--no-stall', '--depth=2', path)['replay']['end_ns'], 120010, 'two at a time')


@case('refused/depth-and-no-stall')
def _():
    path = three()
    for args, why in ((['--depth=0'], 'a count from 1'), (['--depth=x'], 'a count from 1'),
                      (['--depth=1', '--mode=asap'], 'the trace says'), (['--no-stall', '--mode=open'], 'not --mode=open')):
        check(why in program.refuses('replay', COLUMNS, *args, path), f'{args}: {why}')


# ---- segments that are made ----

MIXED = [  # write of 4 segments, and one of its size without; another size without; a discard, which has its own list
    ' fio-1 [000] ..... 1.000000: nvme_setup_cmd: nvme0: disk=nvme0n1, qid=1, cmdid=1, nsid=1, flags=0x0, meta=0x0, '
    'cmd=(nvme_cmd_write slba=64, len=23, ctrl=0x0, dsmgmt=0, reftag=0)',
    *[f' fio-1 [000] ..... 1.000000: link: (dma_iova_link+0x0/0x320) st=0x1 phys={phys:#x} off=0 size={size} dir=1'
      for phys, size in ((0x10e00, 512), (0x20000, 4096), (0x50000, 4096), (0x30000, 3584))],
    ' fio-1 [000] ..... 1.000001: block_rq_issue: 259,0 W 12288 () 64 + 24 be,0,4 [fio]',
    ' fio-1 [000] ..... 1.000002: block_rq_issue: 259,0 W 12288 () 128 + 24 be,0,4 [fio]',
    ' fio-1 [000] ..... 1.000003: block_rq_issue: 259,0 W 65536 () 256 + 128 be,0,4 [fio]',
]


@case('segments/recorded-mix')
def _():
    path = write('mix.txt', '\n'.join(MIXED) + '\n')
    replay = run('--mode=asap', '--set', 'machine.cpus=1', '--set', 'segments.layout=recorded-mix',
                 path)['replay']
    equal([replay[key] for key in ('recorded_segments', 'made_segments', 'form_segments', 'segment_layout')],
          [1, 2, 1, 'recorded-mix'], 'recorded, made, in a form, rule')
    # In the form of the first, the second touches four pages, as many as it has segments; scattered, three.
    mixed, plain = (run('--mode=asap', '--set', 'machine.cpus=1', *args, path)
                    for args in (['--set', 'segments.layout=recorded-mix'], []))
    equal(mixed['iommu']['mapped_bytes'] - plain['iommu']['mapped_bytes'], 4096, 'mapped more than without the mix')
    equal([plain['replay'][key] for key in ('recorded_segments', 'made_segments', 'segment_layout')],
          [1, 2, 'scattered'], 'plain')
    check('form_segments' not in plain['replay'], 'no forms without the mix')


@case('segments/of-the-first-byte')
def _():
    # 4 KiB at 512 bytes into a page touch two pages.
    path = three()
    for sets, pages in ([], 3), (['segments.offset=512'], 6), (['segments.offset=512', 'segments.layout=contiguous'], 6), \
            (['segments.alignment=2M', 'segments.layout=thp'], 3):
        sets = [word for one in sets for word in ('--set', one)]
        result = run(COLUMNS, '--mode=asap', *sets, path)
        equal(result['iommu']['mapped_bytes'] - run(COLUMNS, '--mode=asap', path)['iommu']['mapped_bytes'],
              (pages - 3) * 4096, f'mapped with {sets}')
    replay = run(COLUMNS, '--set', 'segments.offset=512', '--set', 'segments.seed=7', path)['replay']
    equal([replay[key] for key in ('segment_layout', 'segment_seed', 'segment_alignment_bytes', 'segment_offset_bytes')],
          ['scattered', 7, 4096, 512], 'the rule')


@case('segments/refused')
def _():
    path = three()
    for line, why in (('alignment = 3', 'a power of two'), ('alignment = 2', 'from 4 to'), ('alignment = 4M', 'to 2097152'),
                      ('offset = 2', 'a multiple of 4'), ('offset = 4096', 'from 0 to 4092'), ('layout = some', 'recorded-mix')):
        write('m.ini', f'[segments]\n{line}\n')
        message = program.refuses('replay', '-c', 'm.ini', COLUMNS, path)
        check(message.startswith('m.ini:2: '), 'file and line', message)
        check(why in message, f'{line}: {why}', message)
    check('below segments.alignment' in program.refuses('replay', COLUMNS, '--set', 'segments.alignment=512', '--set',
                                                        'segments.offset=512', path), 'offset above alignment')


@case('aligned/what-is-not-is-counted')
def _():
    path = write('t.csv', '0,R,8,4096,1\n1,R,9,4096,1\n2,W,8,512,1\n3,W,16,4097,1\n4,F,0,0,1\n')
    facts = info(path)
    equal(facts['unaligned_4k'], 3, 'not of whole 4 KiB blocks: by place, by length, and one widened to sectors')
    equal(facts['recording']['not of whole sectors'], '1', 'not of whole sectors')
    equal(run(COLUMNS, path)['trace']['recording']['not of whole sectors'], '1', 'the replay says so, too')
    path = write('d.csv', '0,D,8,4096,1\n1,D,9,4096,1\n2,D,8,512,1\n3,F,0,0,1\n')
    for block, count in (512, 0), (4096, 2):
        equal(run(COLUMNS, '--set', f'nvme.logical-block={block}', path)['replay']['unaligned_ios'], count, f'of {block}')


cases.main()
