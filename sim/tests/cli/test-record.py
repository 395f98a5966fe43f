# SPDX-License-Identifier: MIT
"""docs/examples/record.sh on a made-up tracefs: what it switches, defines, skips, and finds lost; and that the program reads
what its probes would print. test-record.py IOMMUSIM SOURCE"""
import os
import re
import shutil
import subprocess
import sys

from tap import BOOT, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
SOURCE = sys.argv[2]
SCRIPT = os.path.join(SOURCE, 'docs', 'examples', 'record.sh')
cases = Cases()
case = cases.case

EVENTS = ('block/block_rq_issue', 'block/block_rq_complete', 'block/block_rq_requeue', 'block/block_rq_insert', 'nvme', 'dma',
          'iommu', 'intel_iommu', 'io')
HEADER = '# tracer: nop\n#\n# entries-in-buffer/entries-written: 2/2   #P:2\n#\n'
ISSUE = '  fio-1  [000] .....  1.000001: block_rq_issue: 259,0 R 4096 () 0 + 8 be,0,4 [fio]\n'


def make_file(path, text=''):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    return write(path, text)


def make_tree(events=EVENTS, kallsyms=None, readme='', trace=HEADER + ISSUE):
    """A tracefs of plain files, a debugfs, and the kernel's symbols."""
    for name in 'tracing_on', 'current_tracer', 'buffer_size_kb', 'trace_clock', 'kprobe_events', 'trace_marker', \
            'kprobe_profile':
        make_file(f't/{name}')
    make_file('t/trace', trace)
    make_file('t/tracing_on', '0\n')
    for event in events:
        make_file(f't/events/{event}/enable', '0\n')
    if readme:
        make_file('t/README', readme)
        make_file('t/dynamic_events')
    for cpu in range(2):
        make_file(f't/per_cpu/cpu{cpu}/stats', 'entries: 5\noverrun: 0\ncommit overrun: 0\nbytes: 300\noldest event ts: 1.0\n'
                  'now ts: 9.0\ndropped events: 0\nread events: 0\n')
    make_file('k', ''.join(f'ffff T {name}\n' for name in (functions() if kallsyms is None else kallsyms)))
    make_file('d/iommu/intel/0000:00:04.0/domain_translation_struct', 'Device 0000:00:04.0 @0x1000\nIOVA_PFN\n')
    make_file('s/class/nvme/nvme0/address', '0000:00:04.0\n')


def record(*args, code=0, shell='sh', **more):
    env = {**os.environ, 'TRACEFS': 't', 'DEBUGFS': 'd', 'SYSFS': 's', 'KALLSYMS': 'k', **more}
    if 'BDF' not in more:
        env.pop('BDF', None)
    done = subprocess.run([shell, SCRIPT, *args], capture_output=True, text=True, env=env, timeout=60, check=False)
    check(done.returncode == code, f'record.sh {" ".join(args)}: exit {done.returncode}, not {code}',
          done.stdout + done.stderr)
    return done


def definitions():
    return record('probes', KALLSYMS='/nonexistent').stdout.splitlines()


def functions():
    return sorted({text.split()[1] for text in definitions()})


@case('script/shells-accept-it')
def _():
    for shell in 'sh', 'dash', 'bash', 'busybox':
        if shutil.which(shell):
            command = [shell, 'sh'] if shell == 'busybox' else [shell]
            done = subprocess.run([*command, '-n', SCRIPT], capture_output=True, text=True, check=False)
            equal((done.returncode, done.stderr), (0, ''), shell)
    if shutil.which('shellcheck'):
        done = subprocess.run(['shellcheck', '-s', 'sh', SCRIPT], capture_output=True, text=True, check=False)
        equal(done.stdout, '', 'shellcheck')


@case('script/wrong-use-is-refused')
def _():
    make_tree()
    for args in ((), ('zebra',), ('start', '-x'), ('start', '-b', 'many'), ('start', '-b', '0'), ('start', 'now'),
                 ('boot', '-f', 'x'), ('stop', 'x'), ('clean', 'x'), ('probes', 'x'), ('snap',), ('snap', 'a/b'),
                 ('snap', 'a', 'b', 'c'), ('mark',), ('dump', 'a', 'b')):
        record(*args, code=2)
    equal(read('t/trace'), HEADER + ISSUE, 'the buffer')
    check('no tracefs' in record('start', code=2, TRACEFS='nowhere').stderr, 'no tracefs')
    check('record.sh start' in record('--help').stdout, 'help')


@case('start/sets-up-everything')
def _():
    make_tree()
    done = record('start', '-b', '1000')
    equal(done.stderr, '', 'nothing skipped')
    for name, text in (('tracing_on', '1'), ('current_tracer', 'nop'), ('buffer_size_kb', '1000'), ('trace_clock', 'global'),
                       ('trace', ''), ('trace_marker', 'phase recording begin'),
                       *((f'events/{event}/enable', '1') for event in EVENTS)):
        equal(read(f't/{name}').strip(), text, name)
    wanted = [text for text in definitions() if not re.search(r'/(dma_|should_)', text)]
    equal(read('t/kprobe_events').splitlines(), wanted, 'the probes')
    record('stop')
    equal((read('t/tracing_on').strip(), read('t/trace_marker').strip()), ('0', 'phase recording end'), 'stopped')


@case('start/kernel-that-lacks-things-is-told-and-recorded')
def _():
    lacking = 'iommu_map_nosync', 'dma_iova_link'
    make_tree(events=[event for event in EVENTS if event not in ('dma', 'intel_iommu')],
              kallsyms=[name for name in functions() if name not in lacking])
    said = record('start').stderr
    for wanted in 'skipped map_nosync: ', 'skipped map_nosync_ret: ', 'skipped link: ', 'skipped dma:*', 'skipped intel_iommu:*':
        check(wanted in said, f'"{wanted}" in {said}')
    equal(said.count('skipped'), 5, 'nothing else')
    probes = read('t/kprobe_events')
    check('p:io/dma_map_page dma_map_page_attrs ' in probes, 'probes in place of events')
    check('iommu_map_nosync' not in probes, 'no probe on what is not there')
    os.remove('t/kprobe_events')
    check('no kprobes' in record('start').stderr, 'no kprobes')
    os.remove('t/events/block/block_rq_issue/enable')
    check('nothing to replay' in record('start', code=1).stderr, 'no block events')


@case('start/fprobes-where-there-are-some')
def _():
    make_tree(readme='\t           f[:[<group>/][<event>]] <func-name>[%return] [<args>]\n')
    record('start')
    probes = read('t/dynamic_events').splitlines()
    check('f:io/iova_free free_iova_fast pfn=$arg2 size=$arg3 iovad=$arg1' in probes, 'an entry')
    check('f:io/iova_alloc_ret alloc_iova_fast%return pfn=$retval' in probes, 'a return')
    equal(read('t/kprobe_events'), '', 'no kprobes')
    record('clean')
    check('-:io/iova_free' in read('t/dynamic_events').splitlines(), 'removed')
    equal(read('t/events/nvme/enable').strip(), '0', 'disabled')


@case('start/probes-from-boot-stay-and-failures-are-filtered')
def _():
    make_tree()
    make_file('t/events/io/link/format')
    make_file('t/events/io/should_failslab/filter')
    record('start', '-f')
    probes = read('t/kprobe_events')
    check(' dma_iova_link ' not in probes and ' should_failslab ' in probes, probes)
    equal(read('t/events/io/should_failslab/filter').strip(), 'ret != 0', 'the filter')


@case('boot/line-is-what-start-does')
def _():
    make_tree()
    line = record('boot', '-b', '2048').stdout.strip()
    words = dict(word.split('=', 1) for word in line.split(' '))
    equal((words['trace_clock'], words['trace_buf_size']), ('global', '2048K'), 'clock and size')
    equal(words['trace_event'].split(','), ['block:block_rq_issue', 'block:block_rq_complete', 'block:block_rq_requeue',
                                            'block:block_rq_insert', 'nvme:*', 'dma:*', 'iommu:*', 'intel_iommu:*'], 'events')
    record('start')
    equal(words['kprobe_event'].split(';'), [text.replace(' ', ',') for text in read('t/kprobe_events').splitlines()], 'probes')
    check(len(line) < 1800, f'{len(line)} bytes fit a command line')


@case('snap/one-device-between-its-markers')
def _():
    make_tree()
    os.remove('t/trace_marker')
    os.mkfifo('t/trace_marker')
    marks = os.open('t/trace_marker', os.O_RDWR)
    record('snap', 'probe', 'out')
    equal(os.read(marks, 1000).decode(), 'phase snap-probe begin\nphase snap-probe end\n', 'the markers')
    equal(read('out/snapshots/probe.pagetable.txt'), 'Device 0000:00:04.0 @0x1000\nIOVA_PFN\n', 'the dump')
    shutil.rmtree('d')
    make_file('d/iommu/intel/domain_translation_struct',
              'Device 0000:00:01.0 @0x1\nnot ours\n\nDevice 0000:00:04.0 @0x2\nours\n\nDevice 0000:00:05.0 @0x3\nnot ours\n')
    record('snap', 'old')
    equal(read('snapshots/old.pagetable.txt'), 'Device 0000:00:04.0 @0x2\nours\n\n', 'of the file of all')
    record('snap', 'other', BDF='0000:00:05.0')
    equal(read('snapshots/other.pagetable.txt'), 'Device 0000:00:05.0 @0x3\nnot ours\n', 'of another device')
    shutil.rmtree('d')
    check('Intel only' in record('snap', 'none', code=2).stderr, 'no dump')
    equal(sorted(os.listdir('snapshots')), ['old.pagetable.txt', 'other.pagetable.txt'], 'nothing half written')


@case('check/each-loss-is-found')
def _():
    def pair(name, returns=True):
        lines = f'  fio-1  [000] .....  1.000002: {name}: (f+0x0/0x10) size=1\n'
        return lines + (f'  fio-1  [000] .....  1.000003: {name}_ret: (g <- f) pfn=0x1\n' if returns else '')
    make_tree(trace=HEADER + ISSUE + pair('iova_alloc') + pair('iova_free', returns=False))
    equal(record('check').stdout, 'nothing lost\n', 'a kernel without returns of a free')
    stats = read('t/per_cpu/cpu1/stats')
    for name, old, new, wanted in (('per_cpu/cpu1/stats', 'overrun: 0', 'overrun: 3', 'lost: cpu1 overrun: 3'),
                                   ('per_cpu/cpu1/stats', 'commit overrun: 0', 'commit overrun: 4', 'commit overrun: 4'),
                                   ('per_cpu/cpu1/stats', 'dropped events: 0', 'dropped events: 2', 'dropped events: 2'),
                                   ('kprobe_profile', '', '  link           17             3\n', 'missed: link 3 of 20 hits'),
                                   ('trace', '2/2 ', '2/7 ', 'lost: 5 of 7 entries'),
                                   ('trace', ISSUE, ISSUE + 'CPU:1 [LOST 12 EVENTS]\n', 'lost: CPU:1 [LOST 12 EVENTS]'),
                                   ('trace', ISSUE, ISSUE + pair('iova_alloc', returns=False),
                                    'incomplete: 2 iova_alloc, 1 returns'),
                                   ('trace', ISSUE, '', 'empty: no block_rq_issue')):
        before = read('t', name)
        write(f't/{name}', before.replace(old, new, 1) if old else new)
        got = record('check', code=1).stdout
        check(wanted in got, f'"{wanted}" in {got}')
        record('dump', 'out')
        check(wanted in record('check', 'out', code=1).stdout, f'"{wanted}" of the dump')
        write(f't/{name}', before)
    equal(read('t/per_cpu/cpu1/stats'), stats, 'the stats')
    record('dump', 'out')
    equal(record('check', 'out').stdout, 'nothing lost\n', 'of the dump')
    equal(read('out', 'trace.txt'), read('t/trace'), 'the dump')
    write('t/tracing_on', '1\n')
    check('still recording' in record('dump', 'other', code=2).stderr, 'while it runs')


@case('check/recording-of-a-boot-lost-nothing')
def _():
    if not shutil.which('zstd'):
        return
    os.mkdir('out')
    with open('out/trace.txt', 'wb') as file:
        file.write(subprocess.run(['zstd', '-dcq', BOOT], capture_output=True, check=True).stdout)
    equal(record('check', 'out').stdout, 'nothing lost\n', 'check')


# ---- what the probes would print ----

def printed(definition, values):
    """The line that a probe makes."""
    place, function = definition.split()[:2]
    name = place.split('/')[1]
    body = f'({function}+0x0/0x10)' if place[0] == 'p' else f'(caller+0x1/0x10 <- {function})'
    return f'  fio-1  [000] .....  1.000001: {name}: ' + ' '.join([body, *values]) + '\n'


def arguments(definition):
    """(name, a number as its type prints it) of each argument."""
    found = []
    for text in definition.split()[2:]:
        name, value = text.split('=')
        found.append((name, {'s32': '-12', 'u8': '1', 'u32': '2', 'x8': '0x1', 'x32': '0x6'}.get(value.split(':')[-1], '0x1000')))
    return found


@case('probes/every-line-is-read-and-every-argument-used')
def _():
    ignored = {('dma_unmap_sg', 'nents'), ('iova_free_ret', 'r'), ('depot_work_ret', 'r')}
    table = read(SOURCE, 'sim', 'trace', 'kevent.c')
    for definition in definitions():
        name, args = definition.split()[0].split('/')[1], arguments(definition)
        check(re.search(rf'\{{"{name}",\s*KEVENT_\w+,\s*true', table), f'{name} is in the table of events')
        good = [f'{arg}={value}' for arg, value in args]
        write('t', HEADER + printed(definition, good))
        program.expect(1, 'whois', '0x7777000', 't')
        for index, (arg, _) in enumerate(args):
            write('t', HEADER + printed(definition, [*good[:index], f'{arg}=zebra', *good[index + 1:]]))
            if (name, arg) in ignored:
                program.expect(1, 'whois', '0x7777000', 't')
            else:
                equal(program.refuses('whois', '0x7777000', 't'), f't:5: {name}: fields not understood', f'{arg} of {name}')


@case('probes/every-row-of-the-table-has-one')
def _():
    rows = re.findall(r'\{"(\w+)",\s*KEVENT_\w+,\s*true', read(SOURCE, 'sim', 'trace', 'kevent.c'))
    equal(sorted(set(rows)), sorted(text.split()[0].split('/')[1] for text in definitions()), 'names')


cases.main()
