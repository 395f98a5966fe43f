# SPDX-License-Identifier: MIT
"""docs/formats/iot.md in Python, both ways, and nothing but that page: what the program writes and reads is held against it."""
import struct
import zlib

MAGIC = b'\x89iot\r\n\x1a\n'
START, RECORDS, INDEX, END = 1, 2, 3, 4
OPS = ['read', 'write', 'flush', 'discard', 'write zeroes', 'passthrough']
M64 = (1 << 64) - 1


def var(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def diff(value):
    value &= M64
    return var((value << 1 & M64) ^ (M64 if value >> 63 else 0))


def size(count):
    return count << 1 | 1 if count % 512 else count >> 9 << 1


def frame(kind, payload, records=0, first=0, time_ns=0, magic=0x46746f69, crc=None, reserved=0):
    head = struct.pack('<IIIIQQI', magic, kind, len(payload), records, first, time_ns, reserved)
    return head + struct.pack('<I', zlib.crc32(head + payload) if crc is None else crc) + payload


def table(*names):
    return var(len(names)) + b''.join(var(number) + var(len(name)) + name for number, name in names)


def issue(op='read', time=0, cpu=0, device=0, lba=0, count=4096, command=None, segments=(), flags=0, same=False,
          before=(0, 0)):
    """SEGMENTS: (address, bytes, flags). BEFORE: the sector and the address behind the issue before in the frame."""
    first = OPS.index(op) << 1 | same << 4 | (command is not None) << 5 | bool(segments) << 6 | bool(flags) << 7
    out = bytes([first]) + (bytes([flags]) if flags else b'') + var(time) + var(cpu)
    out += (b'' if same else var(device)) + diff(lba - before[0]) + var(size(count))
    out += var(command[0]) + var(command[1]) if command is not None else b''
    if segments:
        out += var(len(segments))
    behind = before[1]
    for address, count_, what in segments:
        out += var(size(count_) << 2 | what) + diff(address - behind)
        behind = address + count_
    return out


def end(time=0, ago=0, cpu=0, how=0, error=0):
    return bytes([1 | how << 1 | bool(error) << 3]) + var(time) + var(ago) + var(cpu) + (diff(error) if error else b'')


def start(cpus=4, version=1):
    return frame(START, struct.pack('<II', version, cpus))


def tail(before, frames, issues, ends, cpus=4):
    """INDEX and END behind BEFORE, which has FRAMES: (offset, first, time)."""
    stride = 1
    while (len(frames) + stride - 1) // stride > 2048:
        stride *= 2
    entries = frames[::stride]
    index = struct.pack('<II', stride, len(entries)) + b''.join(struct.pack('<QQQ', *entry) for entry in entries)
    return frame(INDEX, index) + frame(END, struct.pack('<QQQII', len(before), issues, ends, cpus, 0))


def whole(*records, names=((0, b'259,0'),), cpus=4, issues=None, ends=None):
    """A file of one frame."""
    issues = sum(not record[0] & 1 for record in records) if issues is None else issues
    ends = len(records) - issues if ends is None else ends
    before = MAGIC + start(cpus)
    at = len(before)
    before += frame(RECORDS, table(*names) + b''.join(records), len(records))
    return before + tail(before, [(at, 0, 0)], issues, ends, cpus)


# ---- reading ----

class Reader:
    def __init__(self, payload):
        self.payload, self.at = payload, 0

    def byte(self):
        self.at += 1
        return self.payload[self.at - 1]

    def var(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def diff(self):
        value = self.var()
        return value >> 1 ^ (M64 if value & 1 else 0)

    def bytes(self, count):
        self.at += count
        return self.payload[self.at - count:self.at]


def unsize(value):
    return value >> 1 if value & 1 else value >> 1 << 9


def frames(data):
    """Yields (offset, kind, records, first, time, payload)."""
    assert data[:8] == MAGIC
    at = 8
    while at < len(data):
        magic, kind, count, records, first, time_ns, zero, crc = struct.unpack_from('<IIIIQQII', data, at)
        payload = data[at + 40:at + 40 + count]
        assert (magic, zero) == (0x46746f69, 0) and len(payload) == count <= 65536
        assert crc == zlib.crc32(data[at:at + 36] + payload)
        yield at, kind, records, first, time_ns, payload
        at += 40 + count


def decode(data):
    """Returns (cpus at the start, cpus at the end, issues, ends): a dict of each record, in order. Checks index and end."""
    issues, ends, seen, names, now = [], [], [], [], 0
    parts = list(frames(data))
    assert [part[1] for part in parts] == [START] + [RECORDS] * (len(parts) - 3) + [INDEX, END]
    version, cpus = struct.unpack('<II', parts[0][5])
    assert version == 1
    for at, _, records, first, time_ns, payload in parts[1:-2]:
        assert (first, time_ns) == (len(issues), now)
        seen.append((at, first, time_ns))
        reader = Reader(payload)
        local = []
        for _ in range(reader.var()):
            number, name = reader.var(), reader.bytes(reader.var())
            if number == len(names):
                names.append(name)
            assert names[number] == name
            local.append(name.decode())
        device = lba = paddr = None
        for _ in range(records):
            head = reader.byte()
            if head & 1:
                now += reader.var()
                number = len(issues) - reader.var()
                ends.append({'request': number, 'time': now, 'cpu': reader.var(), 'how': head >> 1 & 3,
                             'error': reader.diff() if head & 8 else 0})
                continue
            record = {'op': OPS[head >> 1 & 7], 'flags': reader.byte() if head & 128 else 0}
            now += reader.var()
            record['time'], record['cpu'] = now, reader.var()
            device = device if head & 16 else local[reader.var()]
            record['device'] = device
            record['lba'] = (lba or 0) + reader.diff() & M64
            record['bytes'] = unsize(reader.var())
            lba = record['lba'] + (record['bytes'] >> 9)
            record['command'] = (reader.var(), reader.var()) if head & 32 else None
            record['segments'] = []
            for _ in range(reader.var() if head & 64 else 0):
                packed = reader.var()
                address = (paddr or 0) + reader.diff() & M64
                record['segments'].append((address, unsize(packed >> 2), packed & 3))
                paddr = address + unsize(packed >> 2) & M64
            issues.append(record)
        assert reader.at == len(payload)
    ends_cpus = struct.unpack_from('<I', parts[-1][5], 24)[0]
    assert data[parts[-2][0]:] == tail(data[:parts[-2][0]], seen, len(issues), len(ends), ends_cpus)
    return cpus, ends_cpus, issues, ends
