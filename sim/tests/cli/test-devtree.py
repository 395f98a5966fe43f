# SPDX-License-Identifier: MIT
"""Device trees as a user reads them: facts, problems and their exit codes, who is behind which IOMMU. test-devtree.py IOMMUSIM

Boards are those of $BOARDS, compiled from fixtures/boards, and, where that folder exists, of $SHARED, whose recordings the
facts must equal byte for byte. What is expected of a damaged tree stands in its source: fixtures/hostile/boards."""
import json
import os
import re
import struct
import sys
import time

from tap import FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

BOARDS = os.environ['BOARDS']
HOSTILE = os.path.join(BOARDS, '..', 'hostile', 'boards')
HOSTILE_SOURCES = os.path.join(FIXTURES, 'hostile', 'boards')
SHARED = os.environ.get('SHARED', '')
RECORDED = os.path.join(SHARED, 'golden', 'devtree')
SECONDS_MAX = 2


def board(name):
    return os.path.join(BOARDS, name + '.dtb')


def facts_of(path):
    return program.expect(0, 'devtree', 'facts', path).out


def said(code, command, path):
    return json.loads(program.expect(code, 'devtree', command, '--json', path).out)


def has_lines(text, *lines):
    for line in lines:
        check(line in text.splitlines(), f'no line {line!r}', text)


# ---- facts: written from the boards' sources by hand ----

@case('facts/apple-dart')
def _():
    has_lines(facts_of(board('apple-dart')),
              'golden devtree facts v1', 'dtb apple-dart.dtb', 'board iommusim,apple-dart', 'nodes 13',
              '[iommus] 5', '[masters] 3', '[multi-instance-masters] 1', 'multi /soc/usb@382280000',
              'iommu /soc/iommu@228304000 driver=apple-dart phandle=0x1 cells=1 status=disabled avail=no boot=no name=- '
              'compatible=apple,t8103-dart',
              'iommu /soc/iommu@382f00000 driver=apple-dart phandle=0x2 cells=1 status=okay(default) avail=yes '
              'boot=platform name=382f00000.iommu compatible=apple,t8103-dart',
              'master /soc/usb@382280000 status=okay(default) avail=yes boot=platform name=382280000.usb entries=2 '
              'instances=2',
              '  ref /soc/iommu@382f80000 [0x1]',
              'host /soc/pcie@690000000 status=okay(default) avail=yes pci=yes mask=0xff00',
              '  xlat rid=0x0 -> none', '  xlat rid=0x1ff -> /soc/iommu@681008000 id=0x1',
              'nvme /soc/nvme@27bcc0000 status=okay(default) iommus=no compatible=apple,t8103-nvme-ans2,apple,nvme-ans2',
              'disabled /soc/display@228200000', 'count /soc/iommu@228304000 1 0 1 0', 'count /soc/iommu@382f00000 2 2 2 2')


@case('facts/qcom-iommu')
def _():
    has_lines(facts_of(board('qcom-iommu')),
              'qcom /soc@0/iommu@1ef0000 secure-id=17 contexts=3',
              '  ctx /soc@0/iommu@1ef0000/iommu-ctx@4000 asid=4 source=reg compatible=qcom,msm-iommu-v1-ns',
              '  ctx /soc@0/iommu@1f08000/iommu-ctx@1000 asid=2 source=qcom,ctx-asid compatible=qcom,msm-iommu-v2-sec',
              'dev platform soc@0:iommu@1f08000 /soc@0/iommu@1f08000',
              'dev platform 86700000.rmtfs /reserved-memory/rmtfs@86700000',
              'memreg /soc@0/video-codec@1d00000 -> /reserved-memory/venus@89900000',
              'count /soc@0/iommu@1f08000 2 2 1 1')


@case('facts/exynos-sysmmu')
def _():
    has_lines(facts_of(board('exynos-sysmmu')),
              '  ref /soc/iommu@13630000 []', 'region /reserved-memory/framebuffer@67000000 reg=yes status=okay(default)',
              '  resv device=/soc/display-controller@14830000 iova=0x67000000 size=0x1fa400',
              'dev platform 67000000.framebuffer /chosen/framebuffer@67000000')


@case('facts/ipmmu-vmsa')
def _():
    has_lines(facts_of(board('ipmmu-vmsa')),
              '[ipmmu-main] 2', 'leaf /soc/iommu@e7740000 -> /soc/iommu@e67b0000 [0x1]',
              '  xlat rid=0xffff -> /soc/iommu@e6570000 id=0x0',
              'iommu /soc/iommu@e6280000 driver=ipmmu-vmsa phandle=- cells=1 status=disabled avail=no boot=no name=- '
              'compatible=renesas,ipmmu-r8a7790,renesas,ipmmu-vmsa')


@case('facts/mtk-iommu')
def _():
    text = facts_of(board('mtk-iommu'))
    has_lines(text, 'm4u /soc/iommu@1c01f000 count=4',
              '  larb idx=1 id=4 /soc/larb@14013000 status=okay(default) smi=/soc/smi@14010000 '
              'smi-common=/soc/smi@14012000',
              '  larb idx=2 id=8 /soc/larb@14e05000 status=disabled smi=/soc/smi@14012000 smi-common=/soc/smi@14012000',
              '  larb idx=3 id=3(default) /soc/larb@14f03000 status=okay(default) smi=/soc/smi@14012000 '
              'smi-common=/soc/smi@14012000')
    check('m4u /soc/infra' not in text, 'the infrastructure IOMMU has no larbs', text)


@case('facts/others')
def _():
    has_lines(facts_of(board('omap-iommu')),
              'iommu /ocp/target-module@40d01000/mmu@0 driver=omap-iommu phandle=0x1 cells=0 status=okay(default) avail=yes '
              'boot=no name=- compatible=ti,dra7-dsp-iommu')
    has_lines(facts_of(board('mtk-iommu-v1')), 'm4u /mmsys-iommu@10205000 count=3')
    has_lines(facts_of(board('tegra-smmu')), 'count /memory-controller@70019000 4 4 4 4')
    has_lines(facts_of(board('sun50i-iommu')), 'count /soc/iommu@30f0000 3 3 2 2')
    has_lines(facts_of(board('msm')), 'count /soc/iommu@7600000 2 2 2 2', 'multi /soc/mdp@5100000')
    has_lines(facts_of(board('arm-smmu')), '  ref /iommu@15000000 [0x880 0x8]',
              'host /host1x@13e00000 status=okay(default) avail=yes pci=no mask=-')
    has_lines(facts_of(board('arm-smmu-v3')), '  xlat rid=0xffff -> /smmuv3@9050000 id=0xffff',
              '  ref /smmuv3@9050000 [0x10000]')


@case('facts/devices-and-their-names')
def _():
    lines = facts_of(board('devices')).splitlines()
    first = lines.index('[boot-devices] 15')
    equal(lines[first + 1:first + 16], [
        'dev platform bus@10000000 /bus@10000000',
        'dev platform bus@10000000:beyond@90000 /bus@10000000/beyond@90000',
        'dev platform 110000020.first /bus@10000000/first@20',
        'dev platform 20000010.second /bus@10000000/second@80010',
        'dev platform 110000100.syscon /bus@10000000/syscon@100',
        'dev platform 110000100.syscon:part@8 /bus@10000000/syscon@100/part@8',
        'dev amba 110000040.uart /bus@10000000/uart@40',
        'dev platform 2000.framebuffer /chosen/framebuffer@2000',
        'dev platform firmware:scm /firmware/scm',
        'dev platform fixed-clock /fixed-clock',
        'dev platform flags-bus /flags-bus',
        'dev platform 800000010.window /flags-bus/window@2,10',
        'dev platform 300000005.ok-device /ok-device@3,5',
        'dev platform 100.plain /plain@100',
        'dev platform 9000.ramoops /reserved-memory/ramoops@9000'], 'devices')


@case('facts/unusual')
def _():
    text = facts_of(os.path.join(HOSTILE, 'unusual.dtb'))
    has_lines(text, 'master /empty-list status=okay(default) avail=yes boot=no name=- entries=0 instances=0',
              'master /empty-entry status=okay(default) avail=yes boot=no name=- entries=3 instances=1', '  empty',
              'dev platform none /none', '[boot-devices] 2')
    devices = said(0, 'facts', os.path.join(HOSTILE, 'unusual.dtb'))['boot_devices']
    equal([device['name'] for device in devices], ['1000.iommu', 'none'], 'names')


@case('facts/json-says-the-same')
def _():
    for name in sorted(os.listdir(BOARDS)):
        if not name.endswith('.dtb'):
            continue
        text, document = facts_of(board(name[:-4])), said(0, 'facts', board(name[:-4]))
        counts = [int(count) for count in re.findall(r'^\[.*\] (\d+)$', text, re.M)]
        lists = [value for value in document.values() if isinstance(value, list)]
        equal([len(value) for value in lists], counts, f'items of {name}')
        equal([device['path'] for device in document['boot_devices']],
              re.findall(r'^dev \S+ \S+ (\S+)$', text, re.M), f'devices of {name}')
    cells = [ref['cells'] for ref in said(0, 'facts', board('arm-smmu'))['masters'][1]['references']]
    equal(cells, [['0x880', '0x8'], ['0xc80', '0x8']], 'cells')


@case('facts/same-from-a-pipe')
def _():
    with open(board('apple-dart'), 'rb') as file:
        blob = file.read()
    piped = program.expect(0, 'devtree', 'facts', '-', stdin=blob).out
    equal(piped.splitlines()[2:], facts_of(board('apple-dart')).splitlines()[2:], 'facts of stdin')


# ---- recordings ----

def recorded(blobs, folder):
    for name in sorted(os.listdir(blobs)):
        wanted = os.path.join(folder, name[:-4] + '.facts.txt')
        if name.endswith('.dtb') and os.path.exists(wanted):
            yield os.path.join(blobs, name), read(wanted)


def shared_facts(blobs, folder, at_least):
    count = 0
    for path, wanted in recorded(blobs, folder):
        got = facts_of(path)
        check(got == wanted, f'{path}: other facts')
        count += 1
    check(count >= at_least, f'only {count} recordings')


def shared_malformed():
    folder = os.path.join(SHARED, 'devtree', 'malformed')
    kinds = {'truncated': 2, 'bad-magic': 2, 'bad-offset': 2, 'bad-version': 2}
    for name, kind in re.findall(r'^\| (\S+\.dtb) \| \w+ \| (\S+) \|', read(folder, 'README.md'), re.M):
        start = time.monotonic()
        code = 0 if kind == 'none' else kinds.get(kind, 1)
        result = program.expect(code, 'devtree', 'check', os.path.join(folder, name))
        if code == 2:
            check(f': {kind}: ' in result.err, f'{name} is {kind}', result)
        else:
            equal({line.split(' ')[0] for line in result.out.splitlines()}, {kind} - {'none'}, f'kinds of {name}')
        check(time.monotonic() - start < SECONDS_MAX, f'{name} took too long')


if os.path.isdir(RECORDED):
    cases.add('recorded/boards', shared_facts, os.path.join(SHARED, 'devtree', 'boards'), RECORDED, 17)
    cases.add('recorded/malformed', shared_facts, os.path.join(SHARED, 'devtree', 'malformed'),
              os.path.join(RECORDED, 'malformed'), 7)
    cases.add('recorded/malformed-kinds', shared_malformed)


# ---- check ----

def hostile_check(name):
    source = read(HOSTILE_SOURCES, name + '.dts')
    wanted = re.findall(r'^// expect: (.*)$', source, re.M)
    path = os.path.join(HOSTILE, name + '.dtb')
    warnings = all(line.endswith('(a warning)') for line in wanted)
    start = time.monotonic()
    result = program.expect(0 if warnings else 1, 'devtree', 'check', path)
    check(time.monotonic() - start < SECONDS_MAX, 'took too long')
    equal(result.out.splitlines(), wanted, 'problems', result)
    problems = said(result.code, 'check', path)
    equal([f'{row["kind"]} {row["path"]}' for row in problems['problems']], [line.split(': ')[0] for line in wanted], 'JSON')
    equal(problems['errors'] + problems['warnings'], len(wanted), 'count')
    for command in ('facts', 'list', 'graph'):  # the rest of the tree stays usable
        program.expect(0, 'devtree', command, path)


for source_name in sorted(os.listdir(HOSTILE_SOURCES)):
    if source_name.endswith('.dts'):
        cases.add(f'check/{source_name[:-4]}', hostile_check, source_name[:-4])


@case('check/good-boards')
def _():
    for name in sorted(os.listdir(BOARDS)):
        if name.endswith('.dtb'):
            equal(program.expect(0, 'devtree', 'check', board(name[:-4])).out, '', name)


@case('check/blob-kinds')
def _():
    with open(board('apple-dart'), 'rb') as file:
        good = file.read()
    total, off_struct, off_strings = struct.unpack('>3I', good[4:16])

    def word(offset, value):
        return good[:offset] + struct.pack('>I', value) + good[offset + 4:]

    damaged = {
        'truncated': [b'', good[:3], good[:30], good[:total // 2], good[:-1]],
        'bad-magic': [b'none', word(0, 0xd00dfeec), b'not a device tree, but longer than its header\n'],
        'bad-offset': [word(8, total + 4), word(12, total + 1), word(16, 0xfffffff8)],
        'bad-version': [word(20, 1), word(24, 18)],
        'bad-structure': [word(off_struct, 7), word(off_struct, 9), word(off_struct + 8 + 4, total),
                          word(off_struct + 8 + 8, total), word(36, 16)],
    }
    for kind, blobs in damaged.items():
        for number, blob in enumerate(blobs):
            path = write(f'{kind}-{number}.dtb', blob)
            for command in ('check', 'facts', 'list', 'graph'):
                message = program.refuses('devtree', command, path)
                check(re.match(rf'{path}@\d+: {kind}: ', message), f'{path}: {message}')


@case('check/needs-one-board')
def _():
    program.refuses('devtree', 'check')
    program.refuses('devtree', 'check', board('msm'), board('msm'))
    program.refuses('devtree', 'facts', 'absent.dtb')
    program.refuses('devtree', 'list', FIXTURES)


@case('check/too-large')
def _():
    message = program.refuses('devtree', 'facts', write('large.dtb', struct.pack('>II', 0xd00dfeed, 64 << 20) + bytes(8 << 20)))
    check('at most' in message, message)


# ---- list and graph ----

@case('list/who-is-behind-what')
def _():
    text = program.expect(0, 'devtree', 'list', board('apple-dart')).out
    has_lines(text, 'test board with apple-dart, iommusim,apple-dart: 5 IOMMUs, 3 masters, 1 PCI host',
              '/soc/iommu@228304000  apple-dart, disabled', '    /soc/display@228200000  id 0x0, disabled',
              '    /soc/usb@382280000  id 0x0, one of its 2 IOMMUs',
              '    /soc/pcie@690000000  rid & 0xff00 = 0x100 as id 0x1, one of its 2 IOMMUs',
              'behind no IOMMU', '    /soc/nvme@27bcc0000  NVMe')
    text = program.expect(0, 'devtree', 'list', board('ipmmu-vmsa')).out
    has_lines(text, 'IOMMUs without masters', '    /soc/iommu@e67b0000  ipmmu-vmsa, main of 2 others',
              '    /soc/mmc@ee140000  id 0x22-0x23', '    /soc/pcie@fe000000  every rid as id 0x0')
    text = program.expect(0, 'devtree', 'list', board('arm-smmu')).out
    has_lines(text, '    /gpu@5000000  id 0x880,0x8 0xc80,0x8', '    /host1x@13e00000   id 0x1  rid 0x0-0x2 as id 0x38-0x3a')


@case('list/control-characters-stay-in-the-blob')
def _():
    path = os.path.join(HOSTILE, 'unusual.dtb')
    equal(program.expect(0, 'devtree', 'list', path).out.splitlines()[0],
          r'two\x0alines\x1b[31m, red, iommusim,hostile: 1 IOMMU, 4 masters, 0 PCI hosts', 'the first line')
    equal(said(0, 'list', path)['model'], r'two\x0alines\x1b[31m, red', 'model')


@case('list/json')
def _():
    document = said(0, 'list', board('apple-dart'))
    users = {iommu['path']: [master['path'] for master in iommu['masters']] for iommu in document['iommus']}
    equal(users['/soc/iommu@382f00000'], ['/soc/usb@382280000', '/soc/dma@238200000'], 'masters')
    equal([row['what'] for row in document['outside_any_iommu']], ['NVMe'], 'outside')
    equal(document['problems'], 0, 'problems')


@case('list/says-where-problems-are-told')
def _():
    text = program.expect(0, 'devtree', 'list', os.path.join(HOSTILE, 'asid-range.dtb')).out
    has_lines(text, '2 problems: see iommusim devtree check')


@case('graph/edges')
def _():
    text = program.expect(0, 'devtree', 'graph', board('mtk-iommu')).out
    check(text.startswith('digraph devtree {\n') and text.endswith('}\n'), 'a graph', text)
    has_lines(text, '\t"/soc/jpeg@1a030000" -> "/soc/iommu@1c01f000";', '\t"/soc/iommu@1c01f000" -> "/soc/larb@14013000";',
              '\t"/soc/larb@14013000" -> "/soc/smi@14010000";',
              '\t"/soc/iommu@1c01f000" -> "/soc/larb@14e05000" [style=dashed];')
    equal(len(re.findall('"/soc/jpeg@1a030000" ->', text)), 1, 'edges, though named twice')
    document = said(0, 'graph', board('mtk-iommu'))
    equal(len(document['edges']), text.count(' -> '), 'edges')
    equal(len(document['nodes']), text.count('[shape='), 'nodes')


cases.main()
