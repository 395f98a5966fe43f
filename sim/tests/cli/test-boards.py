# SPDX-License-Identifier: MIT
"""Replays on boards: the controller is behind each driver's IOMMU, as the device tree says, and nothing is held at the end.
test-boards.py IOMMUSIM"""
import json
import os
import re
import sys

from tap import BOOT, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

BOARDS = os.environ['BOARDS']
SHARED = os.path.join(os.environ.get('SHARED', ''), 'devtree', 'boards')
DART = os.path.join(BOARDS, 'apple-dart.dtb')

# Board, device, its IOMMU, format of its tables and size of its pages.
OURS = (
    ('apple-dart', 'first', 'apple-dart', 'apple_dart', 16384),
    ('apple-dart', '/soc/dma@238200000', 'apple-dart', 'apple_dart', 16384),
    ('arm-smmu', '/pcie@14100000', 'arm-smmu', 'arm_64_lpae_s1', 4096),
    ('arm-smmu-v3', '/pcie@10000000', 'arm-smmu-v3', 'arm_64_lpae_s1', 4096),
    ('exynos-sysmmu', '/soc/codec@13400000', 'exynos-sysmmu', 'exynos_sysmmu', 4096),
    ('ipmmu-vmsa', '/soc/pcie@fe000000', 'ipmmu-vmsa', 'arm_32_lpae_s1', 4096),
    ('msm', '/soc/mdp@5100000', 'msm', 'arm_v7s', 4096),
    ('mtk-iommu', '/soc/pcie@112f8000', 'mtk', 'arm_v7s', 4096),
    ('mtk-iommu-v1', '/jpegdec@15004000', 'mtk-v1', 'mtk_iommu_v1', 4096),
    ('omap-iommu', '/ocp/dsp@40800000', 'omap-iommu', 'omap_iommu', 4096),
    ('qcom-iommu', '/soc@0/gpu@1c00000', 'qcom-iommu', 'arm_32_lpae_s1', 4096),
    ('sun50i-iommu', '/soc/mixer@100000', 'sun50i', 'sun50i_iommu', 4096),
    ('tegra-smmu', '/hda@70030000', 'tegra-smmu', 'tegra_smmu', 4096),
)
OTHERS = (
    ('apple-t8103-j274', 'first', 'apple-dart', 'apple_dart', 16384),
    ('apple-t6002-j375d', 'first', 'apple-dart', 'apple_dart2', 16384),
    ('r8a779g0-white-hawk', '/soc/mmc@ee140000', 'ipmmu-vmsa', 'arm_32_lpae_s1', 4096),
    ('mt8195-cherry-tomato-r3', 'first', 'mtk', 'arm_v7s', 4096),
    ('qemu-virt-smmuv3', 'first', 'arm-smmu-v3', 'arm_64_lpae_s1', 4096),
    ('r8a77951-salvator-xs', 'first', 'ipmmu-vmsa', 'arm_32_lpae_s1', 4096),
    ('tegra194-p2972-0000', 'first', 'arm-smmu', 'arm_64_lpae_s1', 4096),
)


def replay(code, board, *args):
    return json.loads(program.expect(code, 'replay', '--json', '--dtb', board, '-o', 'out', *args, BOOT).out)


def held(name):
    """Mappings, IOVAs and references of a snapshot."""
    return [line for line in read('out', name).splitlines() if line.startswith(('map ', 'live ', 'ref '))]


def leaves_nothing(folder, name, nvme, iommu, table, page):
    result = replay(0, os.path.join(folder, f'{name}.dtb'), f'--nvme={nvme}')
    equal(result['machine']['iommu'], iommu, 'the IOMMU')
    equal(result['violation_count'], 0, 'violations')
    equal(result['replay']['errors'], 0, 'errors')
    end = read('out', 'end.snap')
    check(f'iommu={iommu} format={table} ' in end and f' granule={page} ' in end, 'the domain', end[:400])
    equal([line for line in held('teardown.snap') if ' object=node' not in line], [], 'held at teardown')
    # What the tables say, walked as that hardware does, is what was mapped.
    mapped = re.search(r'^map domain=1 iova=(0x\w+)-\S+ pa=(0x\w+)', end, re.M)
    walked = json.loads(program.expect(0, 'pagetable', 'walk', '--json', 'out/end.snap', 'nvme0', mapped[1]).out)
    check(f'{int(mapped[2], 16):x}' in json.dumps(walked), f'{mapped[1]} leads to {mapped[2]}', walked)
    program.expect(0, 'snapshot', 'check', 'out/end.snap')


for row in OURS:
    cases.add(f'ours/{row[0]}{row[1].replace("/", "-")}', leaves_nothing, BOARDS, *row)
for row in OTHERS:
    if os.path.exists(os.path.join(SHARED, f'{row[0]}.dtb')):
        cases.add(f'shared/{row[0]}', leaves_nothing, SHARED, *row)


@case('old-driver/its-leak-is-a-violation')
def _():
    result = replay(1, DART, '--set', 'behaviour.of-xlate-put.apple-dart=old')
    kinds = {finding['kind'] for finding in result['violations']}
    equal(kinds, {'reference never dropped'}, 'kinds of violation')
    check('iommu@681008000' in json.dumps(result['violations']), 'the leak names the DART', result['violations'])


@case('fault/the-controller-runs-without-its-iommu')
def _():
    write('f.ini', '[fault a]\npoint = devtree.probe.S6\nprobability = 100\ntimes = -1\n')
    result = replay(0, DART, '-f', 'f.ini')
    check('device without translation' in [finding['kind'] for finding in result['observations']], 'the observation',
          result['observations'])
    check('\ndomain ' not in read('out', 'end.snap'), 'no domain')


@case('refused-by-its-iommu/is-said')
def _():
    # From Gen3 on, few devices may use an IPMMU; and a disabled IOMMU is nobody's.
    result = replay(0, os.path.join(BOARDS, 'ipmmu-vmsa.dtb'), '--nvme=/soc/sata@ee300000')
    equal(result['machine']['iommu'], 'none', 'the IOMMU')
    equal([finding['text'] for finding in result['observations']],
          ['/soc/sata@ee300000 has no IOMMU that takes it (ENODEV), and does its DMA without'], 'observations')


@case('fault/a-queue-whose-map-failed-unnoticed')
def _():
    # Under nosync-map-error = inverted such a map is taken for a success: the controller finds a hole, and fails.
    for board, nvme in (row[:2] for row in OURS):
        for point, nth in ('iommu.map', 1), ('iommu.map', 2), ('iommu.map', 4), ('pgtable.page', 2):
            write('f.ini', f'[fault a]\npoint = {point}\nnth = {nth}\n')
            run = program.run('replay', '--json', '--dtb', os.path.join(BOARDS, f'{board}.dtb'), f'--nvme={nvme}', '-f',
                              'f.ini', BOOT)
            check(run.code in (0, 1), f'{board} survives {point} {nth}', run.err)
            if point == 'iommu.map':
                check('access to a hole' in run.out, f'{board} {point} {nth}: the hole', run.out[-2000:])


@case('stream/as-the-tree-says')
def _():
    for nvme, stream in ('first', 1), ('/soc/dma@238200000', 2), ('/soc/usb@382280000', 0):
        equal(replay(0, DART, f'--nvme={nvme}')['machine']['stream'], stream, nvme)


@case('stream/that-the-hardware-has-not')
def _():
    with open(DART, 'rb') as file:
        blob = file.read()
    # A property of 8 bytes: a phandle and stream 2.
    iommus = re.compile(rb'\0\0\0\x03\0\0\0\x08.{8}\0\0\0\x02', re.S).search(blob, blob.index(b'dma@238200000\0'))
    for stream, message in ((16, 'is stream 16 of /soc/iommu@382f00000, which the model of that IOMMU does not have'),
                            (64, 'has a stream above 63, which is not modelled')):
        write('other.dtb', blob[:iommus.end() - 1] + bytes([stream]) + blob[iommus.end():])
        line = program.refuses('replay', '--dtb', 'other.dtb', '--nvme=/soc/dma@238200000', BOOT)
        check(message in line, message, line)


@case('memory/lies-where-the-tree-says')
def _():
    # Tegra's SMMU does not reach the first memory, and the second is too small. The others' boot loader says.
    for board, nvme, memory in (('tegra-smmu', '/hda@70030000', '0x90000000-0xafffffff'),
                                ('arm-smmu-v3', 'first', '0x40000000-0x7fffffff'),
                                ('apple-dart', 'first', '0x800000000-0x83fffffff')):
        result = replay(0, os.path.join(BOARDS, f'{board}.dtb'), f'--nvme={nvme}')
        equal(result['machine']['memory'], memory, board)
        first, last = (int(word, 16) for word in memory.split('-'))
        for line in held('end.snap'):
            found = re.search(r' pa=(0x\w+)', line)
            check(not found or first <= int(found[1], 16) <= last, memory, line)


@case('machine-ini/repeats-the-run')
def _():
    once = replay(0, DART, '--set', 'machine.cpus=2')
    os.rename(os.path.join('out', 'machine.ini'), 'again.ini')
    check('\nhardware =' not in read('.', 'again.ini'), 'the board says which IOMMU there is')
    equal(replay(0, DART, '-c', 'again.ini'), once, 'the same run')
    result = json.loads(program.expect(0, 'replay', '--json', '-c', 'again.ini', '-o', 'out', BOOT).out)
    equal(result['machine']['iommu'], 'intel', 'without the board')


@case('lazy/only-where-the-driver-can-defer')
def _():
    for board, nvme, lazy in ('arm-smmu-v3.dtb', 'first', True), ('apple-dart.dtb', 'first', False):
        result = replay(0, os.path.join(BOARDS, board), f'--nvme={nvme}', '--set', 'iommu.mode=lazy')
        strict = replay(0, os.path.join(BOARDS, board), f'--nvme={nvme}')
        commands = [json.dumps(run['iommu']) for run in (result, strict)]
        equal(commands[0] != commands[1], lazy, f'{board}: invalidations differ from strict')


@case('refused')
def _():
    for args, text in (
            (['--nvme=first'], '--nvme names a device of a board: give --dtb as well'),
            (['--dtb', DART, '--nvme=/nowhere'], '--nvme=/nowhere: is no enabled PCI host bridge with iommu-map or device'),
            (['--dtb', os.path.join(BOARDS, 'omap-iommu.dtb')], 'no enabled PCI host bridge with iommu-map: name a device'),
            (['--dtb', DART, '--set', 'iommu.hardware=amd'], 'iommu.hardware: '),
            (['--dtb', BOOT], ''),
            (['--dtb', 'absent.dtb'], 'absent.dtb: ')):
        line = program.refuses('replay', *args, BOOT)
        check(text in line, text, line)
    equal(program.refuses('replay', '--dtb', DART, BOOT, BOOT),
          '--dtb: the board has one NVMe controller: give one trace', 'two traces')


cases.main()
