# SPDX-License-Identifier: MIT
"""Snapshots of every machine pass `snapshot check`, and what breaks an invariant is named by its line.
test-snapshot.py IOMMUSIM"""
import os
import sys

from tap import BOOT, FIXTURES, Cases, Program, check

program = Program(sys.argv[1])
cases = Cases()

BOARDS = os.environ['BOARDS']
FAULTS = sorted(os.path.join(FIXTURES, 'faults', name) for name in os.listdir(os.path.join(FIXTURES, 'faults')))
MACHINES = sorted(os.path.join(FIXTURES, 'machines', name) for name in os.listdir(os.path.join(FIXTURES, 'machines')))

# Board and device: one for each driver.
BEHIND = (
    ('apple-dart', 'first'),
    ('apple-dart', '/soc/dma@238200000'),
    ('arm-smmu', '/pcie@14100000'),
    ('arm-smmu-v3', '/pcie@10000000'),
    ('exynos-sysmmu', '/soc/codec@13400000'),
    ('ipmmu-vmsa', '/soc/pcie@fe000000'),
    ('msm', '/soc/mdp@5100000'),
    ('mtk-iommu', '/soc/pcie@112f8000'),
    ('mtk-iommu-v1', '/jpegdec@15004000'),
    ('omap-iommu', '/ocp/dsp@40800000'),
    ('qcom-iommu', '/soc@0/gpu@1c00000'),
    ('sun50i-iommu', '/soc/mixer@100000'),
    ('tegra-smmu', '/hda@70030000'),
)


# ---- what is so is sound ----

def sound(*args):
    """A run's snapshots, some of them taken midway, pass."""
    result = program.run('replay', '-o', 'out', '--snapshot-every=#97', *args, BOOT)
    check(result.code in (0, 1), 'exit 0 or 1', result)
    found = sorted(name for name in os.listdir('out') if name.endswith('.snap'))
    check(len(found) >= 2, 'snapshots', found)
    for name in found:
        program.expect(0, 'snapshot', 'check', os.path.join('out', name))


def each_mode(name, *args):
    for mode in ('strict', 'lazy'):
        cases.add(f'sound/{name}-{mode}', sound, '--set', f'iommu.mode={mode}', *args)


for hardware in ('intel', 'amd', 'arm-smmu-v3'):
    each_mode(hardware, '--set', f'iommu.hardware={hardware}')
for board, nvme in BEHIND:
    each_mode(f'{board}-{nvme}', '--dtb', os.path.join(BOARDS, f'{board}.dtb'), f'--nvme={nvme}')
for path in MACHINES:
    cases.add(f'sound/{os.path.basename(path)}', sound, '-c', path)
for path in FAULTS:
    each_mode(os.path.basename(path), '-f', path)
    each_mode(f'{os.path.basename(path)}-old', '-f', path, '--set', 'behaviour.blkdma-rollback=old')
for version in ('6.1', '6.6', '6.12', '6.17', '6.18', 'fixed'):
    each_mode(version, '--set', f'kernel.version={version}', '--fail=dma.sync:5', '--fail=nvme.prp_pool:2')
for mode in ('asap', 'closed'):
    each_mode(mode, f'--mode={mode}')
for point in ('dma.link:3', 'dma.iova:7', 'pgtable.page:9', 'iova.node:20', 'iommu.map:33', 'iommu.sync_map:12',
              'iova.magazine:3', 'iova.fq:1', 'nvme.vec_pool:1', 'nvme.queue:3', 'iommu.invalidate_timeout:20',
              'controller.lost_completion:30', 'controller.status:20', 'controller.translation:25',
              'controller.fatal:40', 'controller.transfer_error:9'):
    each_mode(point, f'--fail={point}')
each_mode('ats', '--set', 'iotlb.ats=yes')
each_mode('small-iotlb', '--set', 'iotlb.entries=16', '--set', 'iotlb.ways=4', '--set', 'iotlb.walk-entries=2')
each_mode('prps', '--set', 'nvme.sgl=no')
each_mode('hmb', '--set', 'nvme.hmb-preferred=8M')
each_mode('metadata', '--set', 'nvme.metadata=8', '--set', 'nvme.metadata-sgl=yes')
each_mode('huge-pages', '--set', 'segments.layout=thp')
each_mode('shadow-doorbells', '--set', 'nvme.shadow-doorbells=yes')
each_mode('two-controllers', BOOT)
cases.add('sound/untrusted', sound, '--set', 'iommu.untrusted=yes')
cases.add('sound/single-flush-queue', sound, '--set', 'iommu.mode=lazy', '--set', 'iommu.flush-queue=single')

cases.main()
