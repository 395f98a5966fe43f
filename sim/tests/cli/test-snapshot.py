# SPDX-License-Identifier: MIT
"""Snapshots of every machine pass `snapshot check`, and what breaks an invariant is named by its line.
test-snapshot.py IOMMUSIM DAMAGE-SNAPSHOT [short]"""
import copy
import functools
import hashlib
import os
import re
import subprocess
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
DAMAGE = os.path.abspath(sys.argv[2])

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
        cases.offer(f'sound/{name}-{mode}', sound, '--set', f'iommu.mode={mode}', *args)


for hardware in ('intel', 'amd', 'arm-smmu-v3'):
    each_mode(hardware, '--set', f'iommu.hardware={hardware}')
for board, nvme in BEHIND:
    each_mode(f'{board}-{nvme}', '--dtb', os.path.join(BOARDS, f'{board}.dtb'), f'--nvme={nvme}')
for path in MACHINES:
    cases.offer(f'sound/{os.path.basename(path)}', sound, '-c', path)
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


# ---- what is not so is found, where it stands ----

SMALL = ('--set', 'machine.cpus=1', '--set', 'nvme.queues=1', '--set', 'nvme.depth=4', '--set', 'iommu.mode=lazy',
         '--set', 'iotlb.entries=4', '--set', 'iotlb.ways=2', '--set', 'iotlb.ats=yes', '--set', 'iotlb.ats-entries=2',
         '--set', 'iotlb.ats-ways=1', '-f', os.path.join(FIXTURES, 'faults', 'sync.ini'))


def sections(text):
    """The facts of each section by its name, and the header under ''."""
    found, name = {'': []}, ''
    for line in text.splitlines():
        if line.startswith('['):
            name = line[1:-1]
            found[name] = []
        elif not line.startswith('digest '):
            found[name].append(line)
    return found


def text_of(found):
    """A snapshot, lines sorted and with its digest."""
    body = ''
    for name, lines in found.items():
        if name:
            body += f'[{name}]\n'
        body += ''.join(f'{line}\n' for line in (sorted(lines) if name else lines))
    return body + f'digest sha256:{hashlib.sha256(body.encode()).hexdigest()}\n'


@functools.cache
def everything(request):
    """A snapshot with every section: a small run's after REQUEST, and a board's devices. It is made once: copy what you
    change."""
    program.expect(0, 'replay', '-o', 'out', f'--snapshot-at=#{request}', f'--limit={request + 5}', *SMALL, BOOT)
    program.expect(0, 'devtree', 'probe', '-o', 'board', os.path.join(BOARDS, 'arm-smmu-v3.dtb'))
    found = sections(read('out', f'at-request-{request}.snap'))
    board = sections(read('board', 'end.snap'))
    found['device'] = board['device']
    found['reference'] += board['reference']
    found['behaviour'] = found['behaviour'][:2]
    found['violation'] = ['violation kind=leak number=0x0001 device=none cpu=0 time_ns=5 text=made%20up']
    return found


# Section, what to look for in it, what to put in its place (None: the line goes), and what is found on the line so made, or
# on the one that another pattern finds.
EDITS = {
    # Domains and IOVAs.
    'live-of-no-domain': ('iova', r'(live domain=)1 (.*ffffc000)', r'\g<1>7 \2', 'IOVA of a domain that does not exist'),
    'cached-of-no-domain': ('iova', r'(cached domain=)1 (.*fffdd000)', r'\g<1>7 \2', 'cached IOVA of a domain that does not exist'),
    'queued-of-no-domain': ('iova', r'(queued domain=)1 (.*fff78000)', r'\g<1>7 \2', 'queued IOVA of a domain that does not exist'),
    'reserved-of-no-domain': ('iova', r'(reserved domain=)1', r'\g<1>7', 'reserved IOVA of a domain that does not exist'),
    'ring-of-no-domain': ('iova', r'(ring domain=)1', r'\g<1>7', 'ring of a domain that does not exist'),
    'flushqueue-of-no-domain': ('iova', r'(flushqueue domain=)1', r'\g<1>7', 'flush queue of a domain that does not exist'),
    'allocator-of-no-domain': ('iova', r'(allocator domain=)1', r'\g<1>7', 'allocator of a domain that does not exist'),
    'depot-of-no-domain': ('iova', r'(depot domain=)1 order=3', r'\g<1>7 order=3', 'depot of a domain that does not exist'),
    'map-of-no-domain': ('mapping', r'(map domain=)1 (.*ffffc000)', r'\g<1>7 \2', 'mapping of a domain that does not exist'),
    'held-overlaps': ('iova', r'(live .*fffe8000-0x0+)fffe8fff', r'\1fffe9fff', 'held IOVAs overlap', r'^live .*fffe9000'),
    'cached-overlaps': ('iova', r'cached (.*fffda000-0x0+)fffdafff', r'cached \1fffdbfff', 'cached IOVAs overlap', r'^cached .*fffdb000'),
    'cached-and-held': ('iova', r'cached (.*0x0+)fffda000-(0x0+)fffdafff', r'cached \1fffe8000-\2fffe8fff', 'cached IOVA that is held as well'),
    'cached-and-queued': ('iova', r'cached (.*0x0+)fffda000-(0x0+)fffdafff', r'cached \1fff78000-\2fff78fff', 'cached IOVA that waits for a flush as well'),
    'cached-and-reserved': ('iova', r'cached (.*0x0+)fffda000-(0x0+)fffdafff', r'cached \1fee00000-\2fee00fff', 'cached IOVA that is reserved as well'),
    'held-and-queued': ('iova', r'queued (.*0x0+)fff78000-(0x0+)fff7bfff', r'queued \1fffec000-\2fffecfff', 'held IOVA that waits for a flush as well', r'^live .*fffec000'),
    'held-and-reserved': ('iova', r'(reserved .*0x0+)fee00000-(0x0+)feefffff', r'\1fffec000-\2fffecfff', 'held IOVA that is reserved as well', r'^live .*fffec000'),
    'queued-and-reserved': ('iova', r'(reserved .*0x0+)fee00000-(0x0+)feefffff', r'\1fff78000-\2fff7bfff', 'queued IOVA that is reserved as well', r'^queued .*fff78000'),
    'queued-overlaps': ('iova', r'queued (.*fff78000-0x0+)fff7bfff', r'queued \1fff7efff', 'queued IOVAs overlap', r'^queued .*fff7e000'),
    'not-whole-granules': ('iova', r'(live .*ffffc000-0x0+)ffffcfff', r'\1ffffcffe', 'IOVA that is not whole granules of 4096 bytes'),
    'no-size-class': ('iova', r'(cached .*fffda000.*order=)0', r'\g<1>6', 'cached IOVA of no size class'),
    'smaller-than-its-class': ('iova', r'(cached .*fffda000.*order=)0', r'\g<1>3', 'cached IOVA smaller than its size class'),
    'slot-beyond-the-magazine': ('iova', r'(cached .*fffda000.*slot=)\d+', r'\g<1>127', 'slot 127 of a magazine of 127'),
    'slot-taken-twice': ('iova', r'(cached .*fffdb000.*slot=)\d+', r'\g<1>3', 'second IOVA in slot 3 of its magazine'),
    'magazine-with-a-hole': ('iova', r'(cached .*fffdd000.*slot=)\d+', r'\g<1>100', 'magazine with an empty slot below others', r'^cached '),
    'depot-magazine-not-full': ('iova', r'(cached .*fffdd000.*place=)cpu0.loaded', r'\1depot magazine=0', '1 IOVAs in a magazine of a depot, which holds 127'),
    'depot-of-too-few': ('iova', r'(depot .*order=3 magazines=)0', r'\g<1>2', 'depot of 2 magazines, of which 0 are there'),
    'depot-timer': ('iova', r'(depot .*order=3 .*timer=)off', r'\1soon', 'neither armed nor off'),
    'taken-by-nobody': ('iova', r'(live .*ffffc000.*by=)\w+', r'\1magic', 'no call that takes an IOVA'),
    'flushes-that-never-began': ('iova', r'(flushqueue .*finished=)\d+', r'\g<1>99', 'more flushes finished than started'),
    'queued-after-what-has-not-been': ('iova', r'(queued .*fff78000.*flushes=)\d+', r'\g<1>99', 'queued after 99 flushes, of which'),
    'queued-in-no-ring': ('iova', r'(queued .*fff78000.*cpu=)0', r'\g<1>5', 'queued IOVA in no ring'),
    'ring-of-no-queue': ('iova', r'flushqueue .*', None, 'ring of no flush queue', r'^ring '),
    'ring-head': ('iova', r'(ring .*head=)\d+', r'\g<1>256', 'head behind the ring'),
    'ring-tail': ('iova', r'(ring .*tail=)\d+', r'\g<1>256', 'tail behind the ring'),
    'ring-count': ('iova', r'queued .*fff78000.*', None, '17 queued IOVAs in a ring that holds 18', r'^ring '),
    # Mappings and page tables.
    'mapping-in-no-iova': ('iova', r'live .*fffe8000.*', None, 'mapping outside every IOVA that is held', r'^map .*fffe8000'),
    'mapping-of-another': ('mapping', r'(map .*fffe8000.*owner=)req:252', r'\1req:251', 'mapping in an IOVA of another owner'),
    'mapping-of-nobody': ('mapping', r'(map .*fffe8000.*owner=)req:252', r'\1none', 'mapping of nobody in an IOVA that is held'),
    'mapping-left-over': ('mapping', r'map .*fffe8000.*', 'map domain=1 iova=0x0000000000400000-0x0000000000400fff pa=0x0000000000001000 prot=r owner=none',
                          'mapping in no IOVA, though nothing has failed'),
    'mappings-overlap': ('mapping', r'(map .*fffe8000-0x0+)fffe8fff', r'\1fffe9fff', 'mappings overlap', r'^map .*fffe9000'),
    'mapping-of-no-permission': ('mapping', r'(map .*fffe8000.*prot=)r', r'\1x', 'no permission'),
    'mapping-the-table-lacks': ('pagetable', r'leaf .*fffec000.*', None, 'mapping that the page table does not have', r'^map .*fffec000'),
    'mapping-to-another-page': ('mapping', r'(map .*fffe8000.*pa=0x0+)10ce72000', r'\g<1>20ce72000', 'mapping that the page table has otherwise'),
    'mapping-with-another-permission': ('mapping', r'(map .*fffe8000.*prot=)r', r'\1rw', 'mapping that the page table has otherwise'),
    'leaf-of-no-mapping': ('mapping', r'map .*fffec000.*', None, 'page-table entry outside every mapping', r'^leaf .*fffec000'),
    'leaf-of-no-table': ('pagetable', r'table .*level=0 .*', None, 'entry of a table that is not there', r'^leaf .*fffe8000'),
    'leaf-with-another-attribute': ('pagetable', r'(leaf .*fffec000.*attr=0x)0', r'\g<1>1', 'leaf with attr='),
    'table-that-nothing-points-to': ('pagetable', r'(table .*level=1 .*entry=0x0000)4', r'\g<1>5', 'table '),
    'tables-fewer-than-the-domain-says': ('domain', r'(.*table_pages=)\d+', r'\g<1>9', 'domain of 9 page tables, of which 4 are there'),
    'format-of-no-domain': ('pagetable', r'(format domain=)1', r'\g<1>7', 'page table of a domain that does not exist'),
    # What the hardware remembers.
    'iotlb-of-no-domain': ('iotlb', r'(iotlb domain=)1 (.*ffffc000)', r'\g<1>7 \2', 'IOTLB entry of a domain that does not exist'),
    'iotlb-in-no-state': ('iotlb', r'(iotlb .*ffffc000.*state=)valid', r'\1fine', 'IOTLB entry neither valid nor pending nor stale'),
    'iotlb-of-another-page': ('iotlb', r'(iotlb .*ffffc000.*pa=0x0000)4', r'\g<1>5', 'IOTLB entry said to be valid, where the page table says otherwise'),
    'iotlb-of-another-permission': ('iotlb', r'(iotlb .*ffffc000.*prot=)rw', r'\1r', 'IOTLB entry said to be valid, where the page table says otherwise'),
    'iotlb-not-stale': ('iotlb', r'(iotlb .*ffffc000.*state=)valid', r'\1stale', 'IOTLB entry not said to be valid, where the page table says the same'),
    'iotlb-not-pending': ('iotlb', r'(iotlb .*ffffc000.*pa=0x0000)4(.*state=)valid', r'\g<1>5\2pending', 'IOTLB entry said to be pending, where nothing waits'),
    'devtlb-of-another-page': ('iotlb', r'(devtlb .*ffffd000.*pa=0x0000)4', r'\g<1>5', "entry of the device's cache said to be valid"),
    'walk-of-no-domain': ('iotlb', r'(walk domain=)1 level=2', r'\g<1>7 level=2', 'entry of the walk cache of a domain that does not exist'),
    'walk-of-no-table': ('iotlb', r'(walk .*level=1 .*table=0x0000)4', r'\g<1>5', 'entry of the walk cache said to be valid, but of no page table'),
    'walk-not-stale': ('iotlb', r'(walk .*level=1 .*state=)valid', r'\1stale', 'entry of the walk cache said to be stale, but of a page table'),
    'walk-in-no-state': ('iotlb', r'(walk .*level=1 .*state=)valid', r'\1fine', 'entry of the walk cache neither valid'),
    # Queues, pools and commands.
    'controller-in-no-domain': ('nvme', r'(controller .*domain=)1', r'\g<1>7', 'controller in a domain that does not exist'),
    'queue-of-no-controller': ('nvme', r'(queue device=)nvme0 qid=0x0000', r'\1nvme9 qid=0x0000', 'queue of no controller'),
    'pool-of-no-controller': ('nvme', r'(pool device=)nvme0 name=large', r'\1nvme9 name=large', 'descriptor pool of no controller'),
    'memory-of-no-controller': ('nvme', r'(memory device=)nvme0 use=cq0', r'\1nvme9 use=cq0', 'memory of no controller'),
    'memory-not-mapped': ('nvme', r'(memory .*use=cq0 .*pa=0x0000)4', r'\g<1>5', 'shared memory that is not mapped'),
    'tail-behind-the-ring': ('nvme', r'(queue .*0x0001 .*sq_tail=)\d+', r'\g<1>4', 'submission tail behind the ring'),
    'head-behind-the-ring': ('nvme', r'(queue .*0x0001 .*cq_head=)\d+', r'\g<1>4', 'completion head behind the ring'),
    'controller-head-behind': ('nvme', r'(queue .*0x0001 .*sq_head=)\d+', r'\g<1>4', 'submission head behind the ring'),
    'controller-tail-behind': ('nvme', r'(queue .*0x0001 .*cq_tail=)\d+', r'\g<1>4', 'completion tail behind the ring'),
    'doorbell-behind': ('nvme', r'(queue .*0x0001 .*sq_doorbell=)\d+', r'\g<1>4', 'submission doorbell behind the ring'),
    'completion-doorbell-behind': ('nvme', r'(queue .*0x0001 .*cq_doorbell=)\d+', r'\g<1>4', 'completion doorbell behind the ring'),
    'more-in-flight-than-room': ('nvme', r'(queue .*0x0001 .*in_flight=)\d+', r'\g<1>4', 'more commands in flight than a queue takes'),
    'more-fetched-than-in-flight': ('nvme', r'(queue .*0x0001 .*in_controller=)\d+', r'\g<1>3', 'more commands in the controller than in flight'),
    'in-flight-that-are-not-there': ('nvme', r'(queue .*0x0000 .*in_flight=)0', r'\g<1>1', 'queue with 1 commands in flight, of which 0 are there'),
    'command-on-no-queue': ('nvme', r'(command .*qid=0x000)1 tag=0x0001', r'\g<1>7 tag=0x0001', 'command on no queue'),
    'command-of-no-request': ('nvme', r'(command .*request=0x0+)fc', r'\1fd', 'command of a request that is not in flight'),
    'data-of-no-command': ('nvme', r'(data .*tag=0x000)1', r'\g<1>9', 'data of no command'),
    'data-not-mapped': ('nvme', r'(data .*tag=0x0001 .*0x0+)fffe8000-(0x0+)fffe8fff', r'\1ee000000-\2ee000fff', 'data of a command in flight that are not mapped'),
    'data-of-another': ('nvme', r'(data .*tag=0x0001 .*owner=req:)252', r'\g<1>251', 'data of a command in flight in an IOVA that its request does not hold'),
    'block-of-no-pool': ('nvme', r'(block .*pool=)small (.*fffec100)', r'\1tiny \2', 'block of no pool'),
    'block-elsewhere': ('nvme', r'(block .*fffec100.*pa=0x0000)4', r'\g<1>5', 'block outside the pages of its pool'),
    'blocks-overlap': ('nvme', r'(block .*fffec100-0x0+)fffec1ff', r'\1fffec2ff', 'blocks of a pool overlap', r'^block .*fffec200'),
    'block-in-no-state': ('nvme', r'(block .*fffec100.*state=)free', r'\1lost', 'block neither free nor used'),
    'pool-that-counts-too-few': ('nvme', r'(block .*fffec100.*state=)free', r'\1used', '1 blocks used of a pool that says 0', r'^pool .*small'),
    'pool-that-lost-a-block': ('nvme', r'block .*fffec100.*', None, '0 blocks in use and 15 free are not what the pages hold', r'^pool .*small'),
    'pool-of-no-pages': ('nvme', r'(pool .*name=large .*pages=)0', r'\g<1>1', 'pool of 1 pages, of which 0 are there'),
    'request-to-nobody': ('request', r'(request .*0fc .*device=)nvme0', r'\1nvme9', 'request to no controller'),
    'request-without-command': ('nvme', r'command .*0fc .*', None, 'request in flight without a command', r'^request .*0fc '),
    'request-in-no-state': ('request', r'(request .*0fc .*state=).*', r'\1lost', 'request in no state'),
    # Devices and what is known of the run.
    'parent-that-is-gone': ('device', r'(device .*parent=)\S+', r'\1/nowhere', 'device of a parent that does not exist'),
    'iommu-that-is-gone': ('device', r'(device path=/dma-con.*iommu=)\S+', r'\1/nowhere', 'device behind an IOMMU that does not exist'),
    'iommu-that-is-no-device': ('device', r'(iommu path=)\S+', r'\1/nowhere', 'IOMMU that is no device'),
    'link-of-nobody': ('device', r'(link consumer=)/dma\S+', r'\1/nowhere', 'link of a consumer that does not exist'),
    'link-to-nobody': ('device', r'(link consumer=/dma\S+ supplier=)\S+', r'\1/nowhere', 'link to a supplier that does not exist'),
    'device-in-no-state': ('device', r'(device path=/dma-con.*state=)bound', r'\1lost', 'device in no state'),
    'link-in-no-state': ('device', r'(link consumer=/dma.*state=)linked', r'\1lost', 'link in no state'),
    'holder-missing': ('reference', r'ref object=/dma-con\S+ holder=creator.*', None, '3 references, of which 2 have a holder', r'^device path=/dma-con'),
    'holder-too-many': ('device', r'(device path=/dma-con.*refs=)3', r'\g<1>2', '2 references, of which 3 have a holder'),
    'group-without-its-member': ('device', r'(group id=0x0000 members=)1', r'\g<1>2', '2 members, of which 1 are there'),
    'group-without-its-holder': ('device', r'(group id=0x0000 .*refs=)1', r'\g<1>2', '2 references, of which 1 have a holder'),
    'rule-that-fires-unasked': ('fault', r'(rule .*fired=)0', r'\g<1>99', 'rule that fired more often than it was passed'),
    'behaviour-unknown': ('behaviour', r'(behaviour name=)blkdma-mapper', r'\1blkdma-napper', 'behaviour that is not known'),
    'behaviour-with-another-value': ('behaviour', r'(behaviour name=blkdma-mapper value=)iova', r'\1iowa', 'value that blkdma-mapper does not have'),
    'same-keys': ('reference', r'(ref object=nvme0 holder=driver%20nvme .*)', r'\1\nref object=nvme0 holder=driver%20nvme count=7 site=again',
                  'the same fact as the line above it', r'count=7'),
}


def edited(section, pattern, replacement, says, where=''):
    """One line is another one, or gone: the finding names the line."""
    found = copy.deepcopy(everything(252))
    before = found[section]
    hits = [at for at, line in enumerate(before) if re.match(pattern, line)]
    check(hits, f'no line like {pattern}', '\n'.join(before))
    at = hits[0]
    line = before.pop(at)
    made = None
    if replacement is not None:
        made = re.sub(pattern, replacement, line, count=1)
        check(made != line, 'the line is the same')
        before[at:at] = made.split('\n')
    if section == 'mapping':
        found['violation'] = []
    write('bad.snap', text_of(found))
    result = program.expect(1, 'snapshot', 'check', 'bad.snap')
    lines = read('bad.snap').splitlines()
    for finding in result.out.splitlines():
        number, what = re.match(r'bad\.snap:(\d+): (.*)', finding).groups()
        here = lines[int(number) - 1]
        if re.match(says, what) and (where is None or (re.search(where, here) if where else here == made)):
            return
    check(False, f'"{says}" where it stands', result)


for name, row in EDITS.items():
    cases.add(f'edited/{name}', edited, *row)


@cases.case('edited/nothing-is-sound')
def _():
    write('good.snap', text_of(everything(252)))
    program.expect(0, 'snapshot', 'check', 'good.snap')


# ---- damage ----

# One fact or two of every section: sound, and small, as each of its bits costs a check.
SMALLEST = """iommusim-snapshot 1
# kernel.version 7.0
[domain]
domain id=1 device=nvme0 iommu=intel format=vtdss levels=4 granule=4096 table_pages=1 mode=lazy attached=yes
[iova]
depot domain=1 order=0 magazines=0 timer=off
live domain=1 range=0x00000000fffff000-0x00000000ffffffff owner=req:3 by=dma_map_phys cpu=0 time_ns=5
[held]
live domain=1 range=0x00000000fffff000-0x00000000ffffffff owner=req:3 by=dma_map_phys cpu=0 time_ns=5
[mapping]
[pagetable]
format domain=1 name=vtdss ias=48 oas=52 top_level=3 page_sizes=0x0000000000000000 options=none table_offset=0x0000000000000000
table domain=1 level=3 iova=0x0000000000000000-0x0000ffffffffffff pa=0x0000400000000000
[iotlb]
iotlb domain=1 iova=0x00000000fffff000-0x00000000ffffffff pa=0x0000000000002000 prot=rw state=stale
walk domain=1 level=1 iova=0x00000000c0000000-0x00000000ffffffff table=0x0000400000004000 state=stale
[nvme]
controller device=nvme0 domain=1 queues=0
[request]
request number=0x000000000003 sector=0x000000000008 bytes=4096 op=write device=nvme0 cpu=0 queue=1 state=waiting
[device]
device path=/soc number=0x0001 state=unbound refs=1
[reference]
ref object=/soc holder=creator count=1 site=device_initialize
[behaviour]
behaviour name=blkdma-mapper value=iova
[fault]
rule name=not-synced number=0x0001 passes=4 fired=0
[violation]
violation kind=leak number=0x0001 device=none cpu=0 time_ns=5 text=made%20up
"""


@cases.case('damaged/every-cut-and-every-other-bit-is-refused')
def _():
    found = sections(SMALLEST)
    if sys.argv[3:] == ['short']:
        found = {name: found[name] for name in ('', 'device', 'reference')}
    write('whole.snap', text_of(found))
    done = subprocess.run([DAMAGE, 'whole.snap', '.'], capture_output=True, text=True, timeout=600, check=False)
    equal(done.returncode, 0, 'exit code', done.stdout + done.stderr)
    equal(len(done.stdout.splitlines()), 2, 'files', done.stdout)


@cases.case('damaged/the-smallest-has-every-section')
def _():
    write('whole.snap', text_of(sections(SMALLEST)))
    program.expect(0, 'snapshot', 'check', 'whole.snap')
    equal(set(everything(252)) | {'held'}, set(sections(SMALLEST)), 'sections')


cases.main()
