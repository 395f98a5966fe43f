# SPDX-License-Identifier: MIT
"""One recording of the kernel's DMA and IOMMU layers as lines, and ways to make it wrong in one place.

Written from the format alone: which events belong together is worked out here once more, so that what verify says of a
place can be checked against it.
"""
import re

LINE = re.compile(r'^ *(?P<task>.+)-(?P<pid>\d+) +\[(?P<cpu>\d+)\] (?P<flags>\S+) +(?P<time>[\d.]+): (?P<name>\w+): ?'
                  r'(?P<body>.*)$')


class Event:
    """A line that is an event. `op` numbers what it belongs to: events of one stream between two of its boundaries."""

    def __init__(self, number, match):
        self.number = number
        self.cpu = int(match['cpu'])
        self.name = match['name']
        self.body = match['body']
        context = {'h': 'irq', 'H': 'irq', 's': 'softirq', 'z': 'nmi', 'Z': 'nmi'}.get(match['flags'][2])
        self.stream = (context, self.cpu) if context or match['pid'] == '0' else match['pid']
        self.op = None
        self.op_kind = None


class Recording:
    BEGIN = {'nvme_setup_cmd', 'dma_free', 'dma_free_attrs', 'fq_timeout', 'depot_work', 'dma_alloc_attrs'}
    END = {'nvme_complete_rq', 'block_rq_issue', 'dma_alloc', 'depot_work_ret'}

    def __init__(self, text):
        self.lines = text.split('\n')
        self.events = []
        for number, line in enumerate(self.lines, 1):
            match = None if line.startswith('#') else LINE.match(line)
            if match:
                self.events.append(Event(number, match))
        self.by_number = {event.number: event for event in self.events}
        self.group()
        iovads = [self.value(event, 'iovad', 0) for event in self.named('iova_alloc')]
        self.iovad = max(set(iovads), key=iovads.count) if iovads else None

    def group(self):
        """Numbers the ops: a pool that grows, in the middle of a command, belongs to the command."""
        open_op, ops = {}, 0
        self.members = {}
        for event in self.events:
            op = open_op.get(event.stream)
            inside = op is not None and self.members[op][0].name == 'nvme_setup_cmd'
            if op is None or (event.name in self.BEGIN and not (inside and event.name == 'dma_alloc_attrs')):
                ops += 1
                op = open_op[event.stream] = ops
                self.members[op] = []
            event.op = op
            self.members[op].append(event)
            if event.name in self.END and not (inside and event.name == 'dma_alloc'):
                open_op[event.stream] = None

    def named(self, *names):
        return [event for event in self.events if event.name in names]

    def value(self, event, key, base=0):
        match = re.search(rf'(?:^| ){key}=(-?\w+)', event.body)
        return int(match[1], base) if match else None

    def ours(self, *names):
        """The events of these names that are about the domain of the controller."""
        return [event for event in self.named(*names)
                if 'iovad=' not in event.body or self.value(event, 'iovad') == self.iovad]

    def text(self):
        return '\n'.join(self.lines)

    def edit(self, number, old, new):
        """Returns the text with OLD replaced by NEW in line NUMBER, where it stands once or first."""
        line = self.lines[number - 1]
        assert old in line and old != new, (line, old, new)
        lines = self.lines.copy()
        lines[number - 1] = line.replace(old, new, 1)
        return '\n'.join(lines)


def other(number, choice):
    """Returns NUMBER with something of it changed."""
    return number ^ choice


def field(names, key, change, hexadecimal=None, wanted=lambda recording, event: True):
    """Returns a mutation: in one event of NAMES the value of KEY becomes what CHANGE(random, value) makes of it."""
    def mutate(recording, random):
        places = [event for event in recording.ours(*names)
                  if re.search(rf'(?:^| ){key}=', event.body) and wanted(recording, event)]
        if not places:
            return None
        event = random.choice(places)
        text = re.search(rf'(?:^| )({key}=)(\w+)', event.body)
        bare = hexadecimal and not text[2].startswith('0x')
        value = int(text[2], 16 if bare else 0)
        new = change(random, value)
        new = f'{new:x}' if bare else (f'0x{new:x}' if text[2].startswith('0x') else str(new))
        return event.number, recording.edit(event.number, text[1] + text[2], text[1] + new)
    return mutate


def bit(low, high):
    return lambda random, value: value ^ 1 << random.randint(low, high)


def larger(unit):
    return lambda random, value: value + unit * random.randint(1, 3)


def direction(random, value):
    return 3 - value


def word(names, pairs):
    """Returns a mutation that replaces one word by another in one event of NAMES."""
    def mutate(recording, random):
        places = [(event, old, new) for event in recording.ours(*names) for old, new in pairs if old in event.body]
        if not places:
            return None
        event, old, new = random.choice(places)
        return event.number, recording.edit(event.number, old, new)
    return mutate


def pattern(names, regex, change, wanted=lambda recording, event: True):
    """Returns a mutation: in one event of NAMES the hexadecimal number that REGEX's group is changes."""
    def mutate(recording, random):
        places = [event for event in recording.ours(*names) if re.search(regex, event.body) and wanted(recording, event)]
        if not places:
            return None
        event = random.choice(places)
        match = re.search(regex, event.body)
        new = event.body[:match.start(1)] + f'{change(random, int(match[1], 16)):x}' + event.body[match.end(1):]
        return event.number, recording.edit(event.number, event.body, new)
    return mutate


def removed(names, wanted=lambda recording, event: True):
    def mutate(recording, random):
        places = [event for event in recording.ours(*names) if wanted(recording, event)]
        if not places:
            return None
        event = random.choice(places)
        lines = recording.lines.copy()
        lines[event.number - 1] = '#'  # so that the others keep their numbers
        return event.number, '\n'.join(lines)
    return mutate


def doubled(names, wanted=lambda recording, event: True):
    """One event twice, in place of a comment: the numbers of lines stay."""
    def mutate(recording, random):
        places = [event for event in recording.ours(*names) if wanted(recording, event)]
        if not places:
            return None
        event = random.choice(places)
        lines = recording.lines.copy()
        del lines[next(i for i, line in enumerate(lines) if line.startswith('#'))]
        lines.insert(event.number - 1, recording.lines[event.number - 1])
        return event.number, '\n'.join(lines)
    return mutate


def swapped(first, second):
    """Two events of one op that follow each other, FIRST and SECOND, change places; their times stay."""
    def mutate(recording, random):
        places = []
        for members in recording.members.values():
            for a, b in zip(members, members[1:]):
                if a.name == first and b.name == second:
                    places.append((a, b))
        if not places:
            return None
        a, b = random.choice(places)
        lines = recording.lines.copy()
        lines[a.number - 1] = lines[a.number - 1].replace(f'{a.name}: {a.body}', f'{b.name}: {b.body}')
        lines[b.number - 1] = lines[b.number - 1].replace(f'{b.name}: {b.body}', f'{a.name}: {a.body}')
        return a.number, '\n'.join(lines)
    return mutate


def of_command(recording, event):
    """Whether a command that is seen from beginning to end caused EVENT."""
    members = recording.members[event.op]
    return members[0].name == 'nvme_setup_cmd' or members[-1].name == 'nvme_complete_rq'


def of_domain(recording, event):
    return re.search(r'iotlb_inv \w+: 0x3', event.body) is not None


def of_something(recording, event):
    """Whether memory is given back: the driver does so with none as well."""
    return recording.value(event, 'size') != 0


def of_disk(recording, event):
    """Whether the command EVENT is for says which way its data goes."""
    return 'cmd=(nvme_cmd_' in recording.members[event.op][0].body


def of_several(recording, event):
    """Whether the command EVENT is for has several segments."""
    return sum(member.name == 'link' for member in recording.members[event.op]) > 1


MUTATIONS = {
    'recorded pfn': field(['iova_alloc_ret'], 'pfn', bit(0, 6), wanted=of_command),
    'iova_alloc size': field(['iova_alloc'], 'size', larger(1)),
    'iova_alloc limit': field(['iova_alloc'], 'limit', bit(0, 12)),
    'iova_alloc flush': field(['iova_alloc'], 'flush', bit(0, 0)),
    'iova_free pfn': field(['iova_free'], 'pfn', bit(0, 12)),
    'iova_free size': field(['iova_free'], 'size', larger(1)),
    'iova_free missing': removed(['iova_free']),
    'iova_free twice': doubled(['iova_free']),
    'iova_alloc missing': removed(['iova_alloc']),
    'iova_alloc_ret missing': removed(['iova_alloc_ret']),
    'iova_free_ret missing': removed(['iova_free_ret']),
    'try_alloc missing': removed(['try_alloc'], wanted=of_several),
    'destroy missing': removed(['destroy']),
    'map_nosync_ret missing': removed(['map_nosync_ret']),
    'dma_map_phys missing': removed(['dma_map_phys']),
    'dma_unmap_phys missing': removed(['dma_unmap_phys']),
    'dma_alloc missing': removed(['dma_alloc'], wanted=of_something),
    'dma_free missing': removed(['dma_free'], wanted=of_something),
    'try_alloc phys': field(['try_alloc'], 'phys', bit(0, 11)),
    'try_alloc size': field(['try_alloc'], 'size', larger(512)),
    'link phys': field(['link'], 'phys', bit(0, 30)),
    'link off': field(['link'], 'off', larger(512)),
    'link size': field(['link'], 'size', larger(512)),
    'link dir': field(['link'], 'dir', direction),
    'link missing': removed(['link']),
    'destroy sz': field(['destroy'], 'sz', larger(4096)),
    'destroy len': field(['destroy'], 'len', larger(512)),
    'destroy dir': field(['destroy'], 'dir', direction),
    'map_nosync iova': field(['map_nosync'], 'iova', bit(12, 30)),
    'map_nosync paddr': field(['map_nosync'], 'paddr', bit(12, 30), wanted=of_command),
    'map_nosync size': field(['map_nosync'], 'size', larger(4096), wanted=of_command),
    'map_nosync prot': field(['map_nosync'], 'prot', bit(0, 2)),
    'map_nosync missing': removed(['map_nosync']),
    'map_nosync twice': doubled(['map_nosync']),
    'map_nosync_ret ret': word(['map_nosync_ret'], [('ret=0', 'ret=-12')]),
    'map iova': pattern(['map'], r' iova=0x(\w+)', bit(12, 30)),
    'map paddr': pattern(['map'], r' paddr=0x(\w+)', bit(12, 30), wanted=of_command),
    'map size': field(['map'], 'size', larger(4096), wanted=of_command),
    'map missing': removed(['map'], wanted=of_command),
    'unmap iova': pattern(['unmap'], r' iova=0x(\w+)', bit(12, 30)),
    'unmap size': field(['unmap'], 'size', larger(4096)),
    'unmap unmapped_size': field(['unmap'], 'unmapped_size', larger(4096)),
    'unmap missing': removed(['unmap']),
    'unmap twice': doubled(['unmap']),
    'dma_map_phys size': field(['dma_map_phys'], 'size', larger(512)),
    'dma_map_phys phys_addr': field(['dma_map_phys'], 'phys_addr', bit(0, 30), hexadecimal=True),
    'dma_map_phys dma_addr': field(['dma_map_phys'], 'dma_addr', bit(0, 30), hexadecimal=True),
    'dma_map_phys dir': word(['dma_map_phys'], [('FROM_DEVICE', 'TO_DEVICE'), ('dir=TO_DEVICE', 'dir=FROM_DEVICE')]),
    'dma_unmap_phys size': field(['dma_unmap_phys'], 'size', larger(512)),
    'dma_unmap_phys dma_addr': field(['dma_unmap_phys'], 'dma_addr', bit(0, 30), hexadecimal=True),
    'dma_unmap_phys dir': word(['dma_unmap_phys'], [('FROM_DEVICE', 'TO_DEVICE'), ('dir=TO_DEVICE', 'dir=FROM_DEVICE')]),
    'dma_map_page offset': field(['dma_map_page'], 'offset', bit(0, 11)),
    'dma_map_page size': field(['dma_map_page'], 'size', larger(512)),
    'dma_map_page dir': field(['dma_map_page'], 'dir', direction, wanted=of_disk),
    'dma_unmap_page addr': field(['dma_unmap_page'], 'addr', bit(0, 30)),
    'dma_unmap_page size': field(['dma_unmap_page'], 'size', larger(512)),
    'dma_unmap_page dir': field(['dma_unmap_page'], 'dir', direction),
    'dma_map_sg dir': field(['dma_map_sg'], 'dir', direction),
    'dma_alloc dma_addr': field(['dma_alloc'], 'dma_addr', bit(12, 30), hexadecimal=True),
    'dma_alloc size': field(['dma_alloc'], 'size', larger(4096)),
    'dma_alloc_attrs size': field(['dma_alloc_attrs'], 'size', larger(4096)),
    'dma_free dma_addr': field(['dma_free'], 'dma_addr', bit(12, 30), hexadecimal=True, wanted=of_something),
    'dma_free size': field(['dma_free'], 'size', larger(4096), wanted=of_something),
    'dma_free_attrs dma': field(['dma_free_attrs'], 'dma', bit(12, 30), wanted=of_something),
    'dma_free_attrs size': field(['dma_free_attrs'], 'size', larger(4096), wanted=of_something),
    'pool_alloc missing': removed(['pool_alloc']),
    'pool_alloc twice': doubled(['pool_alloc']),
    'pool_free dma': field(['pool_free'], 'dma', bit(8, 20)),
    'pool_free missing': removed(['pool_free']),
    'invalidated range': pattern(['cache_tag_flush_range', 'cache_tag_flush_range_np'], r'\[0x(\w+)-', bit(12, 30)),
    'invalidated range end': pattern(['cache_tag_flush_range', 'cache_tag_flush_range_np'], r'-0x(\w+)\]', bit(12, 30)),
    'invalidation missing': removed(['cache_tag_flush_range']),
    'descriptor kind': pattern(['qi_submit'], r'iotlb_inv \w+: 0x(\w+)', bit(4, 7), wanted=of_domain),
    'descriptor address': pattern(['qi_submit'], r'iotlb_inv \w+: 0x\w+ 0x(\w+)', bit(12, 30), wanted=of_domain),
    'descriptor mask': pattern(['qi_submit'], r'iotlb_inv \w+: 0x\w+ 0x(\w+)', bit(0, 5), wanted=of_domain),
    'descriptor hint': pattern(['qi_submit'], r'iotlb_inv \w+: 0x\w+ 0x(\w+)', bit(6, 6), wanted=of_domain),
    'descriptor missing': removed(['qi_submit'], wanted=of_domain),
    'unmap after invalidation': swapped('unmap', 'cache_tag_flush_range'),
    'unmap after descriptor': swapped('unmap', 'qi_submit'),
    'free before descriptor': swapped('qi_submit', 'iova_free'),
    'alloc answered first': swapped('iova_alloc', 'iova_alloc_ret'),
    'map before answer': swapped('iova_alloc_ret', 'map_nosync'),
    'free before unmap': swapped('unmap', 'iova_free'),
}
