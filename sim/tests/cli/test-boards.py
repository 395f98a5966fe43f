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


@case('memory/lies-where-the-tree-says')
def _():
    result = replay(0, os.path.join(BOARDS, 'arm-smmu-v3.dtb'))
    first, last = (int(word, 16) for word in result['machine']['memory'].split('-'))
    for line in held('end.snap'):
        found = re.search(r' pa=(0x\w+)', line)
        check(not found or first <= int(found[1], 16) <= last, f'{first:#x}-{last:#x}', line)


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
            (['--dtb', DART, '--nvme=/nowhere'], '--nvme=/nowhere: is no PCI host bridge with iommu-map and no device'),
            (['--dtb', os.path.join(BOARDS, 'omap-iommu.dtb')], 'no PCI host bridge with iommu-map: name a device'),
            (['--dtb', DART, '--set', 'iommu.hardware=amd'], 'iommu.hardware: '),
            (['--dtb', BOOT], ''),
            (['--dtb', 'absent.dtb'], 'absent.dtb: ')):
        line = program.refuses('replay', *args, BOOT)
        check(text in line, text, line)
    equal(program.refuses('replay', '--dtb', DART, BOOT, BOOT),
          '--dtb: the board has one NVMe controller: give one trace', 'two traces')


cases.main()
