# SPDX-License-Identifier: MIT
"""Every recorded request shape as a trace, and its map or its sync failing at every recorded index by a faults file as a
user would write it: `blkdma-rollback = old` leaves what the recording of the kernel without the repair shows, `fixed`
leaves nothing. test-rollback.py IOMMUSIM"""
import json
import os
import re
import subprocess
import sys

from tap import FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()

RECORDINGS = os.path.join(FIXTURES, 'golden', 'blockdma')
GROUPS = 'basic', 'modes', 'nvme', 'rand_blk', 'rand_nvme'
# What of a recording's environment a machine file can say. Others are other devices; `conform` has them.
USUAL = {'driver': 'pt', 'untrusted': '0', 'coherent': '1', 'qid': '1', 'usercmd': '0'}
SAID = {'mode': 'iommu.mode', 'sgl': 'nvme.sgl', 'sgl_threshold': 'nvme.sgl-threshold', 'forcedac': 'iommu.forcedac'}
ERRNO = {12: 'ENOMEM', 22: 'EINVAL', 5: 'EIO'}
DMA_LIMIT = 128 * 1024  # more is split behind an IOMMU
WARM_UP_S, SECOND_S = 1, 2


class Run:
    """One execution in a recording: what failed, and what was seen."""

    def __init__(self, tag):
        self.failed = re.fullmatch(r'fail (map|sync):(\d+) errno=-(\d+)', tag)
        self.coalesced = False
        self.holes = self.wrong_sizes = self.pages_left = self.iovas_left = 0
        self.status = None

    def take(self, line):
        state = re.match(r'state live_ptes=(\d+) iova_live=(\d+)', line)
        if state:
            self.pages_left, self.iovas_left = map(int, state.groups())
        elif line.startswith('status '):
            self.status = line.split()[1]
        self.holes += line.startswith('hole ')
        self.wrong_sizes += line.startswith('! WARN') and 'unmapped != size' in line
        self.coalesced |= line.startswith('= dma_iova_try_alloc') and '-> 1 ' in line


class Shape:
    """A recorded case: environment, vectors and the runs that the page says."""

    def __init__(self, name):
        self.name = name
        self.env, self.vecs, self.runs = {}, [], {}
        self.op, self.usual, self.bios_touch, self.new_bio = None, True, False, False

    def take(self, word, rest):
        if word == 'env':
            self.env.update(pair.split('=') for pair in rest)
        elif word in ('lim', 'mbvec', 'op'):
            self.usual = False
        elif word == 'req':
            self.usual &= self.op is None and len(rest) == 2 and rest[1] in ('read', 'write')
            self.op = rest[1]
        elif word == 'bio':
            self.new_bio = True
        elif word == 'bvec':
            self.take_vec(*(int(number, 0) for number in rest))

    def take_vec(self, paddr, length, count=1, step=0):
        for i in range(count):
            at = paddr + i * step
            if self.new_bio and self.vecs and sum(self.vecs[-1]) == at:
                self.bios_touch = True  # a trace does not say where a bio ends
            self.new_bio = False
            self.vecs.append((at, length))

    def can_be_replayed(self):
        size = sum(length for _, length in self.vecs)
        # The driver has a way of its own for one vector, which recordings of the block layer's mapper do not take.
        shortcut = len(self.vecs) == 1 and self.env.get('level') != 'nvme'
        return (self.usual and not self.bios_touch and not shortcut and 0 < size <= DMA_LIMIT and size % 512 == 0 and
                self.env.get('mode', 'strict') != 'direct' and
                all(self.env.get(key, value) == value for key, value in USUAL.items()) and
                all(key in USUAL or key in SAID or key == 'level' for key in self.env))

    def settings(self):
        said = {'iommu.mode': 'strict'}
        for key, value in self.env.items():
            if key in SAID:
                said[SAID[key]] = value
        if self.env.get('mode') == 'lazy1':
            said.update({'iommu.mode': 'lazy', 'iommu.flush-queue': 'single'})
        for key in 'nvme.sgl', 'iommu.forcedac':
            if key in said:
                said[key] = 'yes' if said[key] == '1' else 'no'
        return [word for key, value in said.items() for word in ('--set', f'{key}={value}')]

    def trace(self):
        """The request twice: pools have what they need when the second is mapped."""
        size = sum(length for _, length in self.vecs)
        letter = 'R' if self.op == 'read' else 'W'
        lines = ['# tracer: nop', '#', '# entries-in-buffer/entries-written: 1/1   #P:4']
        for second in WARM_UP_S, SECOND_S:
            def event(us, text, second=second):
                lines.append(f'  fio-1  [000] .....  {second}.{us:06}: {text}')
            event(1, 'nvme_setup_cmd: nvme0: disk=nvme0n1, qid=1, cmdid=1, nsid=1, flags=0x0, meta=0x0, '
                  f'cmd=(nvme_cmd_{self.op} slba=0, len={size // 512 - 1}, ctrl=0x0, dsmgmt=0, reftag=0)')
            offset = 0
            for paddr, length in self.vecs:
                event(2, f'link: (dma_iova_link+0x0/0x10) phys={paddr:#x} off={offset} size={length} dir=2')
                offset += length
            event(3, f'block_rq_issue: 259,0 {letter} {size} () 0 + {size // 512} be,0,4 [fio]')
            event(90003, f'block_rq_complete: 259,0 {letter} () 0 + {size // 512} be,0,4 [0]')
        return '\n'.join(lines) + '\n'


def recorded(path):
    """The shapes of a recording, by name."""
    text = subprocess.run(['zstd', '-dcq', path], capture_output=True, check=True).stdout.decode()
    shapes, shape, run = {}, None, None
    for line in text.splitlines():
        word, *rest = line.split() or ['']
        if word == 'case':
            shape = shapes[rest[0]] = Shape(rest[0])
        elif word == 'run':
            run = shape.runs[' '.join(rest)] = Run(' '.join(rest))
        elif word == 'end':
            run = None
        elif run:
            run.take(line)
        elif shape:
            shape.take(word, rest)
    return shapes


def rules(run, site, number, errno):
    """Faults files, each of which is this failure. Times count from the first event."""
    points = ['iommu.map'] if site == 'map' else ['iommu.sync_map']
    if run.coalesced:
        points.append('dma.link' if site == 'map' else 'dma.sync')
    for point in points:
        yield (f'[fault {site}-{number}]\npoint = {point}\nnth = {number}\nerrno = {ERRNO[errno]}\n'
               f'after = {SECOND_S - WARM_UP_S}s\n')


def left_behind(folder):
    """IOVAs held and pages mapped when everything was torn down."""
    lines = read(folder, 'teardown.snap').splitlines()
    ranges = [re.search(r' iova=(0x[0-9a-f]+)-(0x[0-9a-f]+) ', line) for line in lines if line.startswith('map ')]
    return (sum(line.startswith('live ') for line in lines),
            sum((int(found[2], 16) - int(found[1], 16) + 1) // 4096 for found in ranges))


def replay(shape, rule, rollback):
    write('f.ini', rule)
    result = program.run('replay', '--json', '-o', 'out', '-f', 'f.ini', '--set', f'behaviour.blkdma-rollback={rollback}',
                         *shape.settings(), 't.txt')
    check(result.code in (0, 1), 'exit 0 or 1 expected', result)
    done = json.loads(result.out)
    kinds = [finding['kind'] for finding in done['violations']]
    equal([rule['fired'] for rule in done['fault_rules']], [1], f'{rollback}: firings', rule)
    equal(done['replay']['recorded_segments'], 2, 'requests with their segments as recorded')
    return done, kinds


def check_run(shape, tag, old, fixed):
    site, number, errno = old.failed[1], int(old.failed[2]), int(old.failed[3])
    for rule in rules(old, site, number, errno):
        what = f'{tag}\n{rule}'
        done, kinds = replay(shape, rule, 'old')
        # Recordings look up PRP 1 and 2, not what a list has; but what no unmap found, no device did.
        equal('device access to a hole' in kinds, bool(old.holes or old.wrong_sizes), f'old: a hole is met in {what}')
        equal(kinds.count('wrong-size unmap'), old.wrong_sizes, f'old: unmaps of a wrong size in {what}')
        equal(left_behind('out'), (old.iovas_left, old.pages_left), f'old: IOVAs and pages left in {what}')
        equal(bool(kinds), bool(old.holes or old.wrong_sizes or old.iovas_left or old.pages_left),
              f'old: violations in {what}')
        equal(done['replay']['errors'], int(old.status not in ('OK', 'RESOURCE')), f'old: errors in {what}')
        done, kinds = replay(shape, rule, 'fixed')
        equal(kinds, [], f'fixed: violations in {what}')
        equal(left_behind('out'), (0, 0), f'fixed: IOVAs and pages left in {what}')
        equal(done['replay']['errors'], int(fixed.status not in ('OK', 'RESOURCE')), f'fixed: errors in {what}')
        equal(done['replay']['requeues'], int(fixed.status == 'RESOURCE'), f'fixed: requeues in {what}')


def check_shape(shape, buggy):
    write('t.txt', shape.trace())
    failing = {tag: run for tag, run in shape.runs.items() if run.failed}
    check(failing, 'a recording with a failure of map or sync expected')
    for tag, fixed in failing.items():
        # Only what differs was recorded again without the repair.
        check_run(shape, tag, buggy.runs.get(tag, fixed) if buggy else fixed, fixed)


for group in GROUPS:
    with_repair = recorded(os.path.join(RECORDINGS, f'{group}.fixed.txt.zst'))
    without = recorded(os.path.join(RECORDINGS, f'{group}.buggy.txt.zst'))
    for name, shape in with_repair.items():
        if shape.can_be_replayed() and any(run.failed for run in shape.runs.values()):
            cases.add(f'{group}/{name}', check_shape, shape, without.get(name))

cases.main()
