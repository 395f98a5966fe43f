# SPDX-License-Identifier: MIT
"""Published measurements beside the simulator: is their shape the same?

    shapes.py IOMMUSIM MAKE-TRACE IOTLB-REACH FIXTURES [--write=docs/model/time.md] [--case=NAME]

Each case replays loads of make-trace on fixtures/machines/shape-NAME.ini, and holds what comes out against what was
published, within a band that is stated beside it: orders and ratios, never absolute times. The table is that of
docs/model/time.md, between the two marks there. What is known not to be reached says so (KNOWN); exit 1 when a verdict is not
the one that is known.
"""
import csv
import json
import os
import subprocess
import sys
import tempfile

MARKS = '<!-- shapes -->\n', '<!-- end of shapes -->\n'
HEAD = '| case | published | here | shape that counts | reached |\n|---|---|---|---|---|\n'
# Cases whose shape is not reached; docs/model/time.md says why.
KNOWN = set()


class Bench:
    def __init__(self, iommusim, make_trace, iotlb_reach, fixtures, scratch):
        self.iommusim, self.maker, self.reach_program = iommusim, make_trace, iotlb_reach
        self.fixtures, self.scratch = fixtures, scratch
        self.traces = {}

    def machine(self, name):
        return os.path.join(self.fixtures, 'machines', f'shape-{name}.ini')

    def trace(self, **options):
        """A load of random 4 KiB reads that all come at once: who waits is as many as the queues let in. The same options
        are the same trace."""
        options = {'ios': 10000, 'cpus': 1, 'depth': 32, 'rate': 1000000000, 'reads': 100, **options}
        key = tuple(sorted(options.items()))
        if key not in self.traces:
            path = os.path.join(self.scratch, f'load{len(self.traces)}')
            subprocess.run([self.maker, path, *(f'{name}={value}' for name, value in key)], check=True)
            self.traces[key] = path + '.blktrace.0'
        return self.traces[key]

    def run(self, name, traces, *settings, results=None):
        """Returns the results of one replay; RESULTS: a folder for all of them."""
        done = subprocess.run([self.iommusim, 'replay', '--json', '--progress=never', '-c', self.machine(name),
                               *(f'--set={setting}' for setting in settings),
                               *(['-o', results] if results else []), *traces],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f'{name} {settings}: exit {done.returncode}\n{done.stderr}')
        return json.loads(done.stdout)

    def rate(self, *args):
        """Returns requests a second of one replay, in millions."""
        return rate_of(self.run(*args))

    def reach(self, pages, size):
        """Returns misses and entries read a packet, and the part of the rate that was reached."""
        done = subprocess.run([self.reach_program, self.machine('reach'), str(pages), size, '20000', '200'],
                              capture_output=True, text=True, check=True)
        return [int(word) / 1000 for word in done.stdout.split()]


def rate_of(results):
    replay = results['replay']
    return replay['ios'] / replay['elapsed_ns'] * 1e3


def young_and_old(folder):
    """Returns the rates, in millions a second, of the first row of a time line and of the second half of its rows."""
    with open(os.path.join(folder, 'timeline.csv'), encoding='utf-8') as file:
        rows = [(int(row['end_ns']), int(row['ios'])) for row in csv.DictReader(file)]
    half, last = len(rows) // 2, len(rows) - 2  # the last row is not full
    return (rows[0][1] / rows[0][0] * 1e3,
            sum(ios for _, ios in rows[half + 1:last + 1]) / (rows[last][0] - rows[half][0]) * 1e3)


def percent(part):
    return f'{round(100 * part)} %'


def case_many_cpus(bench):
    traces = [bench.trace(ios=40000, cpus=72, seed=seed) for seed in range(1, 5)]
    passthrough, lazy, strict = (bench.rate('many-cpus', traces, f'iommu.mode={mode}')
                                 for mode in ('passthrough', 'lazy', 'strict'))
    return ('strict, lazy, passthrough on many CPUs', '2.8 / 16.4 / 16.5 M IOPS on two sockets: 17 %, 99 %',
            f'{strict:.1f} / {lazy:.1f} / {passthrough:.1f} M IOPS on one: '
            f'{percent(strict / passthrough)}, {percent(lazy / passthrough)}',
            'strict 8 to 35 % of passthrough, lazy 95 % or more',
            0.08 <= strict / passthrough <= 0.35 and lazy / passthrough >= 0.95)


def case_allocators(bench):
    cpus = (1, 2, 4, 8, 16)
    rates = {}
    for count in cpus:
        traces = [bench.trace(ios=8000 * count, cpus=count)]
        rates['none', count] = bench.rate('allocators', traces, 'iommu.mode=passthrough')
        for allocator in ('tree', 'rcache'):
            rates[allocator, count] = bench.rate('allocators', traces, f'iommu.allocator={allocator}')
    part = {key: rate / rates['none', key[1]] for key, rate in rates.items()}
    shown = {allocator: ', '.join(percent(part[allocator, count]) for count in cpus)
             for allocator in ('tree', 'rcache')}
    return ('allocators, 1 to 16 CPUs', 'of no IOMMU: one lock collapses; magazines 88–100 %',
            f'of no IOMMU, with {", ".join(map(str, cpus))} CPUs: tree {shown["tree"]}; '
            f'magazines {shown["rcache"]}',
            'tree below 65 % at 16 CPUs and below its part at 8; magazines 88 % or more everywhere',
            part['tree', 16] < 0.65 and part['tree', 16] < part['tree', 8] and
            all(part['rcache', count] >= 0.88 for count in cpus))


def case_line_rate(bench):
    traces = [bench.trace(ios=30000, bytes=1536)]
    strict, lazy, none = (bench.rate('line-rate', traces, f'iommu.mode={mode}')
                          for mode in ('strict', 'lazy', 'passthrough'))
    return ('deferred flush on one CPU', '43 % of the line strict, 91 % deferred: 0.47 times',
            f'{percent(strict / none)} strict, {percent(lazy / none)} deferred: {strict / lazy:.2f} times',
            'strict 0.3 to 0.7 times deferred; deferred 80 % of the line or more',
            0.3 <= strict / lazy <= 0.7 and lazy / none >= 0.8)


def case_reach(bench):
    entries = 512 # of shape-reach.ini: VT-d's default
    pages = [entries // 4, entries // 2, entries * 2, entries * 8, entries * 32]
    small = {count: bench.reach(count, 'small') for count in pages}
    huge = {count: bench.reach(count, 'huge') for count in pages}
    below, above = small[pages[0]], small[pages[-1]]
    shown = ', '.join(f'{count}: {percent(small[count][2])}' for count in pages)
    return ('reach of the IOTLB', 'up to 20 % of 200 Gbit/s lost beyond it; nothing with 2 MiB mappings',
            f'of the rate, by pages of 4 KiB in use: {shown}; with 2 MiB mappings '
            f'{percent(min(part for _, _, part in huge.values()))} at least',
            '99 % or more within a quarter of the entries, 50 to 95 % beyond eight times; 99 % or more in 2 MiB',
            below[2] >= 0.99 and 0.5 <= above[2] <= 0.95 and above[0] > 0.9 and
            all(part >= 0.99 for _, _, part in huge.values()))


def case_walk_caches(bench):
    traces = [bench.trace(ios=40000, cpus=16)]
    none = bench.rate('walk-caches', traces, 'iommu.mode=passthrough')
    dropped, kept = (bench.run('walk-caches', traces, f'behaviour.vtd-invalidation-hint={hint}')
                     for hint in ('never', 'leaves'))
    reads = [run['iommu']['table_reads'] / run['iommu']['iotlb_misses'] for run in (dropped, kept)]
    return ('walk caches kept at unmaps', 'strict loses up to 60 %, next to nothing with them kept',
            f'entries read a miss {reads[0]:.1f} and {reads[1]:.1f}; of no IOMMU '
            f'{percent(rate_of(dropped) / none)} and {percent(rate_of(kept) / none)}',
            'four times fewer reads (2.5 or more) when kept; 30 to 60 % of the rate without, 95 % or more with them',
            reads[0] / reads[1] >= 2.5 and 0.3 <= rate_of(dropped) / none <= 0.6 and rate_of(kept) / none >= 0.95)


def case_ageing(bench):
    traces = [bench.trace(ios=1000000, cpus=128)]
    runs, young, old = {}, {}, {}
    for depot in ('array-32', 'trimmed'):
        folder = os.path.join(bench.scratch, depot)
        runs[depot] = bench.run('ageing', traces, f'behaviour.iova-depot={depot}', results=folder)
        young[depot], old[depot] = young_and_old(folder)
    tree = {depot: run['iova']['tree_allocs'] / run['iova']['allocs'] for depot, run in runs.items()}
    held = {depot: lock['hold_sum_ns'] / run['replay']['elapsed_ns']
            for depot, run in runs.items() for lock in run['locks'] if lock['name'] == 'IOVA tree'}
    return ('ageing with 32 magazines', '1.6 M IOPS fall to 0.6 M over hours: 38 %',
            f'{young["array-32"]:.2f} M IOPS at first, {old["array-32"]:.2f} M in the second half of a second: '
            f'{percent(old["array-32"] / young["array-32"])}; without a limit {young["trimmed"]:.2f} and '
            f'{old["trimmed"]:.2f} M. From the tree {percent(tree["array-32"])} and {percent(tree["trimmed"])} of the '
            f'allocations; its lock is held {percent(held["array-32"])} and {percent(held["trimmed"])} of the time',
            'the rate falls below 60 %, without a limit not below 95 %; the tree serves five times as many',
            old['array-32'] / young['array-32'] < 0.6 and old['trimmed'] / young['trimmed'] >= 0.95 and
            tree['array-32'] / tree['trimmed'] >= 5)


def case_virtio(bench):
    published = {4: 2.8, 16: 4.7, 64: 3.6, 128: 3.6}
    ratios = {}
    for kib in published:
        traces = [bench.trace(ios=2000, bytes=kib * 1024)]
        mapped = bench.rate('virtio', traces)
        ratios[kib] = bench.rate('virtio', traces, 'iommu.mode=passthrough', 'nvme.dma-bits=32') / mapped
    return ('copying against mapping, virtio-iommu',
            ', '.join(f'{kib} KiB: {ratio}' for kib, ratio in published.items()) + ' times',
            ', '.join(f'{kib} KiB: {ratio:.1f}' for kib, ratio in ratios.items()) + ' times',
            'each within a factor of 1.5 of the published one; most at 16 KiB',
            all(1 / 1.5 <= ratios[kib] / published[kib] <= 1.5 for kib in published) and
            max(ratios, key=ratios.get) == 16)


CASES = {'many-cpus': case_many_cpus, 'allocators': case_allocators, 'line-rate': case_line_rate, 'reach': case_reach,
         'walk-caches': case_walk_caches, 'ageing': case_ageing, 'virtio': case_virtio}


def row_of(name, case):
    what, published, here, shape, reached = case
    return f'| {what} (`shape-{name}.ini`) | {published} | {here} | {shape} | {"yes" if reached else "**no**"} |\n'


def write_table(path, rows):
    with open(path, encoding='utf-8') as file:
        text = file.read()
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    with open(path, 'w', encoding='utf-8') as file:
        file.write(before + MARKS[0] + HEAD + ''.join(rows) + MARKS[1] + after)


def main():
    options = dict(word[2:].split('=', 1) for word in sys.argv[5:])
    rows, surprises = [], []
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(*sys.argv[1:5], scratch)
        for name, case in CASES.items():
            if options.get('case', name) != name:
                continue
            result = case(bench)
            rows.append(row_of(name, result))
            print(rows[-1], end='', flush=True)
            if result[-1] == (name in KNOWN):
                surprises.append(name)
    if 'write' in options:
        write_table(options['write'], rows)
    if surprises:
        sys.exit('not as is known: ' + ', '.join(surprises))


if __name__ == '__main__':
    main()
