# SPDX-License-Identifier: MIT
"""The model against recordings of the kernel's allocator, through the program: `conform` with what it says of files that
agree, disagree and are none, and `iova stat`. Recordings are those of fixtures/ and, where that folder exists, $SHARED.
test-conform.py IOMMUSIM all|short: "short" leaves out the recordings that take long."""
import json
import os
import random
import re
import subprocess
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, check_one_line, equal, read, write

program = Program(sys.argv[1])
everything = sys.argv[2] == 'all'
cases = Cases()
case = cases.case

GOLDEN = os.path.join(FIXTURES, 'golden', 'iova')
SHARED = os.environ.get('SHARED', '')
SHARED_GOLDEN = os.path.join(SHARED, 'golden', 'iova')
SHARED_BLOCKDMA = os.path.join(SHARED, 'golden', 'blockdma')
SHARED_TRACES = os.path.join(SHARED, 'traces')
SHORT = ('01', '02', '05', '07', '15')

# By hand: sizes are rounded up, a reserved range is not given out, a search begins below what was found last, and what
# was freed comes back first on that CPU only.
ALLOC_ORDER = """\
# alloc-order 1 cpus=2 granule=4096 kernel=7.0
# op id cpu pages limit_pfn flush fails expected_pfn
I - - 1 - - - -
R - - 0xfffe0 0xfffef - - -
A 1 0 3 0xfffff 0 0 0xffffc
A 2 1 1 0xfffff 0 0 0xffffb
A 3 1 32 0xfffff 0 0 0xfffc0
F 1 0 3 - - 0 0xffffc
A 4 1 4 0xfffff 0 0 0xfffbc
A 5 0 4 0xfffff 0 0 0xffffc
A 6 0 1 0xfffff 0 1 0x0
F 2 1 1 - - 0 0xffffb
W - 0 0 - - - -
"""


def recordings(folder, names=None):
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))
            if re.match(r'\d\d-.*\.txt(\.zst)?$', name) and (names is None or name[:2] in names)]


def emit(path):
    result = program.expect(0, 'conform', '--emit', path)
    equal(result.err, '', 'stderr')
    return result.out


def without_results(text):
    """The inputs: what the model may see."""
    lines = text.splitlines(keepends=True)
    if text.startswith('blockdma-golden'):
        return re.sub(r'^(run .*\n)(?:(?!end\n).*\n)*', r'\1', text, flags=re.M)
    if text.startswith('# alloc-order'):
        return ''.join(line if line.startswith('#') else line.rstrip('\n').rsplit(' ', 1)[0] + '\n' for line in lines)
    return ''.join(line if line.startswith('#') else re.sub(r' = .*', '', line) for line in lines)


def all_pass(count, *args):
    result = program.expect(0, 'conform', *args)
    lines = result.out.splitlines()
    equal(lines[-1], f'{count} passed, 0 failed', 'last line', result)
    equal([line[:8] for line in lines[:-1]], ['passed: '] * count, 'a line each', result)
    return result


def emitted_from_inputs_alone(path, text):
    """The answer to TEXT without its results is TEXT, byte for byte."""
    inputs = without_results(text)
    check(inputs != text, f'{path}: has results')
    # Opened once more because a text compared by characters would hide newlines.
    check(emit(write('inputs.txt', inputs)).encode() == text.encode(), f'{path}: emitted as recorded')


# ---- what agrees ----

@case('fixtures/all-pass')
def _():
    if everything:
        equal(all_pass(15, GOLDEN).err, '', 'stderr')
    else:
        all_pass(len(SHORT), *recordings(GOLDEN, SHORT))


@case('fixtures/emitted-from-inputs-alone')
def _():
    paths = recordings(GOLDEN, SHORT)
    equal(len(paths), len(SHORT), 'recordings')
    for path in paths:
        emitted_from_inputs_alone(path, emit(path))  # conform says that this is what was recorded


@case('alloc-order/by-hand')
def _():
    all_pass(1, write('order.txt', ALLOC_ORDER))
    emitted_from_inputs_alone('order.txt', ALLOC_ORDER)
    all_pass(1, write('order.txt', ALLOC_ORDER.replace('kernel=7.0', 'kernel=6.1')))


@case('alloc-order/of-real-kernels')
def _():
    orders = os.path.join(FIXTURES, 'golden', 'alloc-order')
    all_pass(2, orders)
    for name in ('v6.1-lazy-mixed-qd16x4.txt.zst', 'v7.0-strict-smp1-fault-iova.txt.zst'):
        path = os.path.join(orders, name)
        emitted_from_inputs_alone(path, emit(path))


BLOCKDMA = os.path.join(FIXTURES, 'golden', 'blockdma')


def blockdma_recordings(folder):
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))
            if re.match(r'\w+\.(fixed|buggy|later)\.txt(\.zst)?$', name)]


@case('blockdma/all-pass')
def _():
    all_pass(27, BLOCKDMA)


@case('blockdma/emitted-from-inputs-alone')
def _():
    paths = blockdma_recordings(BLOCKDMA)
    equal(len(paths), 27, 'recordings')
    for path in paths:
        emitted_from_inputs_alone(path, emit(path))  # all-pass says that this is what was recorded


def shared_blockdma_emits():
    for path in blockdma_recordings(SHARED_BLOCKDMA):
        emitted_from_inputs_alone(path, read(path))


def shared_golden_passes():
    result = all_pass(15, SHARED_GOLDEN)
    equal(result.err, '', 'README.md and SHA256SUMS are passed over in silence', result)


def shared_golden_emits():
    for path in recordings(SHARED_GOLDEN):
        emitted_from_inputs_alone(path, read(path))


def shared_orders():
    return [os.path.join(SHARED_TRACES, name, 'alloc-order.txt.zst') for name in sorted(os.listdir(SHARED_TRACES))
            if os.path.exists(os.path.join(SHARED_TRACES, name, 'alloc-order.txt.zst'))]


def shared_orders_pass():
    paths = shared_orders()
    check(len(paths) > 30, f'{len(paths)} orders of calls')
    all_pass(len(paths), *paths)


def shared_orders_emit():
    for path in shared_orders():
        emitted_from_inputs_alone(path, emit(path))


if os.path.isdir(SHARED_GOLDEN) and everything:
    cases.add('shared/golden-passes', shared_golden_passes)
    cases.add('shared/golden-emitted-from-inputs-alone', shared_golden_emits)
if os.path.isdir(SHARED_BLOCKDMA):
    cases.add('shared/blockdma-emitted-from-inputs-alone', shared_blockdma_emits)
if os.path.isdir(SHARED_TRACES) and everything:
    cases.add('shared/alloc-orders-pass', shared_orders_pass)
    cases.add('shared/alloc-orders-emitted-from-inputs-alone', shared_orders_emit)


# ---- what disagrees ----

def flips(text, separator, count):
    """COUNT times: TEXT with one digit of one result changed, the number of that line, the line before and after."""
    lines = text.splitlines()
    results = [i for i, line in enumerate(lines)
               if separator in line and not line.startswith('#') and re.search(r'[0-9]', line.rsplit(separator, 1)[1])]
    for i in random.Random(1).sample(results, min(count, len(results))):
        start = lines[i].rindex(separator) + len(separator)
        at = random.Random(i).choice([j for j in range(start, len(lines[i])) if lines[i][j].isdigit()])
        flipped = lines[i][:at] + str((int(lines[i][at]) + 1) % 10) + lines[i][at + 1:]
        yield '\n'.join([*lines[:i], flipped, *lines[i + 1:], '']), i + 1, lines[i], flipped


def flips_are_found(text, separator, count):
    tried = 0
    for flipped, number, right, wrong in flips(text, separator, count):
        result = program.expect(1, 'conform', write('flipped.txt', flipped))
        equal(result.out, f'failed: flipped.txt: line {number}: recorded "{wrong[:200]}", model "{right[:200]}"\n'
              '0 passed, 1 failed\n', 'both sides of the first difference', result)
        equal(result.err, '', 'stderr')
        tried += 1
    check(tried >= min(count, 8), f'{tried} flips')


@case('flipped-digit/recording')
def _():
    for path in recordings(GOLDEN, ('01', '15')):
        flips_are_found(emit(path), ' = ', 20)


@case('flipped-digit/blockdma')
def _():
    text = emit(os.path.join(BLOCKDMA, 'zero.fixed.txt.zst'))
    lines = text.splitlines()
    inputs = set(without_results(text).splitlines())
    wrong_ones = [i for i, line in enumerate(lines) if line not in inputs and re.search(r'\d$', line)]
    check(len(wrong_ones) > 8, f'{len(wrong_ones)} results that end in a digit')
    for i in wrong_ones[:8]:
        flipped = lines[i][:-1] + str((int(lines[i][-1]) + 1) % 10)
        result = program.expect(1, 'conform', write('flipped.txt', '\n'.join([*lines[:i], flipped, *lines[i + 1:], ''])))
        equal(result.out, f'failed: flipped.txt: line {i + 1}: recorded "{flipped[:200]}", model "{lines[i][:200]}"\n'
              '0 passed, 1 failed\n', 'both sides', result)


@case('flipped-digit/alloc-order')
def _():
    flips_are_found(ALLOC_ORDER, ' ', 20)


@case('disagreement/first-of-several-lines-and-files')
def _():
    os.mkdir('d')
    write('d/a.txt', ALLOC_ORDER)
    write('d/b.txt', ALLOC_ORDER.replace('0xffffc', '0xffffd'))
    write('d/c.txt', ALLOC_ORDER + '# one more\n')
    result = program.expect(1, 'conform', 'd')
    equal(result.out, 'passed: d/a.txt\n'
          'failed: d/b.txt: line 5: recorded "A 1 0 3 0xfffff 0 0 0xffffd", model "A 1 0 3 0xfffff 0 0 0xffffc"\n'
          'passed: d/c.txt\n2 passed, 1 failed\n', 'stdout', result)


@case('disagreement/file-cut-in-a-line')
def _():
    result = program.expect(1, 'conform', write('cut.txt', ALLOC_ORDER.rsplit(' ', 1)[0]))
    check('line 13: recorded "W - 0 0 - - -", model "W - 0 0 - - - -"' in result.out, 'the line', result)


@case('disagreement/bytes-that-cannot-be-shown')
def _():
    text = ALLOC_ORDER.encode().replace(b'0xffffb\n', b'\xff\x1b"\n', 1)
    write('bytes.txt', text)
    result = program.expect(1, 'conform', 'bytes.txt')
    check('recorded "A 2 1 1 0xfffff 0 0 ??"", model' in result.out, 'shown as "?"', result)
    equal(json.loads(program.expect(1, 'conform', '--json', 'bytes.txt').out)['files'][0]['recorded'],
          'A 2 1 1 0xfffff 0 0 ??"', 'in JSON')


# ---- what cannot be compared ----

REFUSED = [
    ('missing', ['no-such.txt'], 'no-such.txt: '),
    ('trace', [BOOT], 'not a recording of a kind that is known'),
    ('empty-file', ['empty'], 'empty: '),
    ('one-of-two', ['order.txt', 'notes'], 'notes: not a recording'),
    ('directory-empty', ['nothing'], 'nothing: no recording'),
    ('directory-of-readmes', ['readmes'], 'readmes: no recording'),
    ('nothing-named', [], 'at least 1 argument'),
    ('emit-two', ['--emit', 'order.txt', 'order.txt'], 'one file'),
    ('emit-unknown', ['--emit', 'notes'], 'notes: not a recording'),
    ('emit-directory', ['--emit', 'readmes'], 'readmes: '),
    ('line-unknown', ['bad.txt'], 'bad.txt:5: unknown operation'),
    ('line-of-too-few-columns', ['few.txt'], 'few.txt:5: too few columns'),
    ('free-of-nothing', ['free.txt'], 'free.txt:9: frees what was not allocated'),
    ('cpu-that-is-not', ['cpu.txt'], 'cpu.txt:6: column 3'),
    ('header-of-no-cpus', ['header.txt'], 'header.txt:1: '),
]


def refused(args, message):
    for name, text in {
            'order.txt': ALLOC_ORDER, 'notes': 'notes\n', 'empty': '',
            'bad.txt': ALLOC_ORDER.replace('A 1 0', 'Z 1 0'),
            'few.txt': ALLOC_ORDER.replace('A 1 0 3 0xfffff 0 0 0xffffc', 'A 1 0 3'),
            'free.txt': ALLOC_ORDER.replace('F 1 0 3 - - 0 0xffffc\n', 'F 1 0 3 - - 0 -\n' * 3),
            'cpu.txt': ALLOC_ORDER.replace('A 2 1', 'A 2 2'),
            'header.txt': ALLOC_ORDER.replace('cpus=2', 'cpus=0')}.items():
        write(name, text)
    os.mkdir('nothing')
    os.mkdir('readmes')
    for name in ('README.md', 'SHA256SUMS', 'summary.tsv', '.hidden'):
        write(f'readmes/{name}', 'iova-golden 1\nbut not meant so\n')
    result = program.expect(2, 'conform', *args)
    check_one_line(result)
    check(message in result.err, f'message "{message}"', result)


for refused_name, refused_args, refused_message in REFUSED:
    cases.add(f'refused/{refused_name}', refused, refused_args, refused_message)


@case('directory/what-is-passed-over')
def _():
    os.makedirs('d/below/further')
    write('d/README.md', 'text\n')
    write('d/SHA256SUMS', 'text\n')
    write('d/below/README', 'text\n')
    write('d/below/further/order.txt', ALLOC_ORDER)
    result = program.expect(0, 'conform', 'd')
    equal(result.out, 'passed: d/below/further/order.txt\n1 passed, 0 failed\n', 'stdout', result)
    equal(result.err, '', 'stderr')
    write('d/below/notes', 'text\n')
    result = all_pass(1, 'd')
    check_one_line(result)
    check('skipped 1 file of no kind of recording that is known: d/below/notes\n' in result.err, 'is told', result)


@case('directory/a-damaged-recording-ends-it')
def _():
    os.mkdir('d')
    write('d/a.txt', ALLOC_ORDER.replace('A 1 0', 'Z 1 0'))
    write('d/b.txt', ALLOC_ORDER)
    result = program.expect(2, 'conform', 'd')
    check_one_line(result)


@case('output-that-cannot-be-written')
def _():
    write('order.txt', ALLOC_ORDER)
    for args in (['order.txt'], ['--json', 'order.txt'], ['--emit', 'order.txt']):
        with open('/dev/full', 'wb') as full:
            code, err = run_to(full, 'conform', *args)
        equal((code, err), (2, 'iommusim: standard output: No space left on device\n'), ' '.join(args))


def run_to(stdout, *args):
    done = subprocess.run([program.path, *args], stdout=stdout, stderr=subprocess.PIPE, check=False, timeout=60)
    return done.returncode, done.stderr.decode()


@case('json/of-both-outcomes')
def _():
    write('good.txt', ALLOC_ORDER)
    write('bad.txt', ALLOC_ORDER.replace('0xfffc0', '0xfffd0'))
    write('notes', 'text\n')
    result = program.expect(1, 'conform', '--json', 'good.txt', 'bad.txt')
    equal(json.loads(result.out), {
        'files': [
            {'file': 'good.txt', 'kind': 'alloc-order', 'passed': True},
            {'file': 'bad.txt', 'kind': 'alloc-order', 'passed': False, 'line': 7,
             'recorded': 'A 3 1 32 0xfffff 0 0 0xfffd0', 'model': 'A 3 1 32 0xfffff 0 0 0xfffc0'},
        ],
        'passed': 1, 'failed': 1, 'skipped': 0}, 'JSON', result)
    equal(result.err, '', 'stderr')
    found = json.loads(program.expect(0, 'conform', '--json', recordings(GOLDEN, ('01',))[0]).out)
    equal((found['files'][0]['kind'], found['passed'], found['failed']), ('iova', 1, 0), 'a recording')


# ---- iova stat ----

GRANULE = 4096
WINDOW = 1 << 32
SPACE = 1 << 39  # three levels

RANGES = [  # noun, first, last, more fields
    ('cached', 0xfe800000, 0xfe800fff, 'order=0 place=cpu2.loaded'),
    ('cached', 0xfe801000, 0xfe801fff, 'order=0 place=cpu2.loaded'),
    ('cached', 0xfe802000, 0xfe803fff, 'order=1 place=cpu2.prev'),
    ('cached', 0xfe804000, 0xfe804fff, 'order=0 place=cpu10.loaded'),
    ('cached', 0xfe820000, 0xfe83ffff, 'order=5 place=depot'),
    ('live', 0xffc00000, 0xffdfffff, 'owner=req:12 by=dma_iova_try_alloc cpu=0 time_ns=5'),
    ('live', 0xfffff000, 0xffffffff, 'owner=set-up by=dma_map_phys cpu=0 time_ns=5'),
    ('live', 0x100000000, 0x1001fffff, 'owner=req:13 by=dma_map_phys cpu=1 time_ns=6'),
    ('queued', 0xff000000, 0xff3fffff, 'owner=req:1 cpu=0 time_ns=9'),
    ('reserved', 0x10000000, 0x107fffff, ''),
    ('reserved', 0xfee00000, 0xfeefffff, ''),
]


def snapshot(ranges=None, domains=('id=1',), extra=''):
    lines = ['iommusim-snapshot 1', '# time_ns 10', '[domain]']
    lines += [f'domain {domain} device=nvme0 iommu=intel format=vtdss levels=3 granule=4096 table_pages=4 mode=lazy'
              for domain in domains]
    lines.append('[iova]')
    lines += sorted(f'{noun} domain=1 range=0x{first:016x}-0x{last:016x} {more}'.rstrip()
                    for noun, first, last, more in (RANGES if ranges is None else ranges)) + [extra] * bool(extra)
    return write('s.snap', '\n'.join([*lines, '']))


def gaps(ranges, end):
    """Free runs between the first page and END, page by page where it matters: by a sweep over the bounds."""
    bounds = sorted({GRANULE, end, *(first for _, first, _, _ in ranges), *(last + 1 for _, _, last, _ in ranges)})
    runs, at_free = [], False
    for low, high in zip(bounds, bounds[1:]):
        if low < GRANULE or high > end:
            continue
        free = not any(first <= low <= last for _, first, last, _ in ranges)
        if free and at_free:
            runs[-1] += high - low
        elif free:
            runs.append(high - low)
        at_free = free
    return runs


def expected_gaps(ranges, end):
    runs = gaps(ranges, end)
    return {'free_bytes': sum(runs), 'gaps': len(runs), 'largest_gap_bytes': max(runs, default=0),
            'fragmentation_per_mille': (sum(runs) - max(runs)) * 1000 // sum(runs) if runs else 0}


def stat(path, *more):
    result = program.expect(0, 'iova', 'stat', '--json', *more, path)
    equal(result.err, '', 'stderr')
    return json.loads(result.out)


@case('stat/json')
def _():
    got = stat(snapshot())
    equal({use: got[use] for use in ('live', 'queued', 'cached', 'reserved')},
          {'live': {'ranges': 3, 'range_bytes': (4 << 20) + 4096}, 'queued': {'ranges': 1, 'range_bytes': 4 << 20},
           'cached': {'ranges': 5, 'range_bytes': (3 + 2 + 32) * 4096}, 'reserved': {'ranges': 2, 'range_bytes': 9 << 20}},
          'what is used')
    used = (2 << 20) + 4096 + (4 << 20) + 37 * 4096 + (9 << 20)
    equal(got['below_4g']['free_bytes'], WINDOW - 4096 - used, 'free below 4 GiB')
    equal(got['below_4g']['largest_gap_bytes'], 0xfe800000 - 0x10800000, 'largest gap below 4 GiB')
    equal(got['below_4g'], expected_gaps(RANGES, WINDOW), 'below 4 GiB')
    equal(got['whole']['free_bytes'], SPACE - 4096 - used - (2 << 20), 'free in all')
    equal(got['whole'], expected_gaps(RANGES, SPACE), 'the whole space')
    equal(got['caches'], [
        {'order': 0, 'place': 'cpu2.loaded', 'count': 2}, {'order': 0, 'place': 'cpu10.loaded', 'count': 1},
        {'order': 1, 'place': 'cpu2.prev', 'count': 1}, {'order': 5, 'place': 'depot', 'count': 1}], 'caches')
    rows = {row['first']: row['cells'] for row in got['map_rows']}
    equal(sorted(rows), [i << 28 for i in range(16)], 'every row')
    equal(rows.pop(0xf0000000), '.' * 58 + 'crQ..l', 'last row')
    equal(rows.pop(0x10000000), 'RR' + '.' * 62, 'second row')
    equal(set(rows.values()), {'.' * 64}, 'the other rows')


@case('stat/text')
def _():
    out = program.expect(0, 'iova', 'stat', snapshot()).out
    equal(out[out.index('cached ranges'):], """\
cached ranges, by place and size
                     4 KiB     8 KiB    16 KiB    32 KiB    64 KiB   128 KiB
  cpu2.loaded            2         .         .         .         .         .
  cpu2.prev              .         1         .         .         .         .
  cpu10.loaded           1         .         .         .         .         .
  depot                  .         .         .         .         .         1
  all                    3         1         .         .         .         1
map below 4 GiB, 4 MiB a letter
  l live, q queued, c cached, r reserved: what fills most of it; capital: full; . free
  0x00000000 to 0x0fffffff: free
  0x10000000 RR..............................................................
  0x20000000 to 0xefffffff: free
  0xf0000000 ..........................................................crQ..l
""", 'caches and map')
    equal(out[:out.index('cached\n')], """\
domain                         1
live
  ranges                       3
  bytes                        4100 KiB
queued for a flush
  ranges                       1
  bytes                        4 MiB
""", 'what is used')
    for line in ('  gaps                         7\n', '  largest gap                  3808 MiB\n'):
        check(line in out, f'"{line}"', out)


@case('stat/fragmentation-of-few-pages')
def _():
    """Two free pages apart, then one and three: exact, however little is free."""
    for apart, per_mille in ((1, 500), (3, 250)):
        ranges = [('reserved', 2 * GRANULE, 0x4fffffff, ''), ('reserved', 0x50000000 + apart * GRANULE, SPACE - 1, '')]
        got = stat(snapshot(ranges))
        equal(got['below_4g'], {'free_bytes': (1 + apart) * GRANULE, 'gaps': 2, 'largest_gap_bytes': apart * GRANULE,
                                'fragmentation_per_mille': per_mille}, 'below 4 GiB')
        equal(got['whole'], got['below_4g'], 'the whole space')


@case('stat/nothing-free')
def _():
    got = stat(snapshot([('reserved', 0, (1 << 64) - 1, '')]))
    nothing = {'free_bytes': 0, 'gaps': 0, 'largest_gap_bytes': 0, 'fragmentation_per_mille': 0}
    equal((got['below_4g'], got['whole']), (nothing, nothing), 'gaps')
    equal({row['cells'] for row in got['map_rows']}, {'R' * 64}, 'map')


@case('stat/ranges-at-random')
def _():
    for seed in range(20):
        draw, at, ranges = random.Random(seed), GRANULE * random.Random(seed).randrange(3), []
        while len(ranges) < 60:
            at += GRANULE * draw.choice((0, 0, 1, 3, 1 << draw.randrange(18)))
            noun, pages = draw.choice(('live', 'queued', 'cached', 'reserved')), 1 << draw.randrange(12)
            more = f'order={draw.randrange(6)} place=cpu{draw.randrange(12)}.prev' if noun == 'cached' else ''
            ranges.append((noun, at, at + pages * GRANULE - 1, more))
            at += pages * GRANULE
        got = stat(snapshot(ranges))
        equal((got['below_4g'], got['whole']), (expected_gaps(ranges, WINDOW), expected_gaps(ranges, SPACE)), f'{seed}')
        for noun in ('live', 'queued', 'cached', 'reserved'):
            mine = [last - first + 1 for name, first, last, _ in ranges if name == noun]
            equal(got[noun], {'ranges': len(mine), 'range_bytes': sum(mine)}, f'{seed}: {noun}')
        equal(sum(cache['count'] for cache in got['caches']), got['cached']['ranges'], f'{seed}: caches')
        used = {i for _, first, last, _ in ranges for i in range(first >> 22, (last >> 22) + 1) if i < 1024}
        cells = ''.join(row['cells'] for row in got['map_rows'])
        equal({i for i, cell in enumerate(cells) if cell != '.'}, used, f'{seed}: map')


@case('stat/one-of-two-domains')
def _():
    other = 'reserved domain=2 range=0x0000000000100000-0x00000000001fffff'
    snapshot(domains=('id=1', 'id=2'), extra=other)
    check('s.snap:5: more than one domain: choose with --domain=N' in program.refuses('iova', 'stat', 's.snap'), 'told')
    equal(stat('s.snap', '--domain=1'), stat(snapshot()), 'the first')
    snapshot(domains=('id=1', 'id=2'), extra=other)
    got = stat('s.snap', '--domain=2')
    equal((got['reserved'], got['live']), ({'ranges': 1, 'range_bytes': 1 << 20}, {'ranges': 0, 'range_bytes': 0}), 'second')
    check('no domain 3' in program.refuses('iova', 'stat', '--domain=3', 's.snap'), 'a third')
    check('--domain=x' in program.refuses('iova', 'stat', '--domain=x', 's.snap'), 'no number')


@case('stat/refused')
def _():
    check('not a snapshot' in program.refuses('iova', 'stat', BOOT), 'a trace')
    check('no IOVAs' in program.refuses('iova', 'stat', snapshot([])), 'nothing in it')
    for more in ('order=6 place=depot', 'place=depot', 'order=x place=depot', 'order=1'):
        path = snapshot([('cached', 0x1000, 0x1fff, more)])
        check('s.snap:6: a cached range without its order and place' in program.refuses('iova', 'stat', path), more)


@case('stat/of-a-run')
def _():
    program.expect(0, 'replay', '-o', 'out', '--set', 'iommu.mode=lazy', BOOT)
    got = stat('out/end.snap')
    lines = read('out', 'end.snap').splitlines()
    for noun in ('live', 'queued', 'cached', 'reserved'):
        equal(got[noun]['ranges'], sum(line.startswith(f'{noun} domain=') for line in lines), noun)
    check('no IOVAs in it' in program.refuses('iova', 'stat', 'out/teardown.snap'), 'teardown.snap')


# ---- damaged recordings of page tables and of block requests ----

HOSTILE = os.path.join(FIXTURES, 'hostile', 'recordings')


def damaged_recording(name):
    """Each says on top in which line it is refused, and why."""
    path = os.path.join(HOSTILE, name)
    line, why = re.search(r'^# refused=(\d+): (.*)$', read(path), re.M).groups()
    for args in (['conform', path], ['conform', '--json', path], ['conform', '--emit', path]):
        equal(program.refuses(*args, timeout=20), f'{path}:{line}: {why}', args[1])


for file in sorted(os.listdir(HOSTILE)):
    cases.add(f'damaged/{os.path.splitext(file)[0]}', damaged_recording, file)


BOARDS = os.environ['BOARDS']
SHARED_BOARDS = os.path.join(SHARED, 'devtree')


@case('boards/what-it-prints-agrees-and-one-flipped-digit-does-not')
def _():
    for command in 'facts', 'leaks':
        text = program.expect(0, 'devtree', command, os.path.join(BOARDS, 'mtk-iommu.dtb')).out
        write('board.txt', text)
        equal(program.expect(0, 'conform', f'--boards={BOARDS}', 'board.txt').out.splitlines()[-1], '1 passed, 0 failed',
              command)
        # The blob's name is all that is read.
        write('inputs.txt', ''.join(text.splitlines(keepends=True)[:2]))
        equal(program.expect(0, 'conform', '--emit', f'--boards={BOARDS}', 'inputs.txt').out, text, f'{command} emitted')
        at = text.rindex('1')
        write('board.txt', f'{text[:at]}7{text[at + 1:]}')
        result = program.expect(1, 'conform', f'--boards={BOARDS}', 'board.txt')
        check(f'line {text.count(chr(10), 0, at) + 1}: ' in result.out, 'the line that differs', result)


@case('boards/refused')
def _():
    for first, second, text in (('leak expectations v1', 'dtb mtk-iommu.dtb', '--boards=DIR'),
                                ('leak expectations v1', 'dtb ../x.dtb', '2: must be "dtb" and the name of a blob'),
                                ('leak expectations v1', 'dtb .', '2: must be "dtb" and the name of a blob'),
                                ('golden devtree facts v1', 'blob x', '2: must be "dtb" and the name of a blob'),
                                ('golden devtree facts v1', 'dtb absent.dtb', 'absent.dtb')):
        write('board.txt', f'{first}\n{second}\n')
        args = [] if text == '--boards=DIR' else [f'--boards={BOARDS}']
        line = program.refuses('conform', *args, 'board.txt')
        check(text in line, text, line)


if os.path.isdir(SHARED_BOARDS):
    @case('boards/every-recording-agrees')
    def _():
        golden = os.path.join(SHARED, 'golden', 'devtree')
        count = sum(name.endswith('.txt') for _, _, names in os.walk(golden) for name in names)
        equal(program.expect(0, 'conform', f'--boards={SHARED_BOARDS}', golden).out.splitlines()[-1],
              f'{count} passed, 0 failed', 'boards')


cases.main()
