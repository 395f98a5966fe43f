# SPDX-License-Identifier: MIT
"""Page tables as a user sees them: what dump and walk say of a snapshot is what its mappings say, and damaged page tables
are refused in one line. test-pagetable.py IOMMUSIM"""
import hashlib
import json
import os
import re
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, check_one_line, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

HOSTILE = os.path.join(FIXTURES, 'hostile', 'pagetables')
SYNC = os.path.join(FIXTURES, 'faults', 'sync.ini')
PAGE = 4096


def said(code, *args):
    """The JSON that a command prints."""
    return json.loads(program.expect(code, *args[:2], '--json', *args[2:]).out)


def replay(out, *more, code=0):
    program.expect(code, 'replay', '-o', out, *more, BOOT)


def mapped_pages(snap):
    """IOVA of every page in the section of mappings -> (physical address, permissions)."""
    pages = {}
    for fact in said(0, 'snapshot', 'show', snap)['mappings']:
        first, last = (int(end, 16) for end in fact['iova'].split('-'))
        for at in range(first, last + 1, PAGE):
            pages[at] = (int(fact['pa'], 16) + at - first, fact['prot'])
    return pages


def dumped_pages(domain):
    """The same of the entries that dump shows."""
    pages = {}
    for table in domain['tables']:
        for entry in table['entries']:
            if entry['kind'] != 'page':
                continue
            step = int(entry.get('raw_step', '0'), 16)
            for i in range(entry['entries']):
                at = int(entry['iova'], 16) + i * PAGE
                pages[at] = ((int(entry['raw'], 16) + i * step) & ~0xfff, entry['prot'])
                equal(entry['page_bytes'], PAGE, 'size')
    return pages


# ---- formats ----

# From the sources of Linux: name -> (IOVA bits, address bits, entry bytes, roots, index bits from the root down) of some.
GEOMETRIES = {
    'amdv1': [(64, 52, 8, 1, [7, 9, 9, 9, 9, 9])],
    'apple_dart': [(32, 36, 8, 4, [9, 9]), (42, 42, 8, 1, [11, 11, 11])],
    'arm_32_lpae_s1': [(32, 40, 8, 1, [2, 9, 9])],
    'arm_64_lpae_s1': [(48, 48, 8, 1, [9, 9, 9, 9]), (48, 48, 8, 1, [1, 11, 11, 11]), (52, 52, 8, 1, [10, 13, 13])],
    'arm_64_lpae_s2': [(48, 48, 8, 1, [12, 11, 11])],
    'arm_mali_lpae': [(48, 40, 8, 1, [9, 9, 9, 9])],
    'arm_v7s': [(32, 32, 4, 1, [12, 8]), (34, 35, 4, 1, [14, 8])],
    'riscv_64': [(39, 56, 8, 1, [9] * 3), (48, 56, 8, 1, [9] * 4), (57, 56, 8, 1, [9] * 5)],
    'vtdss': [(39, 52, 8, 1, [9] * 3), (48, 52, 8, 1, [9] * 4), (57, 52, 8, 1, [9] * 5)],
    'x86_64': [(48, 52, 8, 1, [9] * 4), (57, 52, 8, 1, [9] * 5)],
}


@case('formats/geometries')
def _():
    formats = {row['name']: row for row in said(0, 'pagetable', 'formats')['formats']}
    for name, wanted in GEOMETRIES.items():
        got = [(row['iova_bits'], row['address_bits'], row['entry_bytes'], row['roots'],
                [level['index_bits'] for level in row['levels']]) for row in formats[name]['geometries']]
        for geometry in wanted:
            check(geometry in got, f'{name} has no {geometry}', got)


@case('formats/levels-add-up')
def _():
    for row in said(0, 'pagetable', 'formats')['formats']:
        for geometry in row['geometries']:
            spans = [level['entry_spans_bytes'] << level['index_bits'] for level in geometry['levels']]
            below = [level['entry_spans_bytes'] for level in geometry['levels']][:-1]
            equal(spans[1:], below, f'what tables of {row["name"]} span')
            check(spans[0] * geometry['roots'] >= 1 << geometry['iova_bits'], f'{row["name"]}: root too small', geometry)
            equal(min(size['page_bytes'] for size in geometry['page_sizes']),
                  geometry['levels'][-1]['entry_spans_bytes'], f'smallest page of {row["name"]}')


@case('formats/table-and-json')
def _():
    table = program.expect(0, 'pagetable', 'formats').out
    formats = said(0, 'pagetable', 'formats')['formats']
    equal(re.findall(r'^([a-z]\w*) ', table, re.M), [row['name'] for row in formats], 'names')
    lines = re.findall(r'^ +\d+ +\d+ +\d+ +\d+ +\d', table, re.M)
    equal(len(lines), sum(len(row['geometries']) for row in formats), 'geometries')
    check('4K-256G 1T-2P' in table, 'sizes of AMD', table)


# ---- dump ----

def dump_is_the_mappings(options, code=0):
    replay('out', *options, code=code)
    snaps = [name for name in sorted(os.listdir('out')) if name.endswith('.snap')]
    for name in snaps:
        path = os.path.join('out', name)
        domain, = said(0, 'pagetable', 'dump', path)['domains']
        equal(dumped_pages(domain), mapped_pages(path), name)
        fact, = said(0, 'snapshot', 'show', path)['domains']
        equal(len(domain['tables']), int(fact['table_pages']), f'tables of {name}')
        equal((domain['device'], domain['format']), (fact['device'], fact['format']), 'whose')
        equal(program.expect(0, 'snapshot', 'check', path).err, '', 'stderr')


for title, options, code in [
        ('strict', ['--snapshot-every=#100'], 0),
        ('lazy', ['--set', 'iommu.mode=lazy', '--snapshot-every=#100'], 0),
        ('three-levels', ['--set', 'iommu.levels=3', '--snapshot-at=#50,#400'], 0),
        ('five-levels', ['--set', 'iommu.levels=5', '--snapshot-at=#50,#400'], 0),
        ('leak', ['-f', SYNC, '--set', 'behaviour.blkdma-rollback=old'], 1)]:
    cases.add(f'dump/is-the-mappings/{title}', dump_is_the_mappings, options, code)


@case('dump/table-and-json')
def _():
    replay('out')
    text = program.expect(0, 'pagetable', 'dump', 'out/end.snap').out
    domain, = said(0, 'pagetable', 'dump', 'out/end.snap')['domains']
    check(text.startswith('domain 1: nvme0, vtdss (Intel VT-d second stage), 48-bit IOVAs'), 'whose', text)
    equal(re.findall(r'^  (T[.\d]*): level (\d) at (\S+), for IOVA (0x\w+)-(0x\w+)$', text, re.M),
          [(table['path'], str(table['level']), table['pa'], table['first_iova'], table['last_iova'])
           for table in domain['tables']], 'tables')
    shown = re.findall(r'^    (\d+)\S* +(0x\w+) +(0x\w+)  (\w+) +(0x\w+) .*\bR W$', text, re.M)
    equal([(int(index), iova, int(raw, 16), kind, pa) for index, iova, raw, kind, pa in shown],
          [(entry['index'], entry['iova'], int(entry['raw'], 16), entry['kind'], entry['pa'])
           for table in domain['tables'] for entry in table['entries']], 'entries')
    check(not re.search(r' $', text, re.M), 'blanks at the end of a line', text)


@case('dump/of-one-format')
def _():
    replay('out')
    whole = program.expect(0, 'pagetable', 'dump', 'out/end.snap').out
    equal(program.expect(0, 'pagetable', 'dump', '--format=vtdss', 'out/end.snap').out, whole, 'the format it has')
    check('no page table of format amdv1' in program.refuses('pagetable', 'dump', '--format=amdv1', 'out/end.snap'),
          'which is not there')
    check('--format=tape' in program.refuses('pagetable', 'dump', '--format=tape', 'out/end.snap'), 'which is none')


@case('dump/without-page-tables')
def _():
    replay('out', '--set', 'iommu.mode=passthrough')
    check('out/end.snap: no page tables' in program.refuses('pagetable', 'dump', 'out/end.snap'), 'why')
    program.refuses('pagetable', 'walk', 'out/end.snap', 'nvme0', '0x1000')


@case('dump/compressed-and-stdin')
def _():
    replay('out')
    wanted = program.expect(0, 'pagetable', 'dump', 'out/end.snap').out
    equal(program.expect(0, 'pagetable', 'dump', '-', stdin=read('out', 'end.snap').encode()).out, wanted, 'stdin')


AMD = '''iommusim-snapshot 1
[domain]
domain id=1 device=gpu iommu=amd format=amdv1 levels=3 granule=4096 table_pages=3 mode=strict
[pagetable]
format domain=1 name=amdv1 ias=64 oas=52 top_level=2 page_sizes=0x0000000000000000 options=dynamic-top \
table_offset=0x0000000000000000
leaf domain=1 iova=0x0000000000010000-0x000000000002ffff level=0 size=65536 raw=0x7000000000457e01 \
step=0x0000000000010000 attr=0x7000000000000e01
leaf domain=1 iova=0x0000000000030000-0x0000000000030fff level=0 size=4096 raw=0x3000000000009001 \
attr=0x3000000000000001
table domain=1 level=0 iova=0x0000000000000000-0x00000000001fffff pa=0x0000400000002000 entry=0x6000400000002201 \
attr=0x6000000000000201
table domain=1 level=1 iova=0x0000000000000000-0x000000003fffffff pa=0x0000400000001000 entry=0x6000400000001401 \
attr=0x6000000000000401
table domain=1 level=2 iova=0x0000000000000000-0x0000007fffffffff pa=0x0000400000000000
'''


@case('amd/leaves-of-many-entries')
def _():
    write('amd.snap', AMD)
    text = program.expect(0, 'pagetable', 'dump', 'amd.snap').out
    check(re.search(r'^    16\.\.47 +0x10000 .* page +0x450000 +2 x 64 KiB +rw +PR NextLevel=7 FC IR IW$', text, re.M),
          'two pages of 16 entries', text)
    for iova, pa, size, prot in [(0x10000, 0x450000, 65536, 'rw'), (0x1abcd, 0x45abcd, 65536, 'rw'),
                                 (0x2ffff, 0x46ffff, 65536, 'rw'), (0x30fff, 0x9fff, 4096, 'r')]:
        walk = said(0, 'pagetable', 'walk', 'amd.snap', 'gpu', hex(iova))
        equal((int(walk['pa'], 16), walk['page_bytes'], walk['prot']), (pa, size, prot), hex(iova))


@case('amd/beyond-a-root-that-may-grow')
def _():
    write('amd.snap', AMD)
    walk = said(1, 'pagetable', 'walk', 'amd.snap', 'gpu', '0x8000000000')
    equal((walk['mapped'], walk['levels']), (False, []), 'walk')
    check('out of reach of the root' in walk['stop'], 'why', walk)


EXYNOS = '''iommusim-snapshot 1
[domain]
domain id=1 device=jpeg iommu=exynos-sysmmu format=exynos_sysmmu levels=2 granule=4096 table_pages=2 mode=strict
[pagetable]
format domain=1 name=exynos_sysmmu ias=32 oas=36 top_level=1 \
page_sizes=0x0000000000000000 options=incoherent table_offset=0xffffc00040000000
leaf domain=1 iova=0x0000000000100000-0x00000000001fffff level=1 size=1048576 raw=0x05010032 attr=0x00000032
leaf domain=1 iova=0x0000000000201000-0x0000000000201fff level=0 size=4096 raw=0x05000106 attr=0x00000006
table domain=1 level=0 iova=0x0000000000200000-0x00000000002fffff pa=0x0000400000008000 \
entry=0x04000801 attr=0x00000001
table domain=1 level=1 iova=0x0000000000000000-0x00000000ffffffff pa=0x0000400000004000
zero domain=1 level=1 iova=0x0000000000000000-0x00000000000fffff raw=0x04000001
zero domain=1 level=1 iova=0x0000000000300000-0x00000000ffffffff raw=0x04000001
'''


@case('exynos/the-table-that-unused-entries-share')
def _():
    write('exynos.snap', EXYNOS)
    text = program.expect(0, 'pagetable', 'dump', 'exynos.snap').out
    equal(re.findall(r'^    (\S+) .* zero +(0x\w+)$', text, re.M), [('0', '0x400000000000'), ('3..4095', '0x400000000000')],
          'a line for all of them')
    walk = said(1, 'pagetable', 'walk', 'exynos.snap', 'jpeg', '0x400123')
    equal([(level['kind'], level['table_pa']) for level in walk['levels']],
          [('zero', '0x400000004000'), ('empty', '0x400000000000')], 'walk into it')
    for iova, pa, size, prot in [(0x1abcde, 0x501abcde, 1 << 20, 'rw'), (0x201123, 0x50001123, 4096, 'r')]:
        walk = said(0, 'pagetable', 'walk', 'exynos.snap', 'jpeg', hex(iova))
        equal((int(walk['pa'], 16), walk['page_bytes'], walk['prot']), (pa, size, prot), hex(iova))


# ---- walk ----

@case('walk/every-mapping')
def _():
    replay('out', '--snapshot-at=#300')
    for name in ('at-request-300.snap', 'end.snap'):
        path = os.path.join('out', name)
        pages = mapped_pages(path)
        for at, (pa, prot) in sorted(pages.items())[::3]:
            walk = said(0, 'pagetable', 'walk', path, 'nvme0', hex(at + 0x123))
            equal((walk['mapped'], int(walk['pa'], 16), walk['prot']), (True, pa + 0x123, prot), hex(at))
            equal([level['level'] for level in walk['levels']], [3, 2, 1, 0], 'levels')
            below = [level['pa'] for level in walk['levels'][:-1]]
            equal(below, [level['table_pa'] for level in walk['levels'][1:]], 'each entry points to the next table')
        hole = next(at + PAGE for at in sorted(pages) if at + PAGE not in pages)
        program.expect(1, 'pagetable', 'walk', path, 'nvme0', hex(hole))


@case('walk/table-and-json')
def _():
    replay('out')
    at, (pa, _) = sorted(mapped_pages('out/end.snap').items())[0]
    text = program.expect(0, 'pagetable', 'walk', 'out/end.snap', 'nvme0', str(at + 5)).out
    walk = said(0, 'pagetable', 'walk', 'out/end.snap', 'nvme0', hex(at + 5))
    shown = re.findall(r'^ +(\d)  (0x\w+) +(\d+)  (0x\w+) +(0x\w+)  (\w+) +R W$', text, re.M)
    equal([(int(level), table, int(index), entry, int(raw, 16), kind) for level, table, index, entry, raw, kind in shown],
          [(level['level'], level['table_pa'], level['index'], level['entry_pa'], int(level['raw'], 16), level['kind'])
           for level in walk['levels']], 'levels')
    check(text.endswith(f'physical address {pa + 5:#x}, rw, in a page of 4 KiB\n'), 'result', text)


@case('walk/hole-is-exit-1-and-says-where')
def _():
    replay('out')
    for iova, level, entries in [('0x0', 2, 2), ('0x7fffffffffff', 3, 1), ('0xffc00000', 0, 4)]:
        result = program.expect(1, 'pagetable', 'walk', 'out/end.snap', 'nvme0', iova)
        equal(result.err, '', 'stderr')
        check(result.out.endswith(f'\nnot mapped: the entry of level {level} maps nothing\n'), 'where', result)
        walk = said(1, 'pagetable', 'walk', 'out/end.snap', 'nvme0', iova)
        equal((walk['mapped'], walk['stop_level'], len(walk['levels'])), (False, level, entries), iova)
        equal(walk['levels'][-1]['kind'], 'empty', 'last entry')


@case('walk/what-was-leaked-is-still-translated')
def _():
    replay('clean')
    replay('out', '-f', SYNC, '--set', 'behaviour.blkdma-rollback=old', code=1)
    leaked = sorted(mapped_pages('out/teardown.snap'))
    check(leaked, 'nothing leaked')
    for at in leaked:
        program.expect(0, 'pagetable', 'walk', 'out/teardown.snap', 'nvme0', hex(at))
        program.expect(1, 'pagetable', 'walk', 'clean/teardown.snap', 'nvme0', hex(at))


@case('walk/refuses')
def _():
    replay('out')
    for device, iova, says in [('sda', '0x1000', 'no device "sda" in it; there is nvme0'),
                               ('nvme0', '0x1000000000000', 'which has 48 bits'),
                               ('nvme0', '0xffffffffffffffff', 'which has 48 bits'),
                               ('nvme0', '-1', ''), ('nvme0', '0x', 'not an IOVA'), ('nvme0', '0x1g', 'not an IOVA'),
                               ('nvme0', '0x10000000000000000', 'not an IOVA'), ('', '0', 'no device ""')]:
        message = program.refuses('pagetable', 'walk', 'out/end.snap', device, iova)
        check(says in message, f'{device} {iova}: {says!r} expected', message)


# ---- diff ----

def changes(a, b, code):
    return program.expect(code, 'diff', a, b).out.partition('\n\n')[2].splitlines()


@case('diff/placement-is-no-difference')
def _():
    """The same tables somewhere else."""
    replay('out')
    text = re.sub(r'\ndigest .*', '', read('out', 'teardown.snap'))
    moved = re.sub(r'=0x0000400000([0-9a-f]{6})\b', r'=0x0000400007\1', text)
    equal(len(re.findall('=0x0000400007', moved)), 9, 'tables and entries moved')
    write('a.snap', text)
    write('b.snap', moved)
    program.expect(0, 'pagetable', 'dump', 'b.snap')
    equal(changes('a.snap', 'b.snap', 0), [], 'diff')


@case('diff/says-what-mappings-do-not')
def _():
    write('a.snap', AMD)
    write('b.snap', AMD.replace('raw=0x3000000000009001', 'raw=0x2000000000009001')
          .replace('attr=0x3000000000000001', 'attr=0x2000000000000001'))
    lines = changes('a.snap', 'b.snap', 1)
    equal(lines, ['page-table entry changed: domain=1 iova=0x0000000000030000-0x0000000000030fff attr '
                  '0x3000000000000001 -> 0x2000000000000001'], 'diff')


@case('diff/a-mapping-is-told-once')
def _():
    replay('clean')
    replay('out', '-f', SYNC, '--set', 'behaviour.blkdma-rollback=old', code=1)
    kinds = {line.split(':')[0] for line in changes('clean/teardown.snap', 'out/teardown.snap', 1)}
    equal(kinds, {'IOVA leaked', 'mapping added', 'violation found'}, 'kinds of change')


@case('check/entry-that-no-mapping-has')
def _():
    replay('out')
    text = re.sub(r'\ndigest .*\n', '\n', read('out', 'end.snap'))
    line = re.search(r'^map .*\n', text, re.M).group()
    text = text.replace(line, '')
    digest = hashlib.sha256(text.encode()).hexdigest()
    result = program.expect(1, 'snapshot', 'check', write('x.snap', f'{text}digest sha256:{digest}\n'))
    check('page-table entry outside every mapping' in result.out, 'finding', result)


# ---- damaged ----

def damaged(name):
    path = os.path.join(HOSTILE, name)
    refused = 0
    for args in (['dump', path], ['dump', '--json', path], ['walk', path, 'nvme0', '0x1000'],
                 ['walk', path, 'nvme0', '0x200000']):
        result = program.run('pagetable', *args, timeout=30)
        check(result.code in (0, 1, 2), f'exit of a program that noticed expected: {args[0]}', result)
        if result.code == 2:
            check_one_line(result)
            equal(result.out, '', 'stdout')
            check(re.match(rf'iommusim: {re.escape(path)}:\d+: ', result.err), 'file and line', result)
            refused += args[0] == 'walk'
    check(refused, 'walked though damaged')
    check(program.run('snapshot', 'show', path).code == 0, 'every line can be read')


for file in sorted(os.listdir(HOSTILE)):
    cases.add(f'damaged/{os.path.splitext(file)[0]}', damaged, file)


@case('damaged/a-number-changed')
def _():
    """Each number of a snapshot, made another one: exit of 0, 1 or 2, one line when it is 2."""
    codes = set()
    for match in re.finditer(r'=(0x)?[0-9a-f]+', AMD[AMD.index('[pagetable]'):]):
        start, end = (at + AMD.index('[pagetable]') for at in match.span())
        for number in ('0', '1', '0x2', '4096', '0xffffffffffffffff', '0x' + '5' * 16):
            write('x.snap', AMD[:start + 1] + number + AMD[end:])
            for args in (['dump', 'x.snap'], ['walk', 'x.snap', 'gpu', '0x1abcd']):
                result = program.run('pagetable', *args, timeout=30)
                check(result.code in (0, 1, 2), f'{match.group()} is {number}', result)
                if result.code == 2:
                    check_one_line(result)
                codes.add(result.code)
    check(codes >= {0, 2}, f'some are taken, some are not: {codes}')


cases.main()
