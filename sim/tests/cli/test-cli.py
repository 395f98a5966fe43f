# SPDX-License-Identifier: MIT
"""The program as a user meets it: exit codes, messages, files. test-cli.py IOMMUSIM"""
import gzip
import json
import os
import re
import subprocess
import sys

from tap import (BOOT, BOOT_BLKTRACE, FIXTURES, SYNTHETIC, Cases, Program, check, check_one_line, equal, read, tree,
                 write)

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

COMMANDS = ['replay', 'diff', 'snapshot show', 'snapshot check', 'pagetable formats', 'pagetable dump',
            'pagetable walk', 'trace convert', 'trace info', 'behaviours', 'faults list', 'faults points', 'trace formats', 'machine show']
RESULTS = {'run.json', 'end.snap', 'teardown.snap', 'timeline.csv', 'machine.ini'}
LINK_MIDWAY = os.path.join(FIXTURES, 'faults', 'link-midway.ini')
SYNC = os.path.join(FIXTURES, 'faults', 'sync.ini')
OLD = ['--set', 'behaviour.blkdma-rollback=old']
STREAMED = ['--set', 'machine.cpus=4']  # nothing is asked of the trace before the run begins
REPAIRED = ['--set', 'kernel.version=fixed']


def replay(out, *more, code=0, trace=BOOT):
    return program.expect(code, 'replay', '-o', out, *more, trace)


# ---- requests that cannot be met: (name, arguments, what the message says) ----

REFUSED = [
    ('command-unknown', ['replya'], 'no command "replya"'),
    ('command-second-word-unknown', ['snapshot', 'shwo'], 'no command "snapshot shwo"'),
    ('command-word-of-another', ['trace', 'show'], 'no command "trace show"'),
    ('command-empty', [''], 'no command ""'),
    ('replay-no-trace', ['replay'], 'at least 1 argument'),
    ('replay-option-unknown', ['replay', '--modus=open', BOOT], '--modus'),
    ('replay-option-short-unknown', ['replay', '-x', BOOT], '-x'),
    ('replay-option-without-value', ['replay', BOOT, '-o'], '-o'),
    ('replay-trace-missing', ['replay', 'no-such'], 'no-such: '),
    ('replay-trace-is-empty-directory', ['replay', '.'], '.: '),
    ('replay-trace-is-no-trace', ['replay', LINK_MIDWAY], 'link-midway.ini'),
    ('replay-trace-format-unknown', ['replay', '--trace-format=tape', BOOT], 'tape'),
    ('replay-trace-of-another-format', ['replay', '--trace-format=blktrace', SYNTHETIC], 'synthetic'),
    ('replay-set-group-unknown', ['replay', '--set', 'moon.phase=1', BOOT], 'unknown group [moon]'),
    ('replay-set-key-unknown', ['replay', '--set', 'iommu.colour=red', BOOT], 'unknown key "colour"'),
    ('replay-set-value-unknown', ['replay', '--set', 'iommu.mode=lax', BOOT], 'mode = lax'),
    ('replay-set-value-too-large', ['replay', '--set', 'machine.cpus=99999999', BOOT], 'cpus = 99999999'),
    ('replay-set-value-negative', ['replay', '--set', 'nvme.depth=-1', BOOT], 'depth = -1'),
    ('replay-set-value-empty', ['replay', '--set', 'machine.seed=', BOOT], 'seed = '),
    ('replay-set-without-equals', ['replay', '--set', 'iommu.mode', BOOT], 'GROUP.KEY=VALUE'),
    ('replay-set-without-dot', ['replay', '--set', 'mode=strict', BOOT], 'GROUP.KEY=VALUE'),
    ('replay-set-behaviour-unknown', ['replay', '--set', 'behaviour.tea=hot', BOOT], 'unknown key "tea"'),
    ('replay-set-behaviour-value-unknown', ['replay', '--set', 'behaviour.iova-depot=none', BOOT], 'array-32, trimmed'),
    ('replay-set-combination-impossible', ['replay', '--set', 'iotlb.ways=3', BOOT], 'power of two'),
    ('replay-mode-unknown', ['replay', '--mode=slow', BOOT], 'open, closed or asap'),
    ('replay-limit-zero', ['replay', '--limit=0', BOOT], '--limit=0'),
    ('replay-limit-negative', ['replay', '--limit=-3', BOOT], '--limit=-3'),
    ('replay-limit-not-a-number', ['replay', '--limit=many', BOOT], '--limit=many'),
    ('replay-limit-with-tail', ['replay', '--limit=10x', BOOT], '--limit=10x'),
    ('replay-limit-beyond-64-bits', ['replay', '--limit=18446744073709551616', BOOT], '--limit='),
    ('replay-seed-not-a-number', ['replay', '--seed=lucky', BOOT], '--seed=lucky'),
    ('replay-snapshot-at-not-a-time', ['replay', '-o', 'out', '--snapshot-at=noon', BOOT], '"noon"'),
    ('replay-snapshot-at-zero', ['replay', '-o', 'out', '--snapshot-at=#0', BOOT], '"#0"'),
    ('replay-snapshot-at-empty', ['replay', '-o', 'out', '--snapshot-at=1ms,', BOOT], '""'),
    ('replay-snapshot-every-not-a-time', ['replay', '-o', 'out', '--snapshot-every=#x', BOOT], '"#x"'),
    ('replay-snapshot-at-without-directory', ['replay', '--snapshot-at=1ms', BOOT], 'need -o DIR'),
    ('replay-snapshot-every-without-directory', ['replay', '--snapshot-every=#5', BOOT], 'need -o DIR'),
    ('replay-output-below-a-file', ['replay', '-o', os.path.join(LINK_MIDWAY, 'out'), BOOT], 'link-midway.ini'),
    ('replay-faults-missing', ['replay', '-f', 'no-such.ini', BOOT], 'no-such.ini: '),
    ('replay-machine-missing', ['replay', '-c', 'no-such.ini', BOOT], 'no-such.ini: '),
    ('replay-progress-unknown', ['replay', '--progress=maybe', BOOT], 'auto, always or never'),
    ('replay-blktrace-on-stdin-empty', ['replay', '-'], '-'),
    ('diff-one-file', ['diff', 'a.snap'], 'not 1'),
    ('diff-three-files', ['diff', 'a', 'b', 'c'], 'not 3'),
    ('diff-file-missing', ['diff', 'a.snap', 'b.snap'], 'a.snap: '),
    ('diff-of-traces', ['diff', SYNTHETIC, SYNTHETIC], 'synthetic'),
    ('diff-option-unknown', ['diff', '--colour', 'a', 'b'], '--colour'),
    ('show-no-file', ['snapshot', 'show'], 'not 0'),
    ('show-file-missing', ['snapshot', 'show', 'a.snap'], 'a.snap: '),
    ('check-no-file', ['snapshot', 'check'], 'not 0'),
    ('check-file-missing', ['snapshot', 'check', 'a.snap'], 'a.snap: '),
    ('check-of-a-trace', ['snapshot', 'check', BOOT], 'v7.0-strict-ext4'),
    ('formats-argument', ['pagetable', 'formats', 'vtdss'], '"vtdss"'),
    ('dump-no-file', ['pagetable', 'dump'], 'not 0'),
    ('dump-file-missing', ['pagetable', 'dump', 'a.snap'], 'a.snap: '),
    ('dump-of-a-trace', ['pagetable', 'dump', BOOT], 'v7.0-strict-ext4'),
    ('walk-no-iova', ['pagetable', 'walk', 'a.snap', 'nvme0'], 'not 2'),
    ('walk-file-missing', ['pagetable', 'walk', 'a.snap', 'nvme0', '0'], 'a.snap: '),
    ('info-no-trace', ['trace', 'info'], 'not 0'),
    ('info-trace-missing', ['trace', 'info', 'no-such'], 'no-such: '),
    ('info-at-unknown', ['trace', 'info', '--at=merge', BOOT], 'issue, queue or setup'),
    ('info-csv-without-units', ['trace', 'info', '--csv=time,op,offset:bytes,size:bytes', BOOT], "'time'"),
    ('info-csv-of-another-trace', ['trace', 'info', '--csv=time:ns,op,offset:bytes,size:bytes', BOOT], 'columns'),
    ('info-blkparse-format-incomplete', ['trace', 'info', '--blkparse-format=%a %d', BOOT], 'lacks %T'),
    ('replay-at-unknown', ['replay', '--at=merge', BOOT], 'issue, queue or setup'),
    ('replay-at-queue-without-any', ['replay', '--at=queue', BOOT], 'no queue events'),
    ('info-format-unknown', ['trace', 'info', '--trace-format=tape', BOOT], 'tape'),
    ('machine-show-argument', ['machine', 'show', 'x.ini'], '"x.ini"'),
    ('machine-show-output-below-a-file', ['machine', 'show', '-o', os.path.join(LINK_MIDWAY, 'm.ini')], 'link-midway.ini'),
    ('faults-points-argument', ['faults', 'points', BOOT], 'no argument'),
    ('trace-formats-argument', ['trace', 'formats', 'iot'], '"iot"'),
    ('behaviours-argument', ['behaviours', 'all'], '"all"'),
    ('behaviours-option-unknown', ['behaviours', '--version=7'], '--version'),
    ('faults-no-trace', ['faults', 'list'], 'at least 1 argument'),
    ('faults-trace-missing', ['faults', 'list', 'no-such'], 'no-such: '),
    ('faults-option-of-replay', ['faults', 'list', '-o', 'out', BOOT], '-o'),
]


# Mistakes of somebody new: (name, arguments, what the message tells to do). clean and board.* are there.
ADVISED = [
    ('command', ['replya', BOOT], 'did you mean "replay"?'),
    ('command-of-two-words', ['snapshot', 'chekc', 'a'], 'did you mean "snapshot check"?'),
    ('command-of-a-family', ['traec', 'info', BOOT], 'did you mean "trace info"?' ),
    ('option', ['replay', '--modes=open', BOOT], 'did you mean --mode? See "iommusim replay --help"'),
    ('option-of-all', ['diff', '--jsno', 'a', 'b'], 'did you mean --json?'),
    ('option-far-off', ['replay', '--colour', BOOT], 'see "iommusim replay --help"'),
    ('option-of-the-program', ['--verison'], 'did you mean "--version"?'),
    ('argument-of-one-or-two', ['report', '-o', 'x.html'], 'takes 1 to 2 arguments (-o FILE.html DIR [DIR2]), not 0'),
    ('argument-missing', ['replay'], 'see "iommusim replay --help"'),
    ('argument-too-much', ['diff', 'a', 'b', 'c'], 'see "iommusim diff --help"'),
    ('argument-of-none', ['behaviours', '7.0'], 'see "iommusim behaviours --help"'),
    ('snapshot-as-trace', ['replay', 'clean/end.snap'], 'a snapshot: for iommusim diff'),
    ('run-as-trace', ['replay', 'clean'], 'its snapshots are end.snap and teardown.snap'),
    ('run-as-snapshot', ['diff', 'clean', 'clean'], 'its snapshots are end.snap and teardown.snap'),
    ('machine-file-as-trace', ['replay', 'clean/machine.ini'], 'a machine file: it goes with -c'),
    ('faults-file-as-trace', ['replay', SYNC], 'a faults file: it goes with -f'),
    ('blob-as-trace', ['trace', 'info', 'board.dtb'], 'a device tree blob: for iommusim devtree'),
    ('source-as-trace', ['trace', 'info', 'board.dts'], 'dtc -O dtb'),
    ('source-as-blob', ['devtree', 'list', 'board.dts'], 'dtc -O dtb'),
    ('trace-as-blob', ['devtree', 'list', SYNTHETIC], 'a trace: for iommusim replay'),
    ('source-as-board', ['replay', '--dtb', 'board.dts', BOOT], 'dtc -O dtb'),
    ('trace-as-snapshot', ['snapshot', 'show', BOOT], 'a trace: for iommusim replay'),
    ('machine-file-as-snapshot', ['snapshot', 'check', 'clean/machine.ini'], 'a machine file: it goes with -c'),
    ('trace-as-machine-file', ['replay', '-c', BOOT, BOOT], 'a trace: for iommusim replay'),
    ('snapshot-as-machine-file', ['replay', '-c', 'clean/end.snap', BOOT], 'a snapshot: for iommusim diff'),
    ('faults-file-as-machine-file', ['replay', '-c', SYNC, BOOT], 'a faults file goes with -f'),
    ('machine-file-as-faults-file', ['replay', '-f', 'clean/machine.ini', BOOT], 'a machine file goes with -c'),
    ('key', ['replay', '--set', 'iommu.mod=lazy', BOOT], 'did you mean iommu.mode?'),
    ('key-far-off', ['replay', '--set', 'iommu.colour=red', BOOT], 'see "iommusim machine show"'),
    ('key-of-a-behaviour', ['replay', '--set', 'behaviour.blkdma-rolback=old', BOOT], 'did you mean behaviour.blkdma-rollback?'),
    ('group', ['replay', '--set', 'moon.phase=1', BOOT], 'see "iommusim machine show"'),
    ('key-without-group', ['replay', '--set', 'mode=lazy', BOOT], 'such as iommu.mode=lazy'),
    ('version', ['replay', '--set', 'kernel.version=6.10', BOOT], 'one of 6.1, 6.6, 6.12'),
    ('point', ['replay', '--fail=dma.lnk:4', BOOT], 'see "iommusim faults points"'),
    ('point-without-count', ['replay', '--fail=dma.link', BOOT], 'such as dma.link:40'),
    ('sets', ['bisect', BOOT], 'such as --good=version=fixed'),
    ('set-without-name', ['bisect', '--good=fixed', '--bad=7.0', BOOT], 'such as version=fixed'),
    ('version-of-a-set', ['bisect', '--good=version=fixed', '--bad=version=8', BOOT], 'see "iommusim behaviours"'),
    ('page-table-format', ['pagetable', 'dump', '--format=vtd', 'clean/end.snap'], 'see "iommusim pagetable formats"'),
    ('driver', ['devtree', 'probe', '--fail=mtk:S3', 'board.dtb'], '"iommusim devtree list"'),
    ('recording', ['verify', os.path.join(FIXTURES, 'traces', 'loop-mix.blkparse.txt')], "recording of the kernel's events"),
]


@case('advised/what-to-do-next')
def _():
    replay('clean')
    source = os.path.join(FIXTURES, 'boards', 'mtk-iommu.dts')
    with open(source, 'rb') as file:
        write('board.dts', file.read())
    subprocess.run(['dtc', '-q', '-O', 'dtb', '-o', 'board.dtb', 'board.dts'], check=True)
    for name, args, says in ADVISED:
        message = program.refuses(*args)
        check(says in message, f'{name}: a message with {says!r} expected', message)
    listed = program.expect(2, 'trace').err
    check('  trace info ' in listed and '  replay ' not in listed, 'the commands of a family', listed)


def refused(args, says):
    message = program.refuses(*args)
    check(says in message, f'a message with {says!r} expected', message)
    left = {name for name, content in tree('.').items() if content is not None}
    equal(left, set(), 'files left')


for row in REFUSED:
    cases.add(f'refuses/{row[0]}', refused, *row[1:])


def refused_file(args, path):
    message = program.refuses(*args, path, *([BOOT] if args[0] == 'replay' else []))
    name = re.escape(path)
    check(re.match(rf'({name}|[^ :]*{re.escape(os.path.basename(path))[:12]}[^ :]*)(:\d+|@\d+)?: ', message),
          'a message that begins with the file', message)


for kind, args in [('machines', ['replay', '-c']), ('faults', ['replay', '-f']), ('keyfiles', ['replay', '-c'])]:
    folder = os.path.join(FIXTURES, 'hostile', kind)
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        cases.add(f'hostile/{kind}/{os.path.splitext(file)[0]}', refused_file, args, os.path.join(folder, file))


@case('help/every-command')
def _():
    listed = program.expect(0, '--help').out
    for command in COMMANDS:
        check(f'  {command} ' in listed, f'{command} is not in --help', listed)
        result = program.expect(0, *command.split(), '--help')
        check(result.out.startswith(f'Usage:\n  iommusim {command} '), f'help of {command}', result)
        equal(result.err, '', 'stderr')
        equal(program.expect(0, 'help', *command.split()).out, result.out, f'help {command}')
    equal(program.expect(0, 'help').out, listed, 'help')
    family = program.expect(0, 'help', 'snapshot').out
    check('  snapshot show ' in family and '  replay ' not in family, 'help of a family', family)
    check(program.refuses('help', 'nothing').startswith('no command "nothing"'), 'help of nothing')


@case('machine/show-writes-a-file-that-reads-back')
def _():
    program.expect(0, 'machine', 'show', '--set', 'iommu.mode=lazy', '--set', 'kernel.version=6.18', '-o', 'm.ini')
    keys = {key['key']: key for key in json.loads(program.expect(0, 'machine', 'show', '-c', 'm.ini', '--json').out)['keys']}
    equal((keys['iommu.mode']['value'], keys['iommu.mode']['default']), ('lazy', 'strict'), 'iommu.mode')
    equal(keys['behaviour.blkdma-rollback']['value'], 'old', 'a behaviour of 6.18')
    equal([name for name, key in keys.items() if key['value'] != key['default']], ['kernel.version', 'iommu.mode'], 'changed')
    program.expect(0, 'machine', 'show', '-c', 'm.ini', '-o', 'again.ini')
    equal(read('again.ini'), read('m.ini'), 'the file written again')


@case('trace/formats-that-are-written-are-those-of-convert')
def _():
    formats = json.loads(program.expect(0, 'trace', 'formats', '--json').out)['formats']
    listed = program.expect(0, 'trace', 'convert', '--help').out.split('\nFormats:\n')[1].split('\n\n')[0]
    equal({row['name'] for row in formats if row['writes']}, set(re.findall(r'^  (\w+)', listed, re.M)), 'written')


@case('output/without-proc')
def _():
    """As in a chroot: where /proc is empty, files appear all the same, and nothing else does."""
    own = ['unshare', '--mount', '--map-root-user', 'sh', '-c']
    if subprocess.run([*own, 'mount -t tmpfs none /proc'], capture_output=True, check=False).returncode:
        print('# not run: no mount namespaces here')
        return
    done = subprocess.run([*own, f'mount -t tmpfs none /proc && exec "{program.path}" machine show -o m.ini'],
                          capture_output=True, check=False)
    # The search for leaks at the end, of a program with sanitizers, cannot do without.
    if b'LeakSanitizer does not work' not in done.stderr:
        equal((done.returncode, done.stderr), (0, b''), 'exit and messages')
    equal(os.listdir('.'), ['m.ini'], 'files')


@case('help/version')
def _():
    check(re.fullmatch(r'iommusim \d+\.\d+\.\d+\n', program.expect(0, '--version').out), 'a version')


@case('help/no-command')
def _():
    result = program.expect(2)
    equal(result.out, '', 'stdout')
    check(result.err.startswith('Usage: '), 'usage on stderr', result)


# ---- a replay and what it leaves ----

def table_counts(text):
    """The "label  1,234" lines of a table."""
    return {label.strip(): int(number.replace(',', ''))
            for label, number in re.findall(r'^ *(\S.*?) +([\d,]+)$', text, re.M)}


@case('replay/prints-counts')
def _():
    result = program.expect(0, 'replay', BOOT)
    counts = table_counts(result.out)
    equal(result.err, '', 'stderr')
    equal(counts['I/Os replayed'], 696, 'I/Os', result)
    equal(counts['violations'], 0, 'violations', result)
    equal([counts[op] for op in ('read', 'write', 'flush', 'discard', 'write-zeroes', 'passthrough')],
          [282, 178, 9, 64, 134, 29], 'operations', result)


@case('replay/json-says-the-same')
def _():
    table = table_counts(program.expect(0, 'replay', BOOT).out)
    said = json.loads(program.expect(0, 'replay', '--json', BOOT).out)
    equal(said['replay']['ios'], table['I/Os replayed'], 'I/Os')
    for row in said['replay']['ops']:
        equal(row['count'], table.get(row['op'], 0), row['op'])
    equal(sum(row['count'] for row in said['replay']['ops']), said['replay']['ios'], 'I/Os by operation')
    equal(said['iommu']['maps'], table['map calls'], 'map calls')
    equal(said['iommu']['unmaps'], table['unmap calls'], 'unmap calls')
    equal(said['iova']['allocs'], table['allocations'], 'allocations')
    equal(said['trace']['events'], table['events'], 'events')


@case('replay/json-in-the-directory-is-the-printed-one')
def _():
    said = json.loads(replay('out', '--json').out)
    kept = json.loads(read('out', 'run.json'))
    check('elapsed_us' in kept.pop('host'), 'host facts')
    equal(kept, said, 'run.json')


@case('replay/directory-holds-the-results')
def _():
    replay('deep/er/out')
    equal(set(os.listdir('deep/er/out')), RESULTS, 'files')
    head, *rows = read('deep/er/out', 'timeline.csv').splitlines()
    check(head.startswith('end_ns,ios,'), 'head of the time line', head)
    equal({row.count(',') for row in rows}, {head.count(',')}, 'columns of the time line')
    equal(sum(int(row.split(',')[1]) for row in rows), 696, 'I/Os in the time line')


@case('replay/machine-ini-repeats-the-run')
def _():
    replay('first', '--set', 'nvme.depth=7', '--set', 'iommu.forcedac=yes', '--seed=5', '--set', 'cost.doorbell-ns=77',
           '--set', 'kernel.version=6.18', '--set', 'behaviour.prp-pool-unmap=whole')
    replay('again', '-c', 'first/machine.ini')
    for name in ('end.snap', 'teardown.snap', 'timeline.csv', 'machine.ini'):
        equal(read('again', name), read('first', name), name)
    replay('other')
    check(read('other', 'machine.ini') != read('first', 'machine.ini'), 'another machine has another file')
    check(read('other', 'end.snap') != read('first', 'end.snap'), 'another machine ends differently')


@case('replay/every-machine-of-the-fixtures')
def _():
    folder = os.path.join(FIXTURES, 'machines')
    ends = set()
    for name in sorted(os.listdir(folder)):
        result = replay('out', '-c', os.path.join(folder, name))
        equal(table_counts(result.out)['violations'], 0, 'violations', result)
        equal(table_counts(result.out)['I/Os replayed'], 696, 'I/Os', result)
        ends.add(read('out', 'end.snap'))
    equal(len(ends), len(os.listdir(folder)), 'machines that end differently')


@case('replay/set-overrides-the-machine-file-in-any-order')
def _():
    write('m.ini', '[nvme]\ndepth = 7\n')
    replay('a', '--set', 'nvme.depth=9', '-c', 'm.ini')
    check('\ndepth = 9\n' in read('a', 'machine.ini'), 'depth', read('a', 'machine.ini'))
    replay('b', '-c', 'm.ini', '--set', 'nvme.depth=9', '--set', 'nvme.depth=11')
    check('\ndepth = 11\n' in read('b', 'machine.ini'), 'depth', read('b', 'machine.ini'))


@case('replay/same-number-in-every-mode')
def _():
    for trace in (BOOT, BOOT_BLKTRACE):
        ios = set()
        for mode in ('open', 'closed', 'asap'):
            said = json.loads(program.expect(0, 'replay', '--json', f'--mode={mode}', trace).out)
            equal(said['replay']['mode'], mode, 'mode')
            ios.add(said['replay']['ios'])
        equal(len(ios), 1, f'different numbers of I/Os {ios}')


@case('replay/limit')
def _():
    for limit in (1, 2, 100, 696, 10000):
        said = json.loads(program.expect(0, 'replay', '--json', f'--limit={limit}', BOOT).out)
        equal(said['replay']['ios'], min(limit, 696), '--limit')


@case('replay/snapshots-where-asked')
def _():
    replay('out', '--snapshot-at=9s,#100,8s', '--snapshot-every=#300')
    wanted = {'at-8000000000ns.snap', 'at-9000000000ns.snap', 'at-request-100.snap', 'at-request-300.snap',
              'at-request-600.snap'}
    equal(set(os.listdir('out')) - RESULTS, wanted, 'snapshots')
    for name in sorted(os.listdir('out')):
        if name.endswith('.snap'):
            result = program.expect(0, 'snapshot', 'check', f'out/{name}')
            equal(result.err, '', 'stderr')
            program.expect(0, 'snapshot', 'show', f'out/{name}')
            json.loads(program.expect(0, 'snapshot', 'show', '--json', f'out/{name}').out)
    program.expect(1, 'diff', 'out/at-request-100.snap', 'out/at-request-300.snap')


@case('replay/input-from-stdin')
def _():
    with open(SYNTHETIC, 'rb') as file:
        content = file.read()
    replay('a', '--set', 'machine.cpus=4', trace=SYNTHETIC)
    program.expect(0, 'replay', '-o', 'b', '--set', 'machine.cpus=4', '-', stdin=content)
    equal(read('b', 'end.snap'), read('a', 'end.snap'), 'end.snap')
    with open(BOOT, 'rb') as file:
        program.expect(0, 'replay', '-o', 'c', '--set', 'machine.cpus=4', '-', stdin=file.read())
    replay('d', '--set', 'machine.cpus=4')
    equal(read('c', 'end.snap'), read('d', 'end.snap'), 'end.snap of what is compressed')


@case('replay/input-compressed-by-gzip')
def _():
    with open(SYNTHETIC, 'rb') as file:
        write('t.txt.gz', gzip.compress(file.read()))
    replay('a', trace=SYNTHETIC)
    replay('b', trace='t.txt.gz')
    equal(read('b', 'end.snap'), read('a', 'end.snap'), 'end.snap')


@case('replay/progress-only-where-wanted')
def _():
    equal(program.expect(0, 'replay', BOOT).err, '', 'stderr where it is no terminal')
    equal(program.expect(0, 'replay', '--progress=never', BOOT).err, '', 'stderr')
    shown = program.expect(0, 'replay', '--progress=always', BOOT)
    check('I/Os' in shown.err, 'progress', shown)
    equal(shown.out, program.expect(0, 'replay', BOOT).out, 'the result beside progress')


@case('replay/full-disk-is-exit-2')
def _():
    if os.path.exists('/dev/full'):
        import subprocess
        with open('/dev/full', 'wb') as full:
            done = subprocess.run([program.path, 'replay', BOOT], stdout=full, stderr=subprocess.PIPE, check=False)
        equal(done.returncode, 2, 'exit', done.stderr)
        check(done.stderr.startswith(b'iommusim: ') and done.stderr.count(b'\n') == 1, 'one line', done.stderr)


# ---- nothing half written ----

def broken_trace():
    with open(SYNTHETIC, 'rb') as file:
        lines = file.read().splitlines(keepends=True)
    return write('broken.txt', b''.join(lines[:-20]) + b'\xff\x00 this is no line of a trace\n')


@case('failing/leaves-no-file')
def _():
    trace = broken_trace()
    before = tree('.')
    for options in ([], STREAMED, [*STREAMED, '--mode=asap'], [*STREAMED, '--mode=closed']):
        message = program.refuses('replay', '-o', 'out', *options, trace)
        check(message.startswith('broken.txt:'), 'file and line', message)
        after = {name: content for name, content in tree('.').items() if content is not None}
        equal(after, before, 'files')


@case('failing/keeps-the-results-of-before')
def _():
    trace = broken_trace()
    replay('out')
    before = tree('.')
    program.refuses('replay', '-o', 'out', *STREAMED, trace)
    equal(tree('.'), before, 'files')


@case('failing/snapshots-before-the-trouble-are-whole')
def _():
    trace = broken_trace()
    program.refuses('replay', '-o', 'out', '--snapshot-at=#5,#10', *STREAMED, trace)
    equal(set(os.listdir('out')), {'at-request-5.snap', 'at-request-10.snap'}, 'files')
    for name in os.listdir('out'):
        program.expect(0, 'snapshot', 'check', f'out/{name}')


@case('failing/snapshots-too-many')
def _():
    check('snapshots' in program.refuses('replay', '-o', 'out', '--snapshot-every=1us', BOOT), 'what there is too much of')
    for name in os.listdir('out'):
        check(re.fullmatch(r'at-\d+ns\.snap', name), f'left: {name}')


@case('failing/directory-not-writable')
def _():
    if os.path.isdir('/proc'):
        check('/proc/' in program.refuses('replay', '-o', '/proc/no-such/out', BOOT), 'which directory')


@case('failing/result-is-a-directory')
def _():
    for name in sorted(RESULTS):
        os.makedirs(f'{name}.d/{name}/x')
        program.refuses('replay', '-o', f'{name}.d', BOOT)
        left = [file for file in tree(f'{name}.d') if file.split('/')[0] not in RESULTS]
        equal(left, [], 'temporary files')


# ---- faults ----

def teardown_diff(code):
    return program.expect(code, 'diff', 'clean/teardown.snap', 'out/teardown.snap').out


@case('faults/link-old')
def _():
    replay('clean')
    result = replay('out', '-f', LINK_MIDWAY, *OLD, code=1)
    for kind in ('device access to a hole', 'wrong-size unmap'):
        check(re.search(rf'^ *{kind} at .*cpu \d+, nvme0: .*taken by request \d+', result.out, re.M), kind, result)
    equal(table_counts(result.out)['violations'], 2, 'violations', result)
    equal(result.err, '', 'no warning of a rule that fired', result)
    equal(result.err, '', 'no warning of a rule that fired', result)
    said = json.loads(read('out', 'run.json'))
    check(json.dumps(said).count('wrong-size unmap') == 1, 'finding in run.json', said)


@case('faults/sync-old')
def _():
    replay('clean')
    result = replay('out', '-f', SYNC, *OLD, code=1)
    check(re.search(r'^ *leak at .*nvme0: IOVA 0x[0-9a-f]+, \d+ bytes, \d+ of them still mapped', result.out, re.M),
          'leak', result)
    text = teardown_diff(1)
    check(re.search(r'^IOVA leaked: .*owner=req:\d+', text, re.M), 'IOVA and its owner', text)
    check(re.search(r'^mapping added: .*owner=req:\d+', text, re.M), 'mapping and its owner', text)
    said = json.loads(program.expect(1, 'diff', '--json', 'clean/teardown.snap', 'out/teardown.snap').out)
    equal(said['count'], len(text.partition('\n\n')[2].splitlines()), 'changes in JSON')
    equal(len(said['changes']), said['count'], 'changes in JSON')
    counted = program.expect(1, 'diff', '--stat', 'clean/teardown.snap', 'out/teardown.snap').out
    equal(table_counts(counted)['in all'], said['count'], 'changes counted')


@case('faults/link-and-sync-fixed')
def _():
    replay('clean')
    for rules in (LINK_MIDWAY, SYNC):
        result = replay('out', '-f', rules, *REPAIRED)
        equal(table_counts(result.out)['violations'], 0, 'violations', result)
        check(table_counts(result.out)['requeued: no resource'] + table_counts(result.out)['ended with an error'] > 0,
              'the fault was felt', result)
        equal(teardown_diff(0), '', 'diff')


@case('faults/same-teardown-is-no-difference')
def _():
    replay('clean')
    replay('out', '--set', 'nvme.read-latency=1us')
    check(read('clean', 'teardown.snap') != read('out', 'teardown.snap'), 'other times in the header')
    equal(teardown_diff(0), '', 'diff')
    program.expect(1, 'diff', 'clean/end.snap', 'clean/teardown.snap')
    program.expect(0, 'diff', 'clean/end.snap', 'clean/end.snap')


@case('faults/rule-that-never-fires-is-a-warning')
def _():
    write('f.ini', '[fault late]\npoint = dma.link\nnth = 1000000\n')
    result = program.expect(0, 'replay', '-f', 'f.ini', BOOT)
    check_one_line(result)
    check('warning: [fault late] never fired' in result.err, 'warning', result)


@case('faults/probe-that-fails-is-said')
def _():
    write('f.ini', '[fault early]\npoint = iova.rcache_array\nnth = 1\n')
    result = program.run('replay', '-o', 'out', '-f', 'f.ini', *REPAIRED, BOOT)
    check(result.code in (0, 1), 'done', result)
    check('IOVA caches' in result.out, 'the step that failed', result)
    program.expect(0, 'snapshot', 'check', 'out/teardown.snap')


@case('faults/list-names-every-point')
def _():
    table = program.expect(0, 'faults', 'list', BOOT).out
    points = json.loads(program.expect(0, 'faults', 'list', '--json', BOOT).out)['points']
    names = [row['point'] for row in points]
    equal(re.findall(r'^([a-z_]+\.[a-zA-Z0-9_.]+) ', table, re.M), names, 'table and JSON')
    equal(len(set(names)), len(names), 'names')
    for name in ('iova.node', 'iova.magazine', 'iova.rcache_array', 'iova.rcache_percpu', 'iova.cpuhp', 'pgtable.page',
                 'iommu.map', 'iommu.sync_map', 'dma.iova', 'dma.link', 'dma.sync', 'nvme.prp_pool', 'nvme.sgl_pool',
                 'nvme.vec_pool', 'nvme.queue'):
        check(name in names, f'no point {name}')
    for row in points:
        write('f.ini', f'[fault a]\npoint = {row["point"]}\nnth = {row["passes"] + 1}\n')
        result = program.expect(0, 'replay', '-f', 'f.ini', BOOT)
        check(f'never fired in {row["passes"]} passes' in result.err, 'as many passes as were listed', result)


# ---- behaviours ----

@case('behaviours/table-and-json')
def _():
    table = program.expect(0, 'behaviours').out
    rows = json.loads(program.expect(0, 'behaviours', '--json').out)['behaviours']
    versions = [row['version'] for row in rows[0]['versions']]
    equal(table.splitlines()[0].split(), ['BEHAVIOUR', *versions], 'versions')
    for version in ('6.1', '6.6', '6.12', '6.17', '6.18', '6.19', '7.0', '7.0-later', 'fixed'):
        check(version in versions, f'no version {version}')
    for row in rows:
        values = [value['value'] for value in row['values']]
        check(re.search(rf'^{row["name"]} ', table, re.M), f'{row["name"]} is not in the table')
        check(len(values) >= 2, f'{row["name"]} has no choice')
        for version in row['versions']:
            check(version['value'] in [*values, '-'], f'{row["name"]} in {version["version"]}')


@case('behaviours/each-value-replays')
def _():
    for row in json.loads(program.expect(0, 'behaviours', '--json').out)['behaviours']:
        for value in row['values']:
            key = f'behaviour.{row["name"]}={value["value"]}'
            result = replay('out', '--set', key)
            equal(table_counts(result.out)['I/Os replayed'], 696, 'I/Os', result)
            check(f'\n{row["name"]} = {value["value"]}\n' in read('out', 'machine.ini'), f'{key} in machine.ini')


@case('behaviours/each-version-replays')
def _():
    for row in json.loads(program.expect(0, 'behaviours', '--json').out)['behaviours'][0]['versions']:
        result = replay('out', '--set', f'kernel.version={row["version"]}')
        equal(table_counts(result.out)['I/Os replayed'], 696, 'I/Os', result)
        equal(table_counts(result.out)['violations'], 0, 'violations', result)
        again = program.expect(0, 'replay', '--json', '-c', 'out/machine.ini', BOOT).out
        equal(json.loads(again)['replay'], json.loads(read('out', 'run.json'))['replay'], 'the run repeated')


# ---- snapshots and traces ----

@case('snapshot/damaged-digest')
def _():
    replay('out')
    text = read('out', 'end.snap')
    last = '0' if text[-2] != '0' else '1'
    write('bad.snap', text[:-2] + last + '\n')
    result = program.run('snapshot', 'check', 'bad.snap')
    check(result.code in (1, 2), 'exit 1 or 2', result)
    equal(len((result.out + result.err).splitlines()), 1, 'lines')
    check('bad.snap' in result.out + result.err, 'names the file', result)


@case('snapshot/a-fact-changed')
def _():
    replay('out')
    write('bad.snap', read('out', 'end.snap').replace('levels=4', 'levels=5'))
    result = program.run('snapshot', 'check', 'bad.snap')
    check(result.code in (1, 2), 'exit 1 or 2', result)


@case('snapshot/diff-takes-a-file-without-digest')
def _():
    replay('out')
    lines = read('out', 'end.snap').splitlines(keepends=True)
    check(lines[-1].startswith('digest '), 'digest last', lines[-1])
    write('edited.snap', ''.join(lines[:-1]))
    program.expect(0, 'diff', 'out/end.snap', 'edited.snap')
    dropped = next(i for i, line in enumerate(lines) if line.startswith('cached '))
    write('edited.snap', ''.join(lines[:dropped] + lines[dropped + 1:-1]))
    check('IOVA no longer in a cache' in program.expect(1, 'diff', 'out/end.snap', 'edited.snap').out, 'in words')


@case('snapshot/diff-ignores-fields')
def _():
    replay('clean')
    replay('out', '-f', SYNC, *OLD, code=1)
    write('other.snap', re.sub(r' time_ns=\d+', ' time_ns=1', read('out', 'teardown.snap')).rpartition('digest')[0])
    program.expect(1, 'diff', 'out/teardown.snap', 'other.snap')
    program.expect(0, 'diff', '--ignore=time_ns', 'out/teardown.snap', 'other.snap')


@case('trace/info')
def _():
    for trace, form in ((BOOT, 'ftrace'), (BOOT_BLKTRACE, 'blktrace'), (SYNTHETIC, 'ftrace')):
        table = program.expect(0, 'trace', 'info', trace).out
        said = json.loads(program.expect(0, 'trace', 'info', '--json', trace).out)
        equal(said['format'], form, 'format')
        equal(said['ios'], table_counts(table)['I/Os'], 'I/Os')
        equal(said['ios'], sum(row['count'] for row in said['ops']), 'I/Os by operation')
        replayed = json.loads(program.expect(0, 'replay', '--json', trace).out)
        check(replayed['replay']['ios'] <= said['ios'], 'replayed no more than there are')


cases.main()
