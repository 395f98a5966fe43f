# SPDX-License-Identifier: MIT
"""What a file of trace events must be: the rules of "Trace Event Format", and those that sim/report/trace-events.h and
perfetto.h promise besides."""
import json
from decimal import Decimal

from tap import check, equal, read

MEMBERS = {'M': {'tid', 'args'}, 'X': {'tid', 'cat', 'ts', 'dur'}, 'i': {'tid', 'cat', 'ts', 's'}, 'C': {'ts', 'args'},
           's': {'tid', 'cat', 'id', 'ts'}, 't': {'tid', 'cat', 'id', 'ts'}, 'f': {'tid', 'cat', 'id', 'ts', 'bp'}}
NAMES = {'process_name': str, 'process_sort_index': int, 'thread_name': str, 'thread_sort_index': int}


def ns(us):
    """Times are in us, written with three decimals."""
    check(isinstance(us, Decimal) and us.as_tuple().exponent == -3 and us >= 0, f'not a time: {us!r}')
    return int(us * 1000)


class Track:
    """The events of one track, in the order of the file."""

    def __init__(self):
        self.last = 0
        self.open = []  # slices that the last event is in: (from, to), outermost first
        self.slice = None

    def at(self, time, event):
        check(time >= self.last, f'goes back from {self.last} ns', event)
        self.last = time

    def add(self, begin, end, event):
        self.at(begin, event)
        while self.open and self.open[-1][1] <= begin:
            self.open.pop()
        check(not self.open or end <= self.open[-1][1], f'overlaps a slice that ends at {self.open and self.open[-1][1]} ns', event)
        self.slice = event
        self.open.append((begin, end))

    def bind(self, time, event):
        """An arrow holds on to the slice before it, in which it is."""
        self.at(time, event)
        check(self.slice and ns(self.slice['ts']) <= time <= ns(self.slice['ts']) + ns(self.slice['dur']),
              f'no slice around it: {self.slice}', event)
        return self.slice


class Trace:
    """A file that was found to be right."""

    def __init__(self, path):
        document = json.loads(read(path), parse_float=Decimal)
        equal(sorted(document), ['displayTimeUnit', 'otherData', 'traceEvents'], 'members')
        equal(document['displayTimeUnit'], 'ns', 'unit')
        self.events, self.other = document['traceEvents'], document['otherData']
        self.groups, self.names, self.tracks, self.flows, self.counters = {}, {}, {}, {}, {}
        self.slices = []
        for event in self.events:
            self.check_event(event)
        for number, flow in self.flows.items():
            phases = [phase for phase, _, _ in flow]
            check(phases[0] == 's' and phases[-1] == 'f' and set(phases[1:-1]) <= {'t'}, f'arrow {number}: {phases}')
            times = [time for _, time, _ in flow]
            equal(times, sorted(times), f'times of arrow {number}')
        for names in self.groups, {key: name for key, name in self.names.items()}:
            equal(len(set((key[0] if isinstance(key, tuple) else 0, name) for key, name in names.items())), len(names),
                  'names are those of one')
        check(len(self.events) == self.other['events'] <= self.other['limit'], 'limit', self.other)
        equal(len(self.flows), self.other['requests'], 'arrows')

    def check_event(self, event):
        phase = event.get('ph')
        check(phase in MEMBERS, 'phase', event)
        equal(set(event) - {'args'}, (MEMBERS[phase] | {'ph', 'name', 'pid'}) - {'args'}, 'members', event)
        check(isinstance(event['pid'], int) and isinstance(event['name'], str) and event['name'], 'pid and name', event)
        check('args' in event or 'args' not in MEMBERS[phase], 'args', event)
        if phase == 'M':
            return self.check_name(event)
        check(event['pid'] in self.groups, 'a group without a name', event)
        time = ns(event['ts'])
        if phase == 'C':
            return self.check_counter(event, time)
        key = event['pid'], event['tid']
        check(key in self.names, 'a track without a name', event)
        check(isinstance(event['cat'], str) and event['cat'], 'category', event)
        track = self.tracks.setdefault(key, Track())
        if phase == 'X':
            track.add(time, time + ns(event['dur']), event)
            self.slices.append(event)
        elif phase == 'i':
            equal(event['s'], 't', 'scope', event)
            track.at(time, event)
        else:
            equal(event.get('bp'), 'e' if phase == 'f' else None, 'binding', event)
            check(isinstance(event['id'], int) and event['id'] > 0, 'id', event)
            self.flows.setdefault(event['id'], []).append((phase, time, track.bind(time, event)))

    def check_name(self, event):
        check(event['name'] in NAMES, 'kind', event)
        (kind, value), = event['args'].items()
        equal(event['name'].split('_', 1)[1], kind, 'args', event)
        check(isinstance(value, NAMES[event['name']]), 'value', event)
        if event['name'] == 'process_name':
            check(event['pid'] not in self.groups, 'twice', event)
            self.groups[event['pid']] = value
        elif event['name'] == 'thread_name':
            check((event['pid'], event['tid']) not in self.names, 'twice', event)
            check(event['pid'] in self.groups, 'a group without a name', event)
            self.names[event['pid'], event['tid']] = value

    def check_counter(self, event, time):
        (unit, value), = event['args'].items()
        check(isinstance(value, int) and value >= 0, f'{unit}', event)
        values = self.counters.setdefault((self.groups[event['pid']], event['name']), [])
        check(not values or time >= values[-1][0], 'goes back', event)
        values.append((time, value))

    def track_of(self, event):
        return self.groups[event['pid']], self.names[event['pid'], event['tid']]

    def of(self, *names):
        return [event for event in self.slices if event['name'] in names]
