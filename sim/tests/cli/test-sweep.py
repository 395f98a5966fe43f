# SPDX-License-Identifier: MIT
"""faults sweep, on the real recordings of the fixtures: a repaired kernel stands every pair of point and pass on every kind of
IOMMU; each repair taken back breaks the pairs that belong to it, and no other; what is said to repeat a pair does; results do
not depend on jobs, interruptions or where they are kept. test-sweep.py IOMMUSIM"""
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import iot
from tap import BOOT, SAMPLE, Cases, Program, check, equal, read, sample, write

program = Program(sys.argv[1])
cases = Cases()

FIXED = '--set', 'kernel.version=fixed'
# Requests of all kinds: large and small, with PRP lists and SGLs, reads and writes.
MIXED = '--skip=200', '--limit=200'
# Some requests, and metadata, find no address of their own: they are mapped piece by piece.
FEW_ADDRESSES = '[fault others]\npoint = dma.iova\nprobability = 30\ntimes = -1\nseed = 5\n'


def sweep(code, *args):
    """Sweeps the recording; returns the results as JSON has them."""
    return json.loads(program.expect(code, 'faults', 'sweep', '--json', *args, BOOT, timeout=600).out)


def broke(found):
    """The points that broke, with how often."""
    return {row['point']: row['broke'] for row in found['points'] if row['broke']}


def passes(found):
    return {row['point']: row['passes'] for row in found['points']}


def clean(*args):
    """A sweep that finds nothing."""
    most = 1 << 32 if SAMPLE == 1 else 15
    found = sweep(0, *FIXED, f'--max={most}', *args)
    equal(found['broken_count'], 0, 'broken')
    check('unfaulted' not in found, 'nothing wrong without a fault')
    equal(found['pairs'], sum(min(row['passes'], most) for row in found['points']), 'every pass is tried')
    check(found['pairs'] > (300 if SAMPLE == 1 else 100), 'there is something to try', found['pairs'])


# The first 200 I/Os, all points, all passes.
for hardware in 'intel', 'amd', 'arm-smmu-v3':
    for mode in 'strict', 'lazy':
        cases.offer(f'/sweep/fixed/{hardware}-{mode}-is-clean', clean, '--limit=200', '--set', f'iommu.hardware={hardware}',
                    '--set', f'iommu.mode={mode}')
# Here 55 requests are in flight at the end.
cases.add('/sweep/fixed/where-the-trace-ends-the-same-is-mapped', clean, '--mode=asap', '--skip=250', '--limit=30')
cases.offer('/sweep/fixed/large-requests-are-clean', clean, '--skip=230', '--limit=40')


@cases.case('/sweep/fixed/a-planted-difference-is-seen-where-the-trace-ends')
def _():
    """The old roll-back leaves more, or less, mapped than there is without a fault: each by so many granules as were linked."""
    found = sweep(1, *FIXED, '--set', 'behaviour.blkdma-rollback=old', '--mode=asap', '--skip=250', '--limit=30',
                  '--points=dma.*')
    what = {point: [pair['what'] for pair in found['broken'] if pair['point'] == point] for point in ('dma.link', 'dma.sync')}
    check(what['dma.link'] and what['dma.sync'], 'both break', broke(found))
    for text in what['dma.link']:
        check('granules fewer mapped where the trace ends' in text and 'more mapped' not in text, 'a hole', text)
    for text in what['dma.sync']:
        lost = int(re.search(r'leak \(1\): IOVA \S+ (\d+) bytes', text)[1])
        check(f'{lost // 4096} granules more mapped where the trace ends' in text, 'what was linked stays', text)


def one_back(behaviour, wanted, *args):
    """One repair taken back breaks exactly the passes WANTED: a number of a point, or all."""
    found = sweep(1, *FIXED, '--set', f'behaviour.{behaviour}', *args)
    check('unfaulted' not in found, 'nothing wrong without a fault', found.get('unfaulted'))
    got, count = broke(found), passes(found)
    equal(got, {point: count[point] if number == 'all' else number for point, number in wanted.items()}, 'what broke')


cases.offer('/sweep/back/magazine-null-check', one_back, 'iova-magazine-null-check=unchecked', {'iova.magazine': 'all'},
            '--limit=5')
cases.offer('/sweep/back/rollback', one_back, 'blkdma-rollback=old', {'dma.link': 'all', 'dma.sync': 'all'},
            '--points=dma.*', *MIXED)
cases.offer('/sweep/back/rollback-frees-another-size', one_back, 'rollback-iova-free=mapped', {'dma.link': 239},
            '--points=dma.*', *MIXED)
cases.offer('/sweep/back/descriptor-pool', one_back, 'descriptor-pool-unmap=leak', {'nvme.sgl_pool': 'all'}, *MIXED,
            '--max=40')
cases.offer('/sweep/back/prp-pool', one_back, 'prp-pool-unmap=partial', {'nvme.prp_pool': 'all'}, '--points=nvme.*', *MIXED)
cases.offer('/sweep/back/bounced-links', one_back, 'bounce-link=old', {'dma.bounce': 6}, '--points=dma.*', *MIXED,
            '--set', 'iommu.untrusted=yes', '--set', 'machine.swiotlb=4M')


@cases.case('/sweep/back/map-error-is-taken-for-success')
def _():
    """Only with a driver that has its page table from io-pgtable; and the first page of the table is no map's."""
    args = ('--set', 'behaviour.nosync-map-error=inverted', '--points=*p*', '--max=50', '--skip=200', '--limit=100')
    found = sweep(1, *FIXED, '--set', 'iommu.hardware=arm-smmu-v3', *args)
    equal(broke(found), {'iommu.map': 50, 'pgtable.page': passes(found)['pgtable.page'] - 1}, 'what broke')
    sweep(0, *FIXED, '--set', 'iommu.hardware=amd', *args)


# Every point of a part of the recording: exactly these pairs break. A link that fails because its map does is a link that fails.
for behaviour, skip, wanted in (
        ('blkdma-rollback=old', 240, {'dma.link': 'all', 'dma.sync': 'all', 'iommu.map': 51, 'iommu.sync_map': 4}),
        # Of a pool that grows, mapping the page fails as well.
        ('descriptor-pool-unmap=leak', 330, {'nvme.sgl_pool': 'all', 'iommu.map': 1, 'iommu.sync_map': 1}),
        ('prp-pool-unmap=partial', 330, {'nvme.prp_pool': 'all'}),
        ('iova-magazine-null-check=unchecked', 330, {'iova.magazine': 'all'})):
    cases.offer(f'/sweep/back/of-all-points/{behaviour}', one_back, behaviour, wanted, f'--skip={skip}', '--limit=20')


def harmless(behaviour, *args):
    """A value that another kernel has, and that is no repair taken back: nothing breaks."""
    sweep(0, *FIXED, '--set', f'behaviour.{behaviour}', '--skip=240', '--limit=20', '--max=20', *args)


for behaviour in 'iova-magazine-null-check=kfree', 'iova-depot=array-32', 'iova-32bit-retry=each-request':
    cases.offer(f'/sweep/back/harmless/{behaviour}', harmless, behaviour)


@cases.case('/sweep/back/gap-of-metadata')
def _():
    """Two pieces of metadata that do not meet at pages, of data that do (D6): wrong with or without a fault, and said so."""
    segments = [(0x10000, 4096, 0), (0x20000, 4096, 0), (0x30100, 64, 1), (0x34200, 64, 1)]
    write('t.iot', iot.whole(iot.issue('write', 1000, 0, 0, 64, 8192, (1, 7), segments), iot.end(500)))
    args = ('faults', 'sweep', '--json', *FIXED, '--set', 'nvme.metadata=8', '--set', 'nvme.metadata-sgl=yes', '--repeat=4')
    equal(json.loads(program.expect(0, *args, 't.iot').out)['broken_count'], 0, 'own')
    found = json.loads(program.expect(1, *args, '--set', 'behaviour.metadata-gap=data', 't.iot').out)
    check('segment linked inside a granule' in found['unfaulted'], 'without a fault already', found)
    equal(broke(found), {}, 'no pair')


PEER = 0x380000000000
# Where each request's segments lie, how many they are, and how large. Queues take turns: the fifth is of the first one's.
REQUESTS = (('write', 0x10000, 2, 4096), ('read', PEER, 3, 4096), ('write', PEER + 0x100000, 16, 4096),
            ('read', PEER + 0x200000, 2, 65536), ('read', PEER + 0x300000, 1, 4096), ('read', 0x1000000, 5, 4096),
            ('write', PEER + 0x400000, 20, 4096))
# To another device's memory with PRPs: not the fourth, which has an SGL.
TO_PEER = 2, 3, 5, 7


def peer_trace():
    records, before = [], (0, 0)
    for i, (op, at, number, count) in enumerate(REQUESTS):
        segments = [(at + k * 0x10000, count, 2 if at >= PEER else 0) for k in range(number)]
        records += [iot.issue(op, 1000, i % 4, 0, 4096 * i, number * count, (1 + i % 4, i), segments, before=before),
                    iot.end(500, cpu=i % 4)]
        before = 4096 * i + number * count // 512, segments[-1][0] + count
    write('t.iot', iot.whole(*records))


def sweep_peer(code, *args):
    found = json.loads(program.expect(code, 'faults', 'sweep', '--json', *FIXED, '--mode=asap',
                                      '--set', 'machine.p2p=0x380000000000-0x38000fffffff', *args, 't.iot').out)
    check(found['pairs'] > 150, 'there is something to try', found['pairs'])
    return found


@cases.case('/sweep/peer-to-peer/fixed-is-clean')
def _():
    peer_trace()
    more = [], ['--set', 'machine.p2p-bus=0x40000000'], ['--set', 'kernel.version=6.1']
    for path, args in sample(itertools.product(('bus', 'host-bridge', 'unsupported'), more)):
        found = sweep_peer(0, '--set', f'machine.p2p-path={path}', *args)
        check('unfaulted' not in found, 'nothing wrong without a fault', found)


@cases.case('/sweep/back/record-of-a-peer-to-peer-request')
def _():
    """Each success loses a record (D9): seven requests lose four, with or without a fault. Exactly the pairs break in which such a
    request is done once more, by what the controller does, and each says how many were."""
    peer_trace()
    found = sweep_peer(1, '--set', 'behaviour.p2p-vec-free=leak')
    equal(found['unfaulted'], 'leak (1): 4 vector tables were never freed', 'without a fault')
    what = {(pair['point'], pair['pass']): pair['what'] for pair in found['broken']}

    def more(number):
        return f'{number} more descriptor blocks and vector tables were never freed, in all {4 + number}'

    wanted = {(point, number): more(1) for point in ('controller.lost_completion', 'controller.transfer_error')
              for number in TO_PEER}
    # A reset: what comes after the failure waits for it.
    wanted.update({('controller.fatal', number): more(sum(later >= number for later in TO_PEER)) for number in range(1, 8)})
    # The queue's next doorbell tells of the one that was lost, unless it was the last.
    wanted.update({('controller.doorbell', number): more(1) for number in TO_PEER if number + 4 > 7})
    equal({pair: text for pair, text in what.items() if pair[0] != 'controller.translation'}, wanted, 'what broke')
    # The queues' own accesses and those of lists: what goes to the other device passes no IOMMU.
    check(all(re.fullmatch(r'[1-4] more .* in all [5-8]', text) for text in what.values()), 'nothing else', what)
    equal((broke(found)['controller.translation'], passes(found)['controller.translation']), (17, 26), 'queues and lists')
    # Mapped as all memory is, it is unmapped by that record.
    sweep_peer(0, '--set', 'behaviour.p2p-vec-free=leak', '--set', 'machine.p2p-path=host-bridge')


# ---- boards: probing ----

# A driver that does not look whether there is any driver data crashes in every kernel but the one whose core hands it over.
BOARDS = (
    ('mtk-iommu', '/soc/pcie@112f8000', 'mtk-iommu', {'devtree.probe.S3': 2}, {}),
    ('ipmmu-vmsa', '/soc/pcie@fe000000', 'ipmmu-vmsa', {}, {}),
    ('apple-dart', 'first', 'apple-dart', {'devtree.probe.S3': 5}, {}),
    ('mtk-iommu-v1', '/jpegdec@15004000', 'mtk-iommu-v1', {'devtree.probe.S3': 2}, {}),
    ('sun50i-iommu', '/soc/mixer@100000', 'sun50i-iommu', {}, {}),
    ('tegra-smmu', '/hda@70030000', 'tegra-smmu', {'devtree.probe.S3': 8}, {}),
    ('omap-iommu', '/ocp/dsp@40800000', 'omap-iommu', {}, {'devtree.probe.S3': 3}),
    ('exynos-sysmmu', '/soc/codec@13400000', 'exynos-sysmmu', {}, {}),
    ('qcom-iommu', '/soc@0/gpu@1c00000', 'qcom-iommu', {'devtree.probe.S3': 4}, {}),
)


def probed(board, nvme, *sets):
    """The sweep of a board's probing: what breaks, and what is wrong without a fault."""
    args = [word for value in sets for word in ('--set', f'behaviour.{value}')]
    run = program.run('faults', 'sweep', '--json', '--dtb', os.path.join(os.environ['BOARDS'], f'{board}.dtb'),
                      f'--nvme={nvme}', *FIXED, '--points=devtree.*', '--limit=1', *args, BOOT)
    check(run.code in (0, 1), 'swept', run)
    found = json.loads(run.out)
    equal(run.code, int(bool(found['broken_count']) or 'unfaulted' in found), 'exit', run)
    return broke(found), found.get('unfaulted', ''), found


def references(board, nvme, driver, crashes, lost_by_v1):
    got, without, found = probed(board, nvme)
    equal((got, without), (crashes, ''), 'fixed')
    for pair in found['broken']:
        check('null dereference (1)' in pair['what'] and ';' not in pair['what'], 'only crashes', pair)
    got, without, _ = probed(board, nvme, f'of-xlate-put.{driver}=old')
    equal(got, crashes, 'old')
    check('reference never dropped' in without, 'old: lost by every success', without)
    got, without, _ = probed(board, nvme, f'of-xlate-put.{driver}=v1')
    equal((got, without), ({**crashes, **lost_by_v1}, ''), 'v1')


for row in BOARDS:
    cases.offer(f'/sweep/boards/{row[0]}', references, *row)


@cases.case('/sweep/boards/larbs')
def _():
    """Loops that end early drop what was dropped before (old), failures after the loop too (v1); v1 is wrong at removal anyway."""
    board = BOARDS[0][:2]
    got, without, found = probed(*board, 'mtk-larb-refs=old')
    equal((got, without), ({'devtree.probe.S3': 2, 'devtree.larb': 2, 'devtree.link': 2}, ''), 'old')
    check(all('reference dropped twice' in pair['what'] for pair in found['broken'] if pair['point'] != 'devtree.probe.S3'),
          'what they do', found['broken'])
    got, without, _ = probed(*board, 'mtk-larb-refs=v1')
    equal(got, {'devtree.probe.S3': 2, 'devtree.link': 2}, 'v1')
    check('mtk_iommu_remove' in without, 'v1: at removal', without)
    got, without, _ = probed(*BOARDS[3][:2], 'mtk-larb-refs=old')
    check('reference never dropped' in without, 'the other driver', without)


@cases.case('/sweep/boards/a-core-that-hands-over-the-instance-asks-for-no-data')
def _():
    for board, nvme, _, crashes, _ in BOARDS:
        if crashes and board != 'apple-dart': # which cannot use it
            equal(probed(board, nvme, 'probe-device-fwspec=on')[0], {}, board)


@cases.case('/sweep/other-rules/fire-meanwhile')
def _():
    write('few.ini', FEW_ADDRESSES)
    args = ('-f', 'few.ini', '--set', 'nvme.sgl-threshold=0', '--points=nvme.vec_pool', *MIXED)
    found = sweep(0, *FIXED, *args)
    check(found['pairs'] >= 10, 'requests are mapped piece by piece', found)
    found = sweep(1, *FIXED, '--set', 'behaviour.descriptor-pool-unmap=leak', *args)
    equal(broke(found), {'nvme.vec_pool': found['pairs']}, 'what broke')


@cases.case('/sweep/pairs/each-is-repeated-by-its-command')
def _():
    write('my machine.ini', '[kernel]\nversion = 7.0\n')
    found = sweep(1, '-c', 'my machine.ini', '--max=3', *MIXED)
    check(len(found['broken']) >= 5, 'several broke', broke(found))
    for pair in found['broken']:
        words = shlex.split(pair['command'])
        equal(words[0], 'iommusim', 'command')
        again = json.loads(program.run(*words[1:], '--json').out)
        seen = {row['kind']: row for row in again['violations'] + again['observations']}
        kinds = re.findall(r'(?:^|; )([a-z -]+) \(\d+\): ', pair['what'], re.I)
        check(kinds, 'something was found', pair)
        for kind in kinds:
            check(any(row['kind'].lower() == kind.lower() for row in seen.values()), f'{kind} again', pair)
        equal((again['firings'][0]['point'], again['firings'][0]['pass']), (pair['point'], pair['pass']), 'fired')


@cases.case('/sweep/pairs/children-see-what-runs-of-their-own-see')
def _():
    """No pair is missed, and none is found that a run of its own does not have."""
    found = sweep(1, *FIXED, '--set', 'behaviour.descriptor-pool-unmap=leak', '--points=*.sgl_pool', *MIXED, '--max=8')
    listed = {(pair['point'], pair['pass']) for pair in found['broken']}
    equal(len(listed), 8, 'broken')
    for point, number in ('nvme.prp_pool', 1), ('dma.link', 40), ('nvme.sgl_pool', 35), ('nvme.sgl_pool', 36):
        run = program.run('replay', '--json', *FIXED, '--set', 'behaviour.descriptor-pool-unmap=leak', *MIXED,
                          f'--fail={point}:{number}', BOOT)
        equal(run.code, int((point, number) in listed), f'{point} {number}', run)


@cases.case('/sweep/sample/is-even-and-has-both-ends')
def _():
    program.expect(0, 'faults', 'sweep', *FIXED, '--limit=50', '--points=controller.fatal', '--max=5', '-o', 'out', BOOT)
    lines = [line for line in read('out', 'sweep.txt').splitlines() if not line.startswith('#')]
    equal(lines, [f'controller.fatal {number} ok' for number in (1, 13, 25, 37, 50)], 'tried')


@cases.case('/sweep/jobs/do-not-change-the-results')
def _():
    args = ('faults', 'sweep', '--set', 'kernel.version=7.0', '--max=10', *MIXED)
    one = program.expect(1, *args, '--jobs=1', '-o', 'one', BOOT)
    five = program.expect(1, *args, '--jobs=5', '-o', 'five', BOOT)
    equal(five.out, one.out, 'printed')
    equal(read('five', 'sweep.txt'), read('one', 'sweep.txt'), 'kept')


PASSES = 25 if SAMPLE == 1 else 8
ARGS = ('faults', 'sweep', '--set', 'kernel.version=7.0', f'--max={PASSES}', *MIXED, '-o', 'out')


@cases.case('/sweep/resume/goes-on-where-it-was-killed')
def _():
    whole = program.expect(1, *ARGS, BOOT)
    results = read('out', 'sweep.txt')
    os.unlink(os.path.join('out', 'sweep.txt'))
    child = subprocess.Popen([program.path, *ARGS, '--jobs=2', BOOT], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        if os.path.exists('out/sweep.txt') and len(read('out', 'sweep.txt').splitlines()) > 30:
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = read('out', 'sweep.txt')
    check(kept.count('\n') > 30, 'some was kept', kept[:500])
    again = program.expect(1, *ARGS, '--progress=always', BOOT)
    equal(again.out, whole.out, 'printed')
    equal(read('out', 'sweep.txt'), results, 'kept')


@cases.case('/sweep/resume/takes-up-what-is-there-and-half-a-line-is-not')
def _():
    program.expect(1, *ARGS, BOOT)
    results = read('out', 'sweep.txt')
    lines = results.splitlines(keepends=True)
    # What is there is believed: a result that says otherwise shows that it was not run again.
    changed = [line.replace(' ok', ' broke: my own words') if line == 'dma.iova 1 ok\n' else line for line in lines]
    check(changed != lines, 'there is such a line')
    write('out/sweep.txt', ''.join(changed[:-4]) + changed[-4][:-2])
    found = program.expect(1, *ARGS, BOOT)
    check('dma.iova 1: my own words' in found.out, 'taken up', found)
    equal(read('out', 'sweep.txt'), ''.join(changed), 'complete again')


@cases.case('/sweep/resume/another-sweep-is-refused')
def _():
    program.expect(1, *ARGS, BOOT)
    results = read('out', 'sweep.txt')
    for other in ([f'--max={PASSES - 1}'], ['--points=dma.*'], ['--set', 'nvme.sgl=no'], ['--seed=2'], ['--mode=asap']):
        message = program.refuses(*ARGS, *other, BOOT)
        check('another sweep' in message, 'says so', message)
    equal(read('out', 'sweep.txt'), results, 'left alone')
    lines = results.splitlines(keepends=True)
    for damage in lines[-1], 'dma.iova 1\n', 'no.point 1 ok\n', 'dma.iova 1 perhaps\n':
        write('out/sweep.txt', ''.join(lines[:4]) + lines[4] + damage.replace(lines[-1], lines[4]))
        message = program.refuses(*ARGS, BOOT)
        check(message.startswith('out/sweep.txt:6: '), 'names the line', message)


@cases.case('/sweep/progress/tells-how-long')
def _():
    run = program.expect(0, 'faults', 'sweep', *FIXED, '--limit=20', '--points=controller.*', '--progress=always', BOOT)
    check(re.search(r'\d+ of 138 pairs, \d+ pairs/s, \d+ s left', run.err), 'on stderr', run)


@cases.case('/sweep/options/bad-ones-are-refused')
def _():
    for args, wanted in ((['--max=0'], '--max=0: must be'), (['--jobs=0'], '--jobs=0: must be'),
                         (['--jobs=1025'], '--jobs=1025: must be'), (['--points=tea.*'], 'no fault point'),
                         (['--fail=dma.link'], 'must be POINT:N'), (['--fail=tea:1'], 'no fault point'),
                         (['--fail=dma.link:0'], 'must be POINT:N'), (['--set', 'nvme.sgl=perhaps'], 'nvme.sgl')):
        message = program.refuses('faults', 'sweep', *args, '--limit=5', BOOT)
        check(wanted in message, f'{wanted} expected', message)
    program.refuses('faults', 'sweep', BOOT, BOOT)
    write('file', '')
    check('file' in program.refuses('faults', 'sweep', '--limit=5', '-o', 'file', BOOT), 'names what is no directory')


@cases.case('/sweep/unfaulted/what-is-wrong-anyway-is-said-once')
def _():
    """A rule that fires in every run breaks the run without a swept fault; pairs are compared with that."""
    write('leak.ini', '[fault leak]\npoint = nvme.sgl_pool\nnth = 3\n')
    found = sweep(1, '--set', 'kernel.version=7.0', '-f', 'leak.ini', '--points=dma.sync', *MIXED, '--max=5')
    check('leak' in found['unfaulted'], 'said', found['unfaulted'])


cases.main()
