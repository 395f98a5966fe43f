# SPDX-License-Identifier: MIT
"""whois: lives and verdicts. The judge counts lives with regular expressions in recordings, and has an opinion of its own on
texts written for one question each. test-whois.py IOMMUSIM"""
import json
import os
import random
import re
import shutil
import subprocess
import sys

from tap import BOOT, BOOT_6_1, FIXTURES, SYNTHETIC, Cases, Program, check, equal, sample, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

SHARED = os.path.join(os.environ.get('SHARED', ''), 'traces')
IOVAD = 'iovad=0xff11'
HEADER = '# tracer: nop\n#\n# entries-in-buffer/entries-written: 1/1   #P:4\n'


def line(us, body, cpu=0, flags='.....', pid=7):
    return f'  fio-{pid}  [{cpu:03}] {flags}  {us // 1000000}.{us % 1000000:06}: {body}\n'


def irq(us, body, cpu=0):
    return f'  <idle>-0  [{cpu:03}] d.h1.  {us // 1000000}.{us % 1000000:06}: {body}\n'


def trace(*lines, name='t'):
    return write(name, HEADER + ''.join(lines))


INIT = line(1, f'iova_init: (init_iova_domain+0x0/0xa0) granule=0x1000 start=0x1 {IOVAD}')
RESERVE = line(2, f'iova_reserve: (reserve_iova+0x0/0x170) lo=0xfee00 hi=0xfeeff {IOVAD}')


def setup(us, op='write', lba=64, blocks=8, tag=5, queue=2, **where):
    return line(us, f'nvme_setup_cmd: nvme0: disk=nvme0n1, qid={queue}, cmdid={tag}, nsid=1, flags=0x0, meta=0x0, '
                    f'cmd=(nvme_cmd_{op} slba={lba}, len={blocks - 1}, ctrl=0x0, dsmgmt=0, reftag=0)', **where)


def issue(us, op='W', lba=64, blocks=8, **where):
    return line(us, f'block_rq_issue: 259,0 {op} {blocks * 512} () {lba} + {blocks} be,0,4 [fio]', **where)


def complete(us, op='W', lba=64, blocks=8, tag=5, queue=2, cpu=0):
    return (irq(us, f'nvme_complete_rq: nvme0: disk=nvme0n1, qid={queue}, cmdid={tag}, res=0x0, retries=0, flags=0x0, '
                    'status=0x0', cpu) +
            irq(us, f'block_rq_complete: 259,0 {op} () {lba} + {blocks} be,0,4 [0]', cpu))


def alloc(us, pfn, size, **where):
    return (line(us, f'iova_alloc: (alloc_iova_fast+0x0/0x2f0) size={size} limit=0xfffff flush=0 {IOVAD}', **where) +
            line(us, f'iova_alloc_ret: (iommu_dma_alloc_iova+0xd4/0x120 <- alloc_iova_fast) pfn={hex(pfn)}', **where))


def map_nosync(us, iova, paddr, size, prot, ret=0, **where):
    return (line(us, f'map_nosync: (iommu_map_nosync+0x0/0x240) iova={hex(iova)} paddr={hex(paddr)} size={size} '
                     f'prot={hex(prot)}', **where) +
            line(us, f'map_nosync_ret: (iommu_map+0x20/0x80 <- iommu_map_nosync) ret={ret}', **where))


def unmap(us, iova, size, cpu=0):
    return irq(us, f'unmap: IOMMU: iova=0x{iova:016x} - 0x{iova + size:016x} size={size} unmapped_size={size}', cpu)


def flush(us, first=0, last=2 ** 64 - 1, cpu=0):
    return irq(us, f'cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 3 [{hex(first)}-{hex(last)}] addr '
                   f'{hex(first)} mask 0x0', cpu)


def free(us, pfn, size, cpu=0):
    return irq(us, f'iova_free: (free_iova_fast+0x0/0x160) pfn={hex(pfn)} size={size} {IOVAD}', cpu)


def timer(us, cpu=0):
    return irq(us, 'fq_timeout: (fq_flush_timeout+0x0/0xf0)', cpu)


def ask(iova, source, *options, code=0):
    return json.loads(program.expect(code, 'whois', '--json', *options, hex(iova), source).out)


def verdict(iova, source, *options, code=0):
    return ask(iova, source, *options, code=code)['verdict']


def steps(answer):
    return [[step['what'] for step in life['steps']] for life in answer['lives']]


# One write of five pages and a half at 0x80000: eight are allocated, six mapped for reading, 512 B into the first.
def one_write(lazy=True):
    lines = [INIT, RESERVE, setup(100, blocks=44),
             line(101, 'try_alloc: (dma_iova_try_alloc+0x0/0x120) phys=0x100000200 size=22528 st=0xff'),
             alloc(102, 0x80000, 6),
             line(103, 'link: (dma_iova_link+0x0/0x320) st=0xff phys=0x100000200 off=0 size=7680 dir=1'),
             map_nosync(104, 0x80000000, 0x100000000, 8192, 0x5),
             line(105, 'link: (dma_iova_link+0x0/0x320) st=0xff phys=0x100009000 off=7680 size=14848 dir=1'),
             map_nosync(106, 0x80002000, 0x100009000, 16384, 0x5), issue(107, blocks=44), unmap(200, 0x80000000, 24576)]
    if lazy:
        lines += [complete(203, blocks=44), timer(5000, 1), flush(5001, cpu=1), free(5002, 0x80000, 6, 1)]
    else:
        lines += [flush(201, 0x80000000, 0x80005fff), free(202, 0x80000, 6), complete(203, blocks=44)]
    return trace(*lines, line(9000, 'tracing_mark_write: phase end'))


@case('verdict/each-one-of-a-write-in-time')
def _():
    path = one_write()
    for iova, at, wanted, *options in (
            (0x80002004, 50, 'never mapped'), (0x80002004, 103, 'never mapped'), (0x80002004, 150, 'mapped'),
            (0x80002004, 150, 'mapped', '--read'), (0x80002004, 150, 'wrong direction', '--write'),
            (0x80002004, 1000, 'in the flush window'), (0x80002004, 1000, 'in the flush window', '--write'),
            (0x80002004, 6000, 'already unmapped'), (0x80002004, 10000, 'not decidable'),
            (0x80000100, 150, 'beyond the request'), (0x80005a00, 150, 'beyond the request'),
            (0x800059ff, 150, 'mapped'), (0x80006000, 150, 'beyond the request'), (0x80007fff, 150, 'beyond the request'),
            (0x80007fff, 6000, 'beyond the request')):
        equal(verdict(iova, path, f'--at=0.{at:06}', *options), wanted, f'{hex(iova)} at {at} us {options}')
    for iova, code, wanted in ((0x80008000, 1, 'never mapped'), (0xfee00010, 0, 'never mapped'),
                               (0x80007000, 0, 'beyond the request'), (0x80001000, 0, 'already unmapped')):
        equal(verdict(iova, path, code=code), wanted, f'{hex(iova)} at any time')
    equal(verdict(0x80001000, path, '--write'), 'wrong direction', 'written at any time')
    equal(verdict(0x80001000, path, '--read'), 'already unmapped', 'read at any time')


@case('verdict/sentence-says-when-and-by-which-request')
def _():
    window = ask(0x80002004, one_write(), '--at=[    0.001000]')
    for wanted in 'nvme0 queue 2 tag 5 write of 22528 B at sector 64', 'unmapped at 0.000200 s on cpu 0', '800 us before', \
            'flushed at 0.005001 s':
        check(wanted in window['explanation'], f'"{wanted}" in {window["explanation"]}')
    check('2048 B behind' not in window['explanation'], 'nothing of a place behind the request')
    behind = ask(0x80005a00, one_write(), '--at=150us')['explanation']
    check('1 B behind the last byte of nvme0 queue 2' in behind, behind)
    before = ask(0x800001ff, one_write(), '--at=150us')['explanation']
    check('1 B before the first byte' in before, before)
    reserved = ask(0xfee00010, one_write())['explanation']
    check('reserved (0xfee00000-0xfeefffff)' in reserved, reserved)


@case('life/lazy-and-strict-tell-all-steps')
def _():
    life, = ask(0x80002004, one_write())['lives']
    equal([(step['what'], step['time_ns'] // 1000, step['cpu'], step['context']) for step in life['steps']],
          [('allocated', 102, 0, 'task'), ('mapped', 106, 0, 'task'), ('unmapped', 200, 0, 'hardirq'),
           ('queued', 200, 0, 'hardirq'), ('flushed', 5001, 1, 'hardirq'), ('freed', 5002, 1, 'hardirq')], 'lazy steps')
    equal((life['first'], life['last'], life['allocated_bytes']), ('0x80000000', '0x80007fff', 24576), 'the IOVA')
    equal((life['data_first'], life['data_last']), ('0x80000200', '0x800059ff'), 'the data')
    equal(life['steps'][1]['paddr'], '0x100009004', 'where it lies')
    equal(life['steps'][1]['prot'], 'r', 'what the device may do')
    check('segment 2, 14848 B at offset 7680' in life['steps'][1]['text'], 'the segment')
    check('class of 8 granules' in life['steps'][5]['text'], 'the size class')
    equal(life['request'], {'queue': 2, 'tag': 5, 'op': 'write', 'sector': 64, 'data_bytes': 22528}, 'the request')
    life, = ask(0x80002004, one_write(lazy=False))['lives']
    equal([step['what'] for step in life['steps']], ['allocated', 'mapped', 'unmapped', 'flushed', 'freed'], 'strict steps')


@case('life/failed-map-is-none')
def _():
    path = trace(INIT, setup(100), alloc(102, 0x80000, 1), map_nosync(104, 0x80000000, 0x100000000, 4096, 5, ret=-12),
                 irq(105, 'unmap: IOMMU: iova=0x80000000 - 0x80000000 size=0 unmapped_size=0'), free(106, 0x80000, 1),
                 line(200, 'tracing_mark_write: end'))
    equal(steps(ask(0x80000000, path)), [['allocated', 'mapped', 'refused', 'freed']], 'steps')
    equal(verdict(0x80000000, path, '--at=0.000105'), 'never mapped', 'behind the failed map')


@case('life/free-of-another-size-is-told')
def _():
    path = trace(INIT, alloc(10, 0x80000, 4), map_nosync(11, 0x80000000, 0x1000, 16384, 5), unmap(12, 0x80000000, 16384),
                 flush(13, 0x80000000, 0x80003fff), free(14, 0x80000, 1))
    text = ask(0x80000000, path)['lives'][0]['steps'][-1]['text']
    check('4096 B, not the 16384 B that were allocated' in text, text)
    equal(steps(ask(0x80003000, path))[0][-1], 'freed', 'the last page is freed with the first')


@case('life/interrupt-has-a-request-of-its-own')
def _():
    # While one request is being prepared, its CPU ends another, and another CPU prepares a third.
    path = trace(INIT, setup(10, tag=1, lba=800), alloc(11, 0x80000, 1), map_nosync(12, 0x80000000, 0x1000, 4096, 5),
                 issue(13, lba=800), setup(20, tag=2), unmap(21, 0x80000000, 4096), flush(22, 0x80000000, 0x80000fff),
                 free(23, 0x80000, 1), complete(24, lba=800, tag=1), setup(25, tag=9, queue=3, cpu=1, pid=8),
                 alloc(26, 0x80000, 1), map_nosync(27, 0x80000000, 0x2000, 4096, 6), alloc(28, 0x80001, 1, cpu=1, pid=8),
                 issue(29), map_nosync(30, 0x80001000, 0x3000, 4096, 6, cpu=1, pid=8), issue(31, lba=72, cpu=1, pid=8))
    equal([life['request'].get('tag') for life in ask(0x80000000, path)['lives']], [1, 2], 'tags')
    equal([life['request'].get('queue') for life in ask(0x80001000, path)['lives']], [3], 'the other queue')
    equal(ask(0x80001000, path)['lives'][0]['request']['sector'], 72, 'its place')


@case('life/request-prepared-in-an-interrupt-of-another')
def _():
    # The interrupt is told by its context alone: it runs under the name of the task.
    nested = {'flags': 'd.s1.'}
    path = trace(INIT, setup(10, tag=1), setup(20, tag=2, **nested), alloc(21, 0x80001, 1, **nested),
                 map_nosync(22, 0x80001000, 0x2000, 4096, 6, **nested), issue(23, lba=800, **nested), alloc(30, 0x80000, 1),
                 map_nosync(31, 0x80000000, 0x1000, 4096, 5), issue(32, lba=64))
    for iova, tag, sector in ((0x80000000, 1, 64), (0x80001000, 2, 800)):
        request = ask(iova, path)['lives'][0]['request']
        equal((request['tag'], request['sector']), (tag, sector), hex(iova))


@case('life/two-domains-have-one-each')
def _():
    other = alloc(20, 0x80000, 1, cpu=1, pid=9).replace('0xff11', '0xff22')
    path = trace(INIT, alloc(10, 0x80000, 1), map_nosync(11, 0x80000000, 0x1000, 4096, 5), other,
                 map_nosync(21, 0x80000000, 0x2000, 4096, 5, cpu=1, pid=9), free(30, 0x80000, 1))
    equal(steps(ask(0x80000000, path)), [['allocated', 'mapped', 'freed'], ['allocated', 'mapped']], 'steps')


@case('generation/6.1-probes-tell-the-direction')
def _():
    path = trace(INIT, setup(9), line(10, 'dma_map_page: (dma_map_page_attrs+0x0/0x270) offset=0x200 size=512 dir=2'),
                 alloc(11, 0x80000, 1),
                 line(12, 'map: IOMMU: iova=0x0000000080000000 - 0x0000000080001000 paddr=0x0000000113c3b000 size=4096'),
                 issue(13), irq(20, 'dma_unmap_page: (dma_unmap_page_attrs+0x0/0x1c0) addr=0x80000200 size=512 dir=2'),
                 unmap(21, 0x80000000, 4096), irq(21, 'qi_submit: iotlb_inv dmar0: 0x300f2 0x80002041 0x0 0x0'),
                 irq(22, 'qi_submit: iotlb_inv dmar0: 0x300f2 0x80000040 0x0 0x0'),
                 irq(23, 'iova_free: (free_iova_fast+0x0/0x1a0) pfn=0x80000 size=1 iovad=0xff11'))
    answer = ask(0x80000210, path)
    equal(steps(answer), [['allocated', 'mapped', 'dma-unmapped', 'unmapped', 'flushed', 'freed']], 'steps')
    equal(answer['lives'][0]['steps'][1]['prot'], 'w', 'the direction')
    equal(answer['lives'][0]['steps'][4]['time_ns'], 22000, 'the descriptor of its page')
    equal(verdict(0x80000210, path, '--at=15us', '--read'), 'wrong direction', 'read of what the device writes')
    equal(verdict(0x80000400, path, '--at=15us'), 'beyond the request', 'behind the data')
    equal(verdict(0x80000210, path, '--at=0.000021'), 'in the flush window', 'between unmap and invalidation')


@case('generation/6.1-list-has-no-data-by-the-byte')
def _():
    path = trace(INIT, setup(9), line(10, 'dma_map_sg: (dma_map_sgtable+0x0/0x30) dir=1'), alloc(11, 0x80000, 5),
                 line(12, 'map: IOMMU: iova=0x0000000080000000 - 0x0000000080003000 paddr=0x0000000113c3b000 size=12288'),
                 line(13, 'map: IOMMU: iova=0x0000000080003000 - 0x0000000080005000 paddr=0x0000000113c4b000 size=8192'),
                 issue(14), line(90, 'tracing_mark_write: end'))
    for iova, wanted in ((0x80002fff, 'mapped'), (0x80004fff, 'mapped'), (0x80005000, 'beyond the request'),
                         (0x80007fff, 'beyond the request')):
        equal(verdict(iova, path, '--at=50us'), wanted, hex(iova))
    equal(verdict(0x80004000, path, '--at=50us', '--write'), 'wrong direction', 'the direction of the list')
    check('1 B behind' in ask(0x80005000, path)['explanation'], 'the distance')


@case('generation/iommu-and-dma-events-only')
def _():
    path = trace(line(1, 'attach_device_to_domain: IOMMU: device=0000:00:04.0'), setup(9),
                 line(10, 'dma_map_phys: 0000:00:04.0 dir=TO_DEVICE dma_addr=80000200 size=512 phys_addr=5200 attrs='),
                 issue(11), irq(20, 'dma_unmap_phys: 0000:00:04.0 dir=TO_DEVICE dma_addr=80000200 size=512 attrs='),
                 unmap(30, 0x90000000, 8192), complete(31, tag=77), line(90, 'tracing_mark_write: end'))
    answer = ask(0x80000210, path)
    equal(steps(answer), [['mapped', 'dma-mapped', 'dma-unmapped']], 'steps')
    equal((answer['lives'][0]['steps'][0]['paddr'], answer['lives'][0]['request']['tag']), ('0x5210', 5), 'the life')
    equal(verdict(0x80000210, path, '--at=15us', '--write'), 'wrong direction', 'written')
    equal(verdict(0x80000210, path, '--at=25us'), 'already unmapped', 'behind its unmap')
    # A request of several segments has no event of its maps.
    equal(verdict(0x90001000, path, '--at=15us'), 'not decidable', 'mapped at a time that nobody tells')
    equal(verdict(0x90001000, path, '--at=60us'), 'already unmapped', 'behind it')
    equal(ask(0x90001000, path)['lives'][0]['request']['tag'], 77, 'who ended it')
    equal(verdict(0xa0000000, path, code=1), 'not decidable', 'not every map is told')


@case('undecidable/recording-says-why')
def _():
    late = trace(unmap(200, 0x80000000, 4096), flush(201, 0x80000000, 0x80000fff), free(202, 0x80000, 1),
                 alloc(300, 0x80000, 1), map_nosync(301, 0x80000000, 0x1000, 4096, 6), line(400, 'tracing_mark_write: e'))
    for at, wanted, why in ((100, 'not decidable', 'begins later'), (250, 'already unmapped', 'flushed at'),
                            (350, 'mapped', 'no reason'), (401, 'not decidable', 'ends before')):
        answer = ask(0x80000000, late, f'--at={at}us')
        equal(answer['verdict'], wanted, f'at {at} us')
        check(why in answer['explanation'], f'"{why}" in {answer["explanation"]}')
    check('later than the domain' in ask(0x70000000, late, code=1)['explanation'], 'never seen')
    lost = trace(INIT, 'CPU:2 [LOST 17 EVENTS]\n', alloc(10, 0x80000, 1), map_nosync(11, 0x80000000, 0x1000, 4096, 6))
    check('17 events were lost' in ask(0x70000000, lost, code=1)['explanation'], 'lost events')
    equal(ask(0x70000000, lost, code=1)['verdict'], 'not decidable', 'with lost events')


# What each driver prints of a fault, and what is in it: address, access.
WORDINGS = (
    ('DMAR: [DMA Write NO_PASID] Request device [04:00.0] fault addr 0x80002004 [fault reason 0x05] PTE Write access is not '
     'set', 0x80002004, 'w'),
    ('DMAR: [DMA Read] Request device [04:00.0] PASID ffffffff fault addr 80002004 [fault reason 06] PTE Read access is not '
     'set', 0x80002004, 'r'),
    ('nvme 0000:01:14.2: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0001 address=0x80002004 flags=0x0020]', 0x80002004, 'w'),
    ('AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:14.2 domain=0x0001 address=0x80002004 flags=0x0000]', 0x80002004,
     'r'),
    ('arm-smmu 9050000.iommu: Unhandled context fault: fsr=0x402, iova=0x80002004, fsynr=0x10, cbfrsynra=0x0, cb=0',
     0x80002004, 'w'),
    ('qcom-iommu 1: Unhandled context fault: fsr=0x2, iova=0x0000000080002004, fsynr=0x3, cb=1', 0x80002004, 'r'),
    ('apple-dart 1: translation fault: status:0x80000002 stream:1 code:0x8 (WRITE FAULT) at 0x80002004', 0x80002004, 'w'),
    ('exynos-sysmmu 1: [READ] PAGE FAULT occurred at 0x80002004', 0x80002004, 'r'),
    ('ipmmu-vmsa 1: Unhandled fault: status 0x00000001 iova 0x80002004', 0x80002004, None),
    ('mtk-iommu 1: fault type=0x280 iova=0x80002004 pa=0x0 master=0x1(larb=0 port=1) layer=0 write', 0x80002004, 'w'),
    ('mtk-iommu-v1 1: fault type=0x280 iova=0x80002000 pa=0x0 larb=0 port=1', 0x80002000, None),
    ('sun50i-iommu 1: Page fault for 0x0000000080002004 (master 2, dir rd)', 0x80002004, 'r'),
    ('omap-iommu 1: errs:0x00000002 da:0x80002004 pgd:0x00000000 *pgd:px00000000', 0x80002004, None),
    ('tegra-mc 1: nvcsir: write @0x0000000080002004: Page fault (SMMU translation error [RW-])', 0x80002004, 'w'),
    ('msm_iommu: FAR    = 80002004    PAR    = 00000000', 0x80002004, None),
)


@case('dmesg/every-driver-is-understood')
def _():
    path = one_write()
    for index, (text, iova, access) in enumerate(WORDINGS):
        write('log', f'[    0.000001] boot\n[    0.000150][    T1] {text}\n[    0.000160] something else 0x80002004\n')
        answer = json.loads(program.expect(0, 'whois', '--json', '--dmesg=log', path).out)
        fault, = answer['faults']
        equal((fault['iova'], fault.get('access'), fault['line'], fault['at_ns']), (hex(iova), access, 2, 150000),
              f'wording {index}')
        equal(fault['verdict'], 'wrong direction' if access == 'w' else 'mapped', f'verdict of wording {index}')


@case('dmesg/smmu-v3-record-takes-five-lines')
def _():
    for word, access in ((0, 'w'), (1 << 35, 'r')):
        write('log', ''.join(f'[    0.001000] arm-smmu-v3 1: {text}\n' for text in (
            'event 0x10 received:', '\t0x0000000000000010', f'\t0x{word:016x}', '\t0x0000000080002004',
            '\t0x0000000080002000', 'event: F_TRANSLATION client: nvme0 sid: 0 ssid: 0 iova: 0x80002004 ipa: 0x0')))
        fault, = json.loads(program.expect(0, 'whois', '--json', '--dmesg=log', one_write()).out)['faults']
        equal((fault['iova'], fault['access'], fault['verdict']), ('0x80002004', access, 'in the flush window'), 'the fault')


@case('dmesg/faults-of-one-address-each-at-its-time')
def _():
    write('log', ''.join(f'[    0.{us:06}] DMAR: [DMA Read NO_PASID] Request device [04:00.0] fault addr {hex(iova)} [fault '
                         'reason 0x06] PTE Read access is not set\n'
                         for us, iova in ((50, 0x80002000), (300, 0x80002000), (6000, 0x80002000), (150, 0x80006000))) +
          'DMAR: [DMA Read NO_PASID] Request device [04:00.0] fault addr 0x90000000 [fault reason 0x06]\n')
    got = json.loads(program.expect(0, 'whois', '--json', '--dmesg=log', one_write()).out)['faults']
    equal([fault['verdict'] for fault in got],
          ['never mapped', 'in the flush window', 'already unmapped', 'beyond the request', 'never mapped'], 'verdicts')
    check('at_ns' not in got[-1], 'no time without a stamp')
    got = json.loads(program.expect(0, 'whois', '--json', '--dmesg=log', '0x80006000', one_write()).out)['faults']
    equal([fault['line'] for fault in got], [4], 'of one address')
    text = program.expect(0, 'whois', '--dmesg=log', one_write()).out
    check('line 2: [    0.000300] DMAR' in text and text.count('\nbeyond the request: ') == 1, text)
    write('log', 'nothing of interest\n')
    equal(json.loads(program.expect(1, 'whois', '--json', '--dmesg=log', one_write()).out)['faults'], [], 'no fault')


@case('refusal/one-line-each')
def _():
    path = one_write()
    for args, wanted in (((path,), 'whois takes 2 arguments'), (('zebra', path), 'must be an address'),
                         (('0x1000', 'nowhere'), 'nowhere: No such file'), (('--at=noon', '0x1000', path), '--at=noon'),
                         (('--at=15', '0x1000', path), '--at=15'), (('--dmesg=log', '--read', path), '--dmesg says'),
                         (('--dmesg=-', '-'), '-: only one of log and recording'),
                         (('--dmesg=nowhere', path), 'nowhere: '), (('--trace=t', '0x1000', path), '--trace is for'),
                         (('0x1000', write('empty', '')), 'empty: no event'), (('0x1000', '.'), '.: no run.json')):
        write('log', '')
        said = program.refuses('whois', *args)
        check(wanted in said, f'"{wanted}" in {said}')
    bad = trace(INIT, 'this is no line\n')
    check(program.refuses('whois', '0x1000', bad).startswith('t:5: '), 'the line')


# ---- runs ----

def replayed(*options, source=BOOT, code=0):
    program.expect(code, 'replay', '-o', 'out', *options, source)
    return 'out'


@case('run/life-has-what-no-recording-tells')
def _():
    answer = ask(0xffe50000, replayed('--set', 'iommu.mode=lazy'))
    equal(answer['source'], 'run', 'the source')
    check(answer['life_count'] > 3, 'lives')
    for life in answer['lives']:
        check([step['what'] for step in life['steps']][:7] ==
              ['allocated', 'mapped', 'accessed', 'unmapped', 'queued', 'flushed', 'freed'], str(life))
        equal(int(life['steps'][2]['paddr'], 16), int(life['steps'][1]['paddr'], 16), 'what the device reached')
    check('from the tree' in answer['lives'][0]['steps'][0]['text'], 'first from the tree')
    check('from a magazine' in answer['lives'][1]['steps'][0]['text'], 'then from a magazine')
    check('magazine of cpu' in answer['lives'][-1]['steps'][-1]['text'], 'where it is in the end')
    window = answer['lives'][0]['steps'][3]['time_ns'] + 1
    equal(verdict(0xffe50000, 'out', f'--at={window}ns'), 'in the flush window', 'in the window')


@case('run/lives-are-those-of-the-snapshot')
def _():
    out = replayed()
    with open(os.path.join(out, 'end.snap'), encoding='utf-8') as file:
        cached = re.findall(r'^cached domain=1 range=0x(\w+)-0x\w+ order=\d place=cpu(\d+)\.(\w+)', file.read(), re.M)
    for first, cpu, place in random.Random(3).sample(cached, 12):
        life = ask(int(first, 16), out)['lives'][-1]
        word = 'loaded' if place == 'loaded' else 'second'
        equal(life['steps'][-1]['text'], f'in the {word} magazine of cpu {cpu}', first)


@case('run/options-repeat-it')
def _():
    fault = os.path.join(FIXTURES, 'faults', 'sync.ini')
    for options, code in ((['--mode=asap'], 0), (['--mode=closed', '--limit=200'], 0), (['--at=setup'], 0),
                          (['-f', fault, '--set', 'behaviour.blkdma-rollback=old'], 1), (['--seed=7'], 0)):
        out = replayed(*options, code=code)
        check(ask(0xfffff000, out)['life_count'] == 1, f'{options}: the admin queue')
    with open('out/run.json', encoding='utf-8') as file:
        equal(json.load(file)['options'], [], 'the machine file has the seed')


@case('run/leak-is-a-life-without-end')
def _():
    fault = os.path.join(FIXTURES, 'faults', 'sync.ini')
    out = replayed('-f', fault, '--set', 'behaviour.blkdma-rollback=old', code=1)
    answer = ask(0xfff28000, out)
    life = answer['lives'][-1]
    equal((life['request']['number'], life['steps'][-1]['what']), (273, 'mapped'), 'the one that leaks')
    equal(answer['verdict'], 'mapped', 'in the end')


@case('run/device-that-runs-into-a-hole-is-told')
def _():
    fault = os.path.join(FIXTURES, 'faults', 'link-midway.ini')
    out = replayed('-f', fault, '--set', 'behaviour.blkdma-rollback=old', code=1)
    with open('out/run.json', encoding='utf-8') as file:
        said = [re.search(r'(write|read) of IOVA (0x\w+)', item['text']) for item in json.load(file)['violations']]
    addresses = [(int(match[2], 16), match[1]) for match in said if match]
    check(addresses, 'accesses that faulted')
    for iova, way in addresses[:3]:
        faults = [step for life in ask(iova, out)['lives'] for step in life['steps'] if step['what'] == 'faulted']
        equal(sorted({step['text'] for step in faults}), [f'a {way}'], hex(iova))
        check(all('cpu' not in step for step in faults), 'no CPU does it')


@case('run/gone-or-changed-trace-is-refused')
def _():
    shutil.copy(BOOT, 'trace.zst')
    out = replayed(source='trace.zst')
    shutil.move('trace.zst', 'elsewhere.zst')
    equal(program.refuses('whois', '0x1000', out), 'out: its trace trace.zst is not there: give --trace=FILE', 'what it says')
    check(ask(0xffe50000, out, '--trace=elsewhere.zst')['life_count'] > 1, 'found again')
    check('not the same any more' in program.refuses('whois', f'--trace={BOOT_6_1}', '0x1000', out), 'another trace')
    with open(BOOT, 'rb') as file:
        program.expect(0, 'replay', '--set', 'machine.cpus=4', '-o', 'piped', '-', stdin=file.read())
    check('was standard input' in program.refuses('whois', '0x1000', 'piped'), 'a pipe')
    write('out/run.json', '{"trace": {"name": 5}}')
    check('not what replay -o writes' in program.refuses('whois', '0x1000', out), 'another file')
    write('out/run.json', '{')
    check(program.refuses('whois', '0x1000', out).startswith('out/run.json: '), 'no JSON')


# ---- recordings ----

LINE = re.compile(r'^\s*.+?-(\d+)\s+\[(\d+)\] (\S{5,6})\s+([\d.]+): (\w+): (.*)$')
FIELD = re.compile(r'(\w+)=(\S+)')


def rounded(granules):
    return 1 << (granules - 1).bit_length() if 1 < granules <= 32 else granules


def count_events(text):
    """What a recording says of each page: (time in us, first page, pages) by event."""
    pending, found = {}, {'iova_alloc_ret': [], 'iova_free': [], 'unmap': [], 'map': []}
    for row in text.splitlines():
        match = LINE.match(row)
        if not match:
            continue
        pid, cpu, flags, time, event, body = match.groups()
        task = (pid,) if flags[2] == '.' and pid != '0' else (cpu, flags[2].lower())
        fields, us = dict(FIELD.findall(body)), round(float(time) * 1e6)
        if event == 'iova_alloc':
            pending[task] = int(fields['size'])
        elif event == 'iova_alloc_ret' and int(fields['pfn'], 16):
            found[event].append((us, int(fields['pfn'], 16), rounded(pending.pop(task))))
        elif event == 'iova_free':
            found[event].append((us, int(fields['pfn'], 16), rounded(int(fields['size']))))
        elif event == 'unmap':
            found[event].append((us, int(fields['iova'], 16) >> 12, int(fields['unmapped_size']) >> 12))
        elif event in ('map', 'map_nosync'):
            found['map'].append((us, int(fields['iova'], 16) >> 12, int(fields['size']) >> 12))
    return found


def compare(path, pages):
    """Lives, maps, unmaps and frees of PAGES chosen by chance are those that are counted, and so is the state in between."""
    text = program_text(path)
    found = count_events(text)
    chance = random.Random(path.count('/') + len(text))
    used = sorted({first + i for _, first, count in found['iova_alloc_ret'] for i in range(count)})
    for page in sample(chance.sample(used, min(pages, len(used)))):
        here = {name: [us for us, first, count in events if first <= page < first + count]
                for name, events in found.items()}
        answer = ask(page << 12, path)
        told = [(step['what'], step['time_ns'] // 1000) for life in answer['lives'] for step in life['steps']]
        equal(answer['life_count'], len(here['iova_alloc_ret']), f'{hex(page)}: lives')
        for name, what in (('iova_alloc_ret', 'allocated'), ('map', 'mapped'), ('unmap', 'unmapped'), ('iova_free', 'freed')):
            equal([us for step, us in told if step == what], here[name], f'{hex(page)}: {what}')
        check_moment(path, page, here, chance)


def check_moment(path, page, here, chance):
    if not here['map']:
        return
    us = chance.randrange(here['map'][0], (here['iova_free'] or here['map'])[-1]) + 1
    last = max(((at, what) for what in ('map', 'unmap', 'iova_alloc_ret', 'iova_free') for at in here[what] if at <= us))
    if [at for what in here for at in here[what]].count(last[0]) > 1:
        return
    wanted = {'map': ('mapped', 'beyond the request'), 'unmap': ('already unmapped', 'in the flush window'),
              'iova_free': ('already unmapped', 'beyond the request'),
              'iova_alloc_ret': ('never mapped', 'beyond the request')}[last[1]]
    got = verdict(page << 12, path, f'--at={us // 1000000}.{us % 1000000:06}')
    check(got in wanted, f'{hex(page)} at {us} us, behind {last}: {got}')


def program_text(path):
    """The whole recording, as the program's own reader need not be trusted with it."""
    return subprocess.run(['zstd', '-dcq', path], capture_output=True, check=True).stdout.decode('utf-8', 'replace')


if shutil.which('zstd'):
    for boot in BOOT, BOOT_6_1:
        cases.add(f'recordings/{os.path.basename(boot)}', compare, boot, 40)
    for run in 'v6.1-lazy-mixed-qd16x4', 'v7.0-lazy-mixed-qd16x4', 'v7.0-strict-mixed-fault-ptpage', 'v7.0-lazy-burst-smp2':
        full = os.path.join(SHARED, run, 'trace.txt.zst')
        if os.path.exists(full):
            cases.add(f'recordings/{run}', compare, full, 25)


@case('recordings/standard-events-of-a-boot-know-their-requests')
def _():
    if not shutil.which('zstd'):
        return
    text = program_text(BOOT)
    full, only = write('full', text), write('only', ''.join(row for row in text.splitlines(True) if ': (' not in row))
    for iova in 0xfff0e000, 0xffe50000:
        have, less = ask(iova, full)['lives'], ask(iova, only)['lives']
        equal([life['request'] for life in less], [life['request'] for life in have], f'{hex(iova)}: requests')


@case('recordings/issue-before-preparation-is-understood')
def _():
    life, = ask(0xffff0000, SYNTHETIC)['lives']
    equal(life['request'], {'queue': 3, 'tag': 4096, 'op': 'read', 'sector': 107630800, 'data_bytes': 4096}, 'the request')


cases.main()
