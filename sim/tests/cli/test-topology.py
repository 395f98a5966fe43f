# SPDX-License-Identifier: MIT
"""topology: configuration spaces made here from the PCI specifications (PCI Express Base 5.0 chapter 7, PCI Local Bus 3.0 chapter 6)
are decoded to what was put in, damaged ones are refused at the right byte, and the host lists what sysfs lists. A whole
made-up sysfs is mounted where that is allowed. test-topology.py IOMMUSIM"""
import json
import os
import random
import struct
import subprocess
import sys

from tap import BOOT, PREFIX, Cases, Program, Result, Skipped, check, equal, tree, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case
DEVICES = '/sys/bus/pci/devices'

NVME, BRIDGE = 0x010802, 0x060400


class Space:
    """A configuration space. Capabilities are chained in the order in which they are added."""

    def __init__(self, class_code, header=0, vendor=0x144d, device=0xa80a, size=4096):
        self.bytes = bytearray(size)
        self.tail, self.extended_tail = 0x34, None
        self.put(0x00, 'HH', vendor, device)
        self.put(0x08, 'I', class_code << 8 | 3)  # revision 3
        self.bytes[0x0e] = header

    def put(self, offset, form, *values):
        struct.pack_into('<' + form, self.bytes, offset, *values)

    def get(self, offset, form):
        return struct.unpack_from('<' + form, self.bytes, offset)[0]

    def cap(self, offset, number, form='', *values):
        """A capability whose registers FORM begin right behind its id and pointer."""
        self.put(0x06, 'H', self.get(0x06, 'H') | 0x10)
        self.bytes[self.tail] = offset
        self.bytes[offset] = number
        self.tail = offset + 1
        self.put(offset + 2, form, *values)
        return self

    def extended(self, offset, number, version=1, form='', *values):
        if self.extended_tail:
            self.put(self.extended_tail, 'I', self.get(self.extended_tail, 'I') | offset << 20)
        self.extended_tail = offset
        self.put(offset, 'I', version << 16 | number)
        self.put(offset + 4, form, *values)
        return self


def pcie(space, at=0x70, kind=0, speed=4, width=4, payload=1, request=2):
    """PCI Express capability: version 2, of KIND, payload up to 512 B, link up to 16 GT/s x4."""
    control = payload << 5 | request << 12
    return space.cap(at, 0x10, 'HIHHIHH', 2 | kind << 4, 2 | 1 << 28, control, 0, 4 | 4 << 4, 0, speed | width << 4)


def nvme(size=4096, ats=True):
    """An NVMe controller with MSI-X, ATS, PASID, PRI, ACS and SR-IOV."""
    space = Space(NVME, size=size)
    space.put(0x10, 'II', 0xfe600000 | 4, 0x20)  # 64-bit memory at 0x20fe600000
    space.put(0x2c, 'HH', 0x144d, 0xa801)
    space.cap(0x40, 0x01, 'HH', 3, 0)
    space.cap(0x50, 0x05, 'HIIH', 5 << 1 | 1 << 7 | 1 << 8, 0, 0, 0)  # MSI: 32 vectors, 64 bits, masking
    pcie(space)
    space.cap(0xb0, 0x11, 'HII', 0x8000 | 128, 0x3000 | 0, 0x2000 | 0)  # MSI-X: 129 vectors, on
    if size == 256:
        return space
    space.extended(0x100, 0x01, 2)
    space.extended(0x148, 0x03, 1, 'Q', 0x0025385b71b02d5d)
    space.extended(0x158, 0x0d, 1, 'HH', 0x5f, 0x1d)  # ACS: SV TB RR CR UF DT; SV RR CR UF on
    space.extended(0x168, 0x0e, 1, 'HH', 0, 0)
    space.extended(0x178, 0x10, 1, 'IHHHHHHHHHHII', 0, 0, 0, 32, 32, 0, 0, 2, 1, 0, 0xa824, 0x553, 1)
    space.extended(0x1b8, 0x0f, 1, 'HH', 0 | 1 << 5, (0x8000 if ats else 0) | 1)  # ATS: 32 deep, page aligned, 8 KiB
    space.extended(0x1c0, 0x13, 1, 'HHII', 1, 0x8100, 512, 64)
    space.extended(0x1d0, 0x1b, 1, 'HH', 1 << 2 | 20 << 8, 1)  # PASID: privileged, 20 bits, on
    space.extended(0x1d8, 0x23, 1, 'IH', 0x1e98, 7)
    space.extended(0x1f8, 0x7777)
    return space


def bridge():
    space = Space(BRIDGE, header=1, vendor=0x8086, device=0x460d)
    space.put(0x18, 'BBB', 0, 1, 3)
    pcie(space, at=0x40, kind=4, speed=5, width=16)
    space.extended(0x100, 0x0d, 1, 'HH', 0x5f, 0)
    return space


def decode(content, name='space'):
    write(name, bytes(content.bytes) if isinstance(content, Space) else content)
    return json.loads(program.expect(0, 'topology', '--json', '--config-space', name).out)['functions']


def caps(function):
    return {cap['name']: cap for cap in function['capabilities']}


def has(cap, wanted):
    equal({key: cap.get(key) for key in wanted}, wanted, cap['name'])


def hexdump(content, address='0000:01:00.0 Non-Volatile memory controller: Somebody'):
    lines = [address] if address else []
    for at in range(0, len(content), 16):
        lines.append(f'{at:02x}: ' + ' '.join(f'{byte:02x}' for byte in content[at:at + 16]))
    return '\n'.join(lines) + '\n\n'


def damaged(space, offset, *words):
    """The space is refused with one line that names OFFSET."""
    write('space', bytes(space.bytes))
    before = tree('.')
    line = program.refuses('topology', '--config-space', 'space', '-o', 'm.ini')
    check(line.startswith(f'space@{offset}: '), f'space@{offset}: expected', line)
    for word in words:
        check(word in line, f'{word!r} expected', line)
    equal(tree('.') == before, True, 'no file')
    # The same as text: at the line that has the byte.
    write('dump.txt', hexdump(space.bytes))
    line = program.refuses('topology', '--config-space', 'dump.txt')
    check(line.startswith(f'dump.txt:{2 + offset // 16}: '), f'line {2 + offset // 16} expected', line)
    os.remove('dump.txt')


# ---- decoding ----

@case('nvme/every-capability')
def nvme_all():
    function, = decode(nvme())
    has({**function, 'name': 'function'}, {
        'vendor': '0x144d', 'device': '0xa80a', 'subsystem_vendor': '0x144d', 'subsystem_device': '0xa801',
        'class': '0x010802', 'revision': '0x03', 'class_name': 'NVM Express controller', 'nvme': True, 'msi': True,
        'msix': True, 'pcie': True, 'acs': True, 'ats': True, 'pri': True, 'pasid': True, 'sr_iov': True,
        'config_bytes': 4096, 'not_read': [],
        'bars': [{'bar': 0, 'kind': 'memory', 'address': '0x20fe600000', 'wide': True, 'prefetchable': False}]})
    found = caps(function)
    equal([(cap['offset'], cap['id'], cap['extended']) for cap in function['capabilities']],
          [(0x40, '0x01', False), (0x50, '0x05', False), (0x70, '0x10', False), (0xb0, '0x11', False)] +
          [(offset, f'0x{number:04x}', True) for offset, number in (
              (0x100, 1), (0x148, 3), (0x158, 0xd), (0x168, 0xe), (0x178, 0x10), (0x1b8, 0xf), (0x1c0, 0x13),
              (0x1d0, 0x1b), (0x1d8, 0x23), (0x1f8, 0x7777))], 'the lists in order')
    has(found['power_management'], {'power_version': 3, 'power_state': 0})
    has(found['msi'], {'enabled': False, 'vectors': 32, 'vectors_enabled': 1, 'address_64': True, 'masking': True})
    has(found['msix'], {'enabled': True, 'masked': False, 'vectors': 129, 'table_bar': 0, 'table_offset': '0x3000',
                        'pending_bar': 0, 'pending_offset': '0x2000'})
    has(found['pcie'], {'pcie_version': 2, 'port_type': 'endpoint', 'payload_max_bytes': 512, 'payload_bytes': 256,
                        'read_request_bytes': 512, 'function_level_reset': True, 'link_generation_max': 4,
                        'link_lanes_max': 4, 'link_generation': 4, 'link_lanes': 4})
    has(found['serial_number'], {'serial_number': '0x25385b71b02d5d'})
    has(found['aer'], {'version': 2})
    has(found['acs'], {'source_validation': True, 'translation_blocking': True, 'request_redirect': True,
                       'completion_redirect': True, 'upstream_forwarding': True, 'egress_control': False,
                       'direct_translated': True, 'acs_control': '0x1d', 'source_validation_enabled': True,
                       'translation_blocking_enabled': False, 'request_redirect_enabled': True})
    has(found['sr_iov'], {'enabled': False, 'vfs_initial': 32, 'vfs_total': 32, 'vfs': 0, 'vf_offset': 2, 'vf_stride': 1,
                          'vf_device': '0xa824', 'page_sizes': '0x553', 'system_page_size': '0x1'})
    has(found['ats'], {'enabled': True, 'invalidate_queue_depth': 32, 'page_aligned': True, 'global_invalidate': False,
                       'smallest_translation_bytes': 8192})
    has(found['pri'], {'enabled': True, 'response_failure': False, 'stopped': True, 'response_has_pasid': True,
                       'requests_capacity': 512, 'requests_allocated': 64})
    has(found['pasid'], {'enabled': True, 'pasid_bits': 20, 'execute': False, 'privileged': True})
    has(found['dvsec'], {'vendor': '0x1e98', 'designated_id': '0x7'})
    equal(found['unknown']['id'], '0x7777', 'what is not known is named by its number')


@case('nvme/for-people')
def nvme_text():
    write('space', bytes(nvme().bytes))
    text = program.expect(0, 'topology', '--config-space', 'space').out
    for wanted in ('NVM Express controller [010802]', '[144d:a80a]', '[1b8] address translation services: enabled, ',
                   'invalidate queue depth 32', '[1d0] PASID: enabled, bits 20', '[0b0] MSI-X: enabled, vectors 129',
                   '[178] SR-IOV: ', '[1f8] extended capability 0x7777', 'BAR 0: memory, 64 bits at 0x20fe600000'):
        check(wanted in text, f'{wanted!r} in', text)


@case('nvme/256-bytes-lack-what-is-extended')
def nvme_short():
    function, = decode(nvme(size=256))
    equal((function['config_bytes'], function['not_read']), (256, ['extended capabilities']), 'says so')
    check('ats' not in function and 'pasid' not in function, 'does not say what it cannot know', function)
    equal((function['msix'], function['nvme']), (True, True), 'the others')


@case('bridge/buses-and-acs')
def bridge_():
    function, = decode(bridge())
    has({**function, 'name': 'bridge'}, {'class_name': 'PCI bridge', 'bus_primary': 0, 'bus_secondary': 1,
                                         'bus_subordinate': 3, 'bars': [], 'acs': True, 'ats': False})
    has(caps(function)['pcie'], {'port_type': 'root port', 'link_generation': 5, 'link_lanes': 16})


@case('bars/ports-narrow-wide-prefetchable')
def bars():
    space = Space(0x020000)
    space.put(0x10, 'IIIIII', 0xe001, 0xfe000000, 0xd000000c, 0x40, 0, 0xfeb00008)
    function, = decode(space)
    equal([(bar['bar'], bar['kind'], bar['address'], bar['wide'], bar['prefetchable']) for bar in function['bars']],
          [(0, 'io', '0xe000', False, False), (1, 'memory', '0xfe000000', False, False),
           (2, 'memory', '0x40d0000000', True, True), (5, 'memory', '0xfeb00000', False, True)], 'BARs')
    space.put(0x24, 'II', 0xfe000004, 5)  # 64 bits, but there is no register behind the last
    equal(decode(space)[0]['bars'][-1]['address'], '0xfe000000', 'the last')


@case('lists/none-empty-and-at-the-edge')
def edges():
    equal(decode(Space(0x060000, size=256))[0]['capabilities'], [], 'no list')
    space = Space(NVME)
    pcie(space)
    equal([cap['name'] for cap in decode(space)[0]['capabilities']], ['pcie'], 'an empty extended list')
    space.put(0x100, 'I', 0xffffffff)
    equal([cap['name'] for cap in decode(space)[0]['capabilities']], ['pcie'], 'one that does not answer')
    space = Space(NVME)
    pcie(space)
    space.extended(0x100, 0x00, 0).extended(0xff8, 0x0f, 1, 'HH', 5, 0)
    equal([(cap['name'], cap['offset']) for cap in decode(space)[0]['capabilities']], [('pcie', 0x70), ('ats', 0xff8)],
          'a null capability leads on; the last place')
    space = Space(NVME)
    space.put(0x100, 'I', 1 << 16 | 0x0f)  # of a device that is not PCI Express, these bytes are none
    equal(decode(space)[0]['capabilities'], [], 'without PCI Express')
    space.put(0x06, 'H', 0x10)
    space.bytes[0x34] = 0x43  # the lowest bits are reserved
    space.put(0x40, 'BB', 1, 0)
    equal(decode(space)[0]['capabilities'][0]['offset'], 0x40, 'reserved bits of a pointer')


# ---- damage ----

@case('damage/truncated')
def truncated():
    whole = bytes(nvme().bytes)
    for length in (0, 1, 63, 64, 100, 255, 257, 1000, 4095):
        write('space', whole[:length])
        line = program.refuses('topology', '--config-space', 'space', '-o', 'm.ini')
        check(line.startswith(f'space@{length}: cut off'), f'space@{length}', line)
    write('space', whole + b'x')
    check(program.refuses('topology', '--config-space', 'space').startswith('space@4096: more than'), 'too long')
    equal(os.listdir('.'), ['space'], 'no file')


@case('damage/circles')
def circles():
    space = Space(NVME, size=256)
    space.cap(0x40, 1, 'HH', 0, 0).cap(0x50, 0x09, 'B', 4)
    space.bytes[0x51] = 0x40
    damaged(space, 0x51, 'back to 0x40')
    space.bytes[0x51] = 0x50
    damaged(space, 0x51, 'back to 0x50')
    space = nvme()
    space.put(0x1d8, 'I', 0x158 << 20 | 1 << 16 | 0x23)
    damaged(space, 0x1d8, 'back to 0x158')


@case('damage/outside')
def outside():
    space = Space(NVME, size=256)
    space.cap(0x20, 1)
    damaged(space, 0x34, 'header')
    space = Space(NVME, size=256)
    space.cap(0xf8, 0x11, 'HI', 0, 0)
    damaged(space, 0xf8, 'MSI-X', 'does not fit')
    space = nvme()
    space.put(0x1d8, 'I', 0x40 << 20 | 1 << 16 | 0x23)
    damaged(space, 0x1d8, 'before 0x100')
    space = nvme()
    space.put(0x1f8, 'I', 0xffc << 20 | 1 << 16 | 0x23)
    space.put(0xffc, 'I', 1 << 16 | 0x0f)
    damaged(space, 0xffc, 'does not fit')


@case('damage/nobody-there')
def nobody():
    space = Space(NVME, size=256)
    space.bytes[:] = b'\xff' * 256
    damaged(space, 0, 'no device')
    space = Space(NVME, header=0x7f, size=256)
    damaged(space, 14, 'unknown type')
    space = Space(NVME, size=256)
    space.cap(0x40, 0xff)
    damaged(space, 0x40, 'does not answer')


@case('damage/at-random')
def at_random():
    """Whatever the bytes are: decoded, or refused with one line."""
    draw = random.Random(7)
    good = bytes(nvme().bytes)
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(draw.choice((1, 3, 30))):
            bad[draw.choice((draw.randrange(256), draw.randrange(256, 0x200)))] = draw.choice((0, 0xff, draw.randrange(256)))
        write('space', bytes(bad))
        result = program.run('topology', '--json', '--config-space', 'space')
        if result.code == 0:
            json.loads(result.out)
        else:
            equal((result.code, len(result.err.splitlines()), result.out), (2, 1, ''), 'one line', result)
            check(result.err.startswith(PREFIX + 'space@'), 'with its offset', result)


# ---- lspci's text ----

@case('lspci/several-functions')
def lspci():
    text = (hexdump(bridge().bytes, '00:01.0 PCI bridge: Somebody') +
            hexdump(nvme().bytes).replace('\n', '\r\n') +
            hexdump(nvme(size=256).bytes, '10000:e1:00.0 Non-Volatile memory controller').replace(
                '\n', '\n\tKernel driver in use: nvme\n', 1))
    functions = decode(text.encode(), 'dump.txt')
    equal([function['address'] for function in functions], ['00:01.0', '0000:01:00.0', '10000:e1:00.0'], 'addresses')
    alone, = decode(nvme())
    equal({key: value for key, value in functions[1].items() if key != 'address'}, alone, 'as from bytes')
    equal(functions[2]['config_bytes'], 256, 'a short one')
    equal(decode(hexdump(nvme().bytes, None).encode())[0], alone, 'without a heading')


@case('lspci/damaged-text')
def lspci_damaged():
    whole = hexdump(nvme().bytes).splitlines()
    for line, bad, word in (
            (5, whole[:4] + ['30: zz' + whole[4][6:]] + whole[5:], 'two digits'),
            (5, whole[:4] + [whole[4][:20]] + whole[5:], 'two digits'),
            (5, whole[:4] + whole[5:], 'would be next'),
            (4, whole[:4], 'cut off'),
            (6, whole[:5] + ['00:02.0 another'] + whole[1:], 'cut off'),
            (2, ['00:01.0 x', 'hello world'], 'neither'),
            (1, ['\t'], 'no function'),
            (259, whole + ['1000: ' + whole[1][4:]], 'neither')):
        write('dump.txt', '\n'.join(bad) + '\n')
        said = program.refuses('topology', '--config-space', 'dump.txt')
        check(said.startswith(f'dump.txt:{line}: ') and word in said, f'line {line}, {word!r}', said)


# ---- machine files ----

@case('machine/replays')
def machine():
    write('space', bytes(nvme().bytes))
    program.expect(0, 'topology', '--config-space', 'space', '-o', 'm.ini')
    with open('m.ini', encoding='utf-8') as file:
        text = file.read()
    check('\n[iotlb]\n# ATS is enabled\nats = yes\n' in text, 'ATS', text)
    for wanted in 'generation', 'lanes', 'payload', 'read-request':
        check(wanted in text, wanted, text)
    program.expect(0, 'replay', '-c', 'm.ini', '-o', 'out', BOOT)
    with open('out/machine.ini', encoding='utf-8') as file:
        check('\nats = yes\n' in file.read(), 'is what is replayed on')
    write('space', bytes(nvme(ats=False).bytes))
    equal('ats = no' in program.expect(0, 'topology', '--config-space', 'space', '-o', '-').out, True, 'ATS is off')


@case('machine/controller-may-be-chosen')
def chosen():
    write('dump.txt', hexdump(nvme(ats=False).bytes, '0000:01:00.0 x') + hexdump(nvme().bytes, '0000:02:00.0 x'))
    for more, ats in (([], 'no'), (['--function=02:00.0'], 'yes'), (['--function=0000:02:00.0'], 'yes')):
        said = program.expect(0, 'topology', '--config-space', 'dump.txt', '-o', '-', *more).out
        check(f'ats = {ats}\n' in said, f'{more}: {ats}', said)
    check('no such function' in program.refuses('topology', '--config-space', 'dump.txt', '-o', 'm.ini',
                                                '--function=03:00.0'), 'none')
    check('give -o' in program.refuses('topology', '--config-space', 'dump.txt', '--function=02:00.0'), 'without -o')
    check('standard output' in program.refuses('topology', '--json', '-o', '-'), 'both')
    check('no-such-folder' in program.refuses('topology', '--config-space', 'dump.txt', '-o', 'no-such-folder/m.ini'), 'where')


# ---- the host ----

@case('host/every-function-of-sysfs')
def host():
    if not os.path.isdir(DEVICES) or not os.listdir(DEVICES):
        raise Skipped('this host has no PCI')
    functions = json.loads(program.expect(0, 'topology', '--json').out)['functions']
    equal([function['address'] for function in functions], sorted(os.listdir(DEVICES)), 'addresses')
    for function in functions:
        folder = os.path.join(DEVICES, function['address'])
        for key, name in ('vendor', 'vendor'), ('device', 'device'), ('class', 'class'):
            with open(os.path.join(folder, name), encoding='utf-8') as file:
                equal(function[key], file.read().strip(), f'{function["address"]} {key}')
        driver = os.path.join(folder, 'driver')
        equal(function.get('driver'), os.path.basename(os.readlink(driver)) if os.path.islink(driver) else None, 'driver')
    program.expect(0, 'topology', '-o', 'm.ini')
    program.expect(0, 'replay', '-c', 'm.ini', BOOT)


@case('host/what-is-not-root-s-is-said')
def not_root():
    if not os.path.isdir(DEVICES) or not os.listdir(DEVICES):
        raise Skipped('this host has no PCI')
    if os.getuid() == 0:
        os.chmod('.', 0o755)
        try:
            done = subprocess.run([program.path, 'topology', '--json'], capture_output=True, user=65534, group=65534,
                                  extra_groups=[], check=False)
        except PermissionError:
            raise Skipped('the program cannot be run by somebody else here') from None
    else:
        done = subprocess.run([program.path, 'topology', '--json'], capture_output=True, check=False)
    result = Result(['topology'], done.returncode, done.stdout.decode(), done.stderr.decode())
    equal(result.code, 0, 'exit', result)
    functions = json.loads(result.out)['functions']
    equal([function['address'] for function in functions], sorted(os.listdir(DEVICES)), 'all are listed')
    for function in functions:
        with open(os.path.join(DEVICES, function['address'], 'config'), 'rb') as file:
            header = file.read(64)
        if function['config_bytes'] == 64 and header[6] & 0x10:
            equal(function['not_read'], ['capabilities', 'extended capabilities'], 'is said')
            check('msix' not in function, 'does not say what it cannot know', function)


def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write(path, text)


def made_up():
    """A sysfs with a root port and an NVMe controller behind an Intel IOMMU."""
    for address, space, resource in (('0000:00:01.0', bridge(), '0x0 0x0 0x0\n' * 17),
                                     ('0000:01:00.0', nvme(), '0x20fe600000 0x20fe603fff 0x140204\n' + '0x0 0x0 0x0\n' * 12)):
        device = f'sys/bus/pci/devices/{address}'
        put(f'{device}/config', bytes(space.bytes))
        put(f'{device}/resource', resource)
        put(f'{device}/irq', '0\n')
        for name, at, form in ('vendor', 0, 'H'), ('device', 2, 'H'):
            put(f'{device}/{name}', f'0x{space.get(at, form):04x}\n')
        put(f'{device}/class', f'0x{space.get(8, "I") >> 8:06x}\n')
    device = 'sys/bus/pci/devices/0000:01:00.0'
    os.symlink('../../../../bus/pci/drivers/nvme', f'{device}/driver')
    os.symlink('../../../../kernel/iommu_groups/14', f'{device}/iommu_group')
    os.symlink('../../../../devices/virtual/iommu/dmar1', f'{device}/iommu')
    put('sys/kernel/iommu_groups/14/type', 'DMA-FQ\n')
    put('sys/kernel/iommu_groups/14/reserved_regions',
        '0x00000000fee00000 0x00000000feefffff msi\n0x000000007b800000 0x000000007fffffff direct\n')
    put('sys/class/iommu/dmar1/intel-iommu/cap', f'{1 << 10 | 1 << 7:x}\n')
    put(f'{device}/dma_mask_bits', '64\n')
    put(f'{device}/nvme/nvme0/queue_count', '9\n')
    put(f'{device}/nvme/nvme0/sqsize', '1022\n')
    put(f'{device}/nvme/nvme0/nvme0n1/queue/logical_block_size', '512\n')
    put(f'{device}/nvme/nvme0/nvme0n1/queue/max_hw_sectors_kb', '512\n')


@case('host/made-up-sysfs')
def fake_sysfs():
    made_up()
    script = 'mount --bind sys /sys && exec "$0" "$@"'
    for unshare in ['unshare', '-m'], ['unshare', '-rm']:
        ready = subprocess.run([*unshare, 'sh', '-c', script, 'true'], capture_output=True, check=False)
        if ready.returncode == 0:
            break
    else:
        raise Skipped('nothing may be mounted here')

    def run(*args):
        done = subprocess.run([*unshare, 'sh', '-c', script, program.path, *args], capture_output=True, check=False)
        result = Result(list(args), done.returncode, done.stdout.decode(), done.stderr.decode())
        equal(result.code, 0, 'exit', result)
        return result.out
    functions = json.loads(run('topology', '--json'))['functions']
    equal([function['address'] for function in functions], ['0000:00:01.0', '0000:01:00.0'], 'functions')
    has({**functions[1], 'name': 'nvme'}, {'driver': 'nvme', 'iommu_group': 14, 'iommu_group_type': 'DMA-FQ', 'iommu': 'dmar1',
                                           'ats': True})
    equal(functions[1]['bars'][0]['size_bytes'], 16384, 'size of the BAR')
    check('iommu_group' not in functions[0], 'the port is in none', functions[0])
    check('IOMMU group 14 of dmar1, DMA-FQ' in run('topology'), 'for people')
    run('topology', '-o', 'm.ini')
    program.expect(0, 'replay', '-c', 'm.ini', '-o', 'out', BOOT)
    with open('out/machine.ini', encoding='utf-8') as file:
        used = file.read().splitlines()
    for wanted in ('hardware = intel', 'mode = lazy', 'levels = 4', 'caching-mode = yes', 'ats = yes', 'queues = 8',
                   'depth = 1023', 'mdts = 7', 'dma-bits = 64',
                   'reserved = 0xfee00000-0xfeefffff 0x7b800000-0x7fffffff'):
        check(wanted in used, f'{wanted!r} in', '\n'.join(used))


cases.main()
