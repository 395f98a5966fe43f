# SPDX-License-Identifier: MIT
"""verify: recordings with which the model agrees, counted once more from their text alone; recordings made wrong in one
place, which has to be found; input that is no recording. With SHARED also every recording there. MUTATIONS=N in the
environment makes N wrong recordings of each kind."""
import collections
import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

import mutate
from tap import (BOOT, BOOT_6_1, BOOT_BLKTRACE, FIXTURES, PREFIX, SYNTHETIC, Cases, Program, check, check_one_line, equal,
                 read, write)

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

LAZY = os.path.join(FIXTURES, 'traces', 'v7.0-lazy-admin.trace.txt.zst')
HOSTILE = os.path.join(FIXTURES, 'hostile', 'verify')
DUMPS = os.path.join(FIXTURES, 'traces', 'v7.0-strict-ext4.snapshots')
SHARED = os.path.join(os.environ.get('SHARED', ''), 'traces')
MUTATIONS = int(os.environ.get('MUTATIONS') or sys.argv[2])
BUNDLED = {'7.0-strict': BOOT, '7.0-lazy': LAZY, '6.1-strict': BOOT_6_1}
SECONDS_MAX = 60


def text_of(path):
    return subprocess.run(['zstd', '-dcq', path], capture_output=True, check=True).stdout.decode()


@functools.cache
def recording_of(path):
    """What nobody changes is read once."""
    return mutate.Recording(text_of(path))


def verify(*args, code=0):
    return json.loads(program.expect(code, 'verify', '--json', *args).out)


def classes(facts):
    return {each['class']: each for each in facts['classes']}


# ---- what agrees ----

CALLS = ('try_alloc', 'link', 'destroy', 'dma_map_phys', 'dma_unmap_phys', 'dma_map_page', 'dma_unmap_page', 'dma_map_sg',
         'dma_unmap_sg')


def domain_of(recording):
    """The domain that most invalidations are of."""
    domains = [int(match[1], 16) >> 16 for event in recording.named('qi_submit')
               if (match := re.match(r'iotlb_inv \w+: (0x\w+)', event.body)) and int(match[1], 16) & 0x30 != 0x10]
    return max(set(domains), key=domains.count)


def is_invalidation(event, domain):
    if event.name != 'qi_submit':
        return int(re.search(r' did (\d+) ', event.body)[1]) == domain
    match = re.match(r'iotlb_inv \w+: (0x\w+)', event.body)
    return bool(match) and int(match[1], 16) >> 16 == domain and int(match[1], 16) & 0x30 != 0x10


def counted(recording):
    """Events of each class."""
    domain = domain_of(recording)
    named = collections.Counter(event.name for event in recording.events)
    memory = [event for event in recording.named('dma_alloc', 'dma_alloc_attrs', 'dma_free', 'dma_free_attrs')
              if recording.value(event, 'size')]
    calls = CALLS if named['dma_map_phys'] == 0 else [name for name in CALLS if '_page' not in name and '_sg' not in name]
    return {
        'iova': len(recording.ours('iova_alloc')),
        'iova requests': len(recording.ours('iova_alloc')),
        'iova frees': len(recording.ours('iova_free')),
        'dma calls': sum(named[name] for name in calls),
        'maps': named['map_nosync'] or named['map'],
        'map results': named['map_nosync_ret'],
        'unmaps': named['unmap'],
        'invalidations': sum(is_invalidation(event, domain) for event in recording.named(
            'qi_submit', 'cache_tag_flush_range', 'cache_tag_flush_range_np')),
        'pools': named['pool_alloc'] + named['pool_free'],
        'coherent': len(memory),
    }


def check_counts(facts, recording):
    found = classes(facts)
    for name, count in counted(recording).items():
        equal(found[name]['recorded'] if name in found else 0, count, name)
    for name, each in found.items():
        equal(each['recorded'], each['predicted'] + each['undecided'], f'{name}, all together')
        check(each['undecided'] * 200 <= each['recorded'], f'{name}: {each["undecided"]} not decided')


def agrees(path):
    facts = verify(path)
    check('first_difference' not in facts, 'no difference')
    check_counts(facts, recording_of(path))


def says_what_the_json_says(path):
    facts = verify(path)
    text = program.expect(0, 'verify', path).out
    for each in facts['classes']:
        check(f'{each["class"]}: {each["recorded"]} recorded, {each["predicted"]} predicted, {each["undecided"]} not '
              'decidable from the events\n' in text, each['class'], text)
    equal(len(re.findall(r' recorded, ', text)), len(facts['classes']), 'lines of classes')


if shutil.which('zstd'):
    for bundled, where in BUNDLED.items():
        cases.add(f'agrees/{bundled}', agrees, where)
        cases.add(f'agrees/text-of-{bundled}', says_what_the_json_says, where)


@case('agrees/dumps-of-the-page-table')
def _():
    rows = 0
    for name in os.listdir(DUMPS):
        with open(os.path.join(DUMPS, name), encoding='utf-8') as file:
            rows += sum(line.startswith('0x') for line in file)
    found = classes(verify(f'--snapshots={DUMPS}', BOOT))['page-table entries']
    equal((found['recorded'], found['predicted']), (rows, rows), 'entries')
    check('page-table entries' not in classes(verify('--snapshots=none', BOOT)), 'none without')


@case('agrees/the-same-twice-and-in-any-language')
def _():
    first = program.expect(0, 'verify', BOOT).out
    for language in 'C', 'C.UTF-8', 'de_DE.UTF-8', 'tr_TR.UTF-8':
        equal(program.expect(0, 'verify', BOOT, env={'LC_ALL': language, 'LANG': language}).out, first, language)


# ---- what was made wrong in one place ----

# What the recording has of these is all there is: verify takes it as given. A call of the DMA layer that a probe missed is
# told apart from one that never was by nothing.
GIVEN = {
    '7.0-strict': {'try_alloc missing', 'destroy missing'},
    '7.0-lazy': {'try_alloc missing', 'destroy missing'},
    '6.1-strict': {'map paddr'},
}
# Given, but what comes later contradicts it.
LATER = {'dma_map_page offset', 'dma_alloc missing', 'dma_alloc_attrs size'}
# Calls of several CPUs were served in an order that nobody wrote down: another one may suit what is wrong.
LATER |= {'pool_free dma'}


def mutated(recording, name, number):
    """Recording NUMBER of this kind, made wrong: (line, text)."""
    return mutate.MUTATIONS[name](recording, random.Random(f'{name} {number}'))


def first_difference(*args):
    begun = time.monotonic()
    facts = verify(*args, code=1)
    check(time.monotonic() - begun < SECONDS_MAX, 'in time')
    check(any(each['predicted'] + each['undecided'] < each['recorded'] for each in facts['classes']), 'a class shows it')
    return facts['first_difference']


def check_place(recording, line, found):
    """The difference is at the line that was changed, or beside it in what the kernel was doing."""
    wanted, got = recording.by_number[line], recording.by_number.get(found['line'])
    check(got and (got.number == line or got.op == wanted.op),
          f'line {line} was changed, line {found["line"]} was found: {found["expected"]}')


def finds(path, name, given):
    recording = recording_of(path)
    for number in range(MUTATIONS):
        line, text = mutated(recording, name, number)
        write('wrong.txt', text)
        if given:
            verify('wrong.txt')
            continue
        found = first_difference('wrong.txt')
        if name not in LATER:
            check_place(recording, line, found)


if shutil.which('zstd'):
    for bundled, where in BUNDLED.items():
        whole = recording_of(where)
        for kind in mutate.MUTATIONS:
            if mutated(whole, kind, 0):
                cases.offer(f'wrong/{bundled}/{kind.replace(" ", "-")}', finds, where, kind, kind in GIVEN[bundled])


def dump_mutations():
    """A dump made wrong: name -> what becomes of its lines, and which of them it is."""
    def a_bit(lines, at, chance):
        entry = lines[at].split()[-1]
        lines[at] = lines[at].replace(entry, f'0x{int(entry, 16) ^ 1 << chance.randint(0, 51):016x}')
        return at + 1

    def a_bit_above(lines, at, chance):
        column = chance.choice([-2, -3])
        cells = lines[at].split('\t')
        cells[column] = f'0x{int(cells[column], 16) ^ 1 << chance.randint(0, 51):016x}'
        lines[at] = '\t'.join(cells)
        return at + 1

    def a_row_less(lines, at, chance):
        del lines[at]
        return 1

    def a_row_more(lines, at, chance):
        lines.insert(at, lines[at].replace('0x00000000f', '0x00000000e', 1))
        return at + 1

    def a_row_twice(lines, at, chance):
        lines.insert(at, lines[at])
        return at + 2

    return {'bit': a_bit, 'bit-above': a_bit_above, 'row-less': a_row_less, 'row-more': a_row_more, 'row-twice': a_row_twice}


def finds_in_dump(change):
    for number in range(MUTATIONS * 2):
        chance = random.Random(number)
        name = chance.choice(['probe', 'workload-end']) + '.pagetable.txt'
        shutil.rmtree('dumps', ignore_errors=True)
        shutil.copytree(DUMPS, 'dumps')
        with open(f'dumps/{name}', encoding='utf-8') as file:
            lines = file.read().split('\n')
        line = change(lines, chance.choice([i for i, line in enumerate(lines) if line.startswith('0x')]), chance)
        write(f'dumps/{name}', '\n'.join(lines))
        found = first_difference('--snapshots=dumps', BOOT)
        # Of two rows that contradict each other, the later one is named.
        place = rf'dumps/{name}:({line}: |{line + 1}: .* as in line {line}$)'
        check(re.match(place, found['expected']), f'{name}:{line}: {found["expected"]}')


for change_name, change_function in dump_mutations().items():
    cases.add(f'wrong/dump/{change_name}', finds_in_dump, change_function)


@case('wrong/said-in-the-words-of-the-recording')
def _():
    if not shutil.which('zstd'):
        return
    recording = recording_of(BOOT)
    event = recording.ours('iova_alloc')[100]
    write('wrong.txt', recording.edit(event.number, ' flush=0', ' flush=1'))
    out = program.expect(1, 'verify', 'wrong.txt').out
    size = recording.value(event, 'size')
    check(f'first difference: wrong.txt:{event.number}: the model expected iova_alloc size={size} limit=0xfffff flush=0\n'
          in out, 'what was expected', out)
    check(re.search(rf'^> wrong.txt:{event.number}: cpu {event.cpu} .*iova_alloc size={size} limit=0xfffff flush=1$', out,
                    re.M), 'what stands there', out)


# ---- what is no recording ----

@case('refuses/what-has-nothing-to-compare')
def _():
    for path, why in ((SYNTHETIC.replace('synthetic-nvme-iommu-dma', 'loop-mix').replace('.ftrace.txt', '.ftrace-events.txt'),
                       'no events of the DMA or IOMMU layer to compare with'),
                      (write('empty.txt', ''), 'no block or NVMe events'),
                      ('.', 'directory'), ('absent', 'No such file'),
                      (os.path.join(BOOT_BLKTRACE, sorted(os.listdir(BOOT_BLKTRACE))[0]), '')):
        message = program.refuses('verify', path)
        check(why in message, f'{path}: {why}', message)


@case('refuses/dumps-that-are-in-no-directory')
def _():
    equal(program.refuses('verify', '--snapshots=absent', BOOT), 'absent: not a directory', 'message')


@case('refuses/standard-input-that-is-empty')
def _():
    check('no block or NVMe events' in program.refuses('verify', '-'), 'nothing came')


@case('reads/standard-input')
def _():
    if shutil.which('zstd'):
        equal(classes(json.loads(program.expect(0, 'verify', '--json', '-', stdin=text_of(LAZY).encode()).out)),
              classes(verify(LAZY)), 'the same as of the file')


HUGE = ('0', '1', '-1', '18446744073709551615', '9223372036854775808', '4294967296', '1099511627776', '0xffffffffffffffff',
        '0x8000000000000000', '0xfff', '99999999999999999999999', '', 'x')


def hostile_lines(recording, chance):
    """Numbers that no kernel prints, in a few places."""
    lines = recording.lines.copy()
    for _ in range(chance.choice([1, 1, 3, 30])):
        event = chance.choice(recording.events)
        place = [match.span(1) for match in re.finditer(r'\b(0x[0-9a-f]+|\d+)\b', event.body)]
        if place:
            begin, end = chance.choice(place)
            lines[event.number - 1] = lines[event.number - 1].replace(
                event.body, event.body[:begin] + chance.choice(HUGE) + event.body[end:])
    return '\n'.join(lines)


def rough(recording, chance):
    """Lines that are gone, doubled, elsewhere, of another CPU or context, or cut off."""
    lines = recording.lines.copy()
    for _ in range(chance.choice([1, 10, 200])):
        at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
        what = chance.randrange(6)
        if what == 0:
            del lines[at]
        elif what == 1:
            lines.insert(to, lines[at])
        elif what == 2:
            lines.insert(to, lines.pop(at))
        elif what == 3:
            lines[at] = re.sub(r'\[\d+\]', f'[{chance.choice([0, 3, 63, 4095, 4096]):03}]', lines[at])
        elif what == 4:
            lines[at] = re.sub(r'(\] .).', lambda match: match[1] + chance.choice('.hsHZ'), lines[at])
        else:
            lines[at] = lines[at][:chance.randrange(len(lines[at]) + 1)]
    return '\n'.join(lines)


def cut(recording, chance):
    text = recording.text()
    return text[:chance.randrange(len(text))]


def survives(path, change):
    recording = recording_of(path)
    for number in range(MUTATIONS * 4):
        write('hostile.txt', change(recording, random.Random(number)))
        begun = time.monotonic()
        result = program.run('verify', 'hostile.txt')
        check(time.monotonic() - begun < SECONDS_MAX, f'{number}: in time')
        check(result.code in (0, 1, 2), f'{number}: ends well', result)
        if result.code == 2:
            check_one_line(result)


if shutil.which('zstd'):
    for bundled, where in BUNDLED.items():
        cases.add(f'hostile/{bundled}/numbers', survives, where, hostile_lines)
        cases.add(f'hostile/{bundled}/lines', survives, where, rough)
        cases.add(f'hostile/{bundled}/cut-off', survives, where, cut)


HEAD = '             fio-9       [{cpu:03}] {flags}    {time}: {rest}'


def made(*rests, cpu=0, flags='.....'):
    return '\n'.join(HEAD.format(cpu=cpu, flags=flags, time=f'1.{number:06}', rest=rest)
                     for number, rest in enumerate(rests)) + '\n'


SETUP = ('nvme_setup_cmd: nvme0: disk=nvme0n1, qid=1, cmdid={tag}, nsid=1, flags=0x0, meta=0x0, cmd=(nvme_cmd_read slba=0, '
         'len=0, ctrl=0x0, dsmgmt=0, reftag=0)')
ISSUE = 'block_rq_issue: 259,0 R {bytes} () 0 + 8 be,0,4 [fio]'
UNMAP = 'unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 size=4096 unmapped_size=4096'
LINK = 'link: (dma_iova_link+0x0/0x320) st=0xff phys=0x1000 off=0 size={size} dir=2'
MADE = {
    'commands-that-are-never-done': made(UNMAP, *(SETUP.format(tag=tag) for tag in range(3000))),
    'links-that-are-not-issued': made(
        *(line for tag in range(200) for line in (
            SETUP.format(tag=tag), 'try_alloc: (x) phys=0x0 size=4294963200 st=0xff',
            'iova_alloc: (alloc_iova_fast+0x0/0x2f0) size=1048575 limit=0xffffffffff flush=1 iovad=0xff',
            f'iova_alloc_ret: (x <- alloc_iova_fast) pfn={hex(tag << 21)}', LINK.format(size=4294963200), UNMAP))),
}


def made_is_refused_or_differs(text):
    shutil.copytree(DUMPS, 'snapshots')
    write('made.txt', text)
    result = program.run('verify', 'made.txt', timeout=SECONDS_MAX)
    check(result.code in (1, 2) or 'predicted, 1 not decidable' in result.out, 'exit 1 or 2', result)
    if result.code == 2:
        check_one_line(result)


for made_name, made_text in MADE.items():
    cases.add(f'hostile/{made_name}', made_is_refused_or_differs, made_text)
for made_name in sorted(os.listdir(HOSTILE)):
    cases.add(f'hostile/{made_name}', made_is_refused_or_differs, read(HOSTILE, made_name))


@case('hostile/dump-that-is-none')
def _():
    for number, (content, where) in enumerate((('x\n', 1), ('Device x\n0xzz | 0x0\n', 2), ('\n\n0x1 |\t0x0\t0x0\t0x0\t0x0\n', 3),
                                               ('0x1 |\t0x0\t0x0\t0x0\t0x0\t0x0\n', 1), ('\0\0\0\n', 1), ('0x1 0x3\n', 1))):
        os.makedirs(f'd{number}')
        path = write(f'd{number}/probe.pagetable.txt', content)
        equal(program.refuses('verify', f'--snapshots=d{number}', BOOT), f'{path}:{where}: not a line of a page-table dump',
              repr(content))


# ---- every recording there is ----

def table():
    """Rows of the table of runs: name -> what it says of maps, unmaps and allocations."""
    runs = {}
    with open(os.path.join(SHARED, 'README.md'), encoding='utf-8') as file:
        for line in file:
            cells = [cell.strip() for cell in line.split('|')[1:-1]]
            if len(cells) == 15 and re.match(r'v\d', cells[0]):
                runs[cells[0]] = {'maps': int(cells[4]), 'unmaps': int(cells[5]), 'iova': int(cells[6].split()[0])}
    return runs


def agrees_with_run(name, told):
    begun = time.monotonic()
    facts = verify(os.path.join(SHARED, name, 'trace.txt.zst'))
    check(time.monotonic() - begun < SECONDS_MAX, 'in time')
    for kind, count in told.items():
        equal(classes(facts)[kind]['recorded'], count, f'{kind} as in the table')
    check_counts(facts, mutate.Recording(text_of(os.path.join(SHARED, name, 'trace.txt.zst'))))


if shutil.which('zstd') and os.path.exists(os.path.join(SHARED, 'README.md')):
    for run, row in table().items():
        cases.offer(f'shared/{run}', agrees_with_run, run, row)

cases.main()
