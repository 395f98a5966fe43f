# SPDX-License-Identifier: MIT
"""What holds in every run, whatever the machine: nothing is lost, in flight = rate x time, nothing is in use for longer than time
passes, the CPU's time is what its work costs, percentiles grow, and a run repeats. test-laws.py IOMMUSIM"""
import json
import os
import sys

from tap import FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()

COLUMNS = '--csv=time:ns,op,offset:sectors,size:bytes'
COSTS = ['block-submit', 'block-complete', 'iova-cache', 'iova-tree', 'iova-tree-step', 'pte-write', 'pt-page', 'cache-line',
         'lock-handover', 'cache-sync', 'copy', 'invalidate-submit', 'invalidate-work', 'invalidate-page', 'invalidate-wait',
         'mmio-read', 'mmio-write', 'doorbell', 'interrupt', 'thread-wake', 'host-exit', 'host-map', 'host-page']


def requests(ops, gap_ns, count=300, bytes=4096, sizes=1):
    return ''.join(f'{i * gap_ns},{ops[i % len(ops)]},{i * 7919 % 100000 * 8},{bytes * (1 + i % sizes)}\n'
                   for i in range(count))


LOADS = {
    'burst': requests('RW', 1, sizes=32),
    'hours': ''.join(f'{i // 10 * 3600 * 10 ** 9 + i % 10 * 100},R,{8 * i},4096\n' for i in range(60)),
    'flushes': requests('F', 1000, bytes=0),
    'discards': requests('D', 1000, bytes=32768),
    'large': requests('RW', 1000, count=12, bytes=4 << 20),
    'small': requests('RW', 200, bytes=512),
    'one': '0,R,0,4096\n',
}
RECORDED = {name: [os.path.join(FIXTURES, 'traces', file)] for name, file in
            (('loop', 'loop-mix.blktrace'), ('boot', 'v7.0-strict-ext4.trace.txt.zst'), ('boot-6.1', 'v6.1-strict-ext4.trace.txt.zst'))}
RECORDED['two'] = RECORDED['loop'] * 2


def costs(ns):
    return [f'cost.{name}-ns={ns}' for name in COSTS]


SETTINGS = {
    'default': [], 'free': costs(0), 'dear': costs(1000000), '1-cpu': ['machine.cpus=1'], '128-cpus': ['machine.cpus=128'],
    'depth-2': ['nvme.depth=2'], 'one-queue': ['nvme.queues=1', 'machine.cpus=4'],
    'narrow': ['pcie.generation=1', 'pcie.lanes=1', 'pcie.tags=1', 'pcie.payload=128', 'pcie.read-request=128', 'pcie.latency=10us'],
    'wide': ['pcie.generation=5', 'pcie.lanes=16', 'pcie.payload=4096', 'pcie.read-request=4096', 'pcie.latency=0'],
    'plain-link': ['nvme.link-mb-s=100'],
    'one-walker': ['iotlb.walkers=1', 'iotlb.memory-ns=50000', 'iotlb.entries=0', 'iotlb.walk-entries=0'],
    'ats': ['iotlb.ats=yes'],
    'exponential': ['nvme.service=exponential'], 'lognormal': ['nvme.service=lognormal', 'nvme.service-spread=300'],
    'recorded': ['nvme.service=recorded'], 'one-channel': ['nvme.channels=1'],
    'no-latency': ['nvme.read-latency=0', 'nvme.write-latency=0', 'nvme.fetch-latency=0'],
    'polled': ['nvme.poll-queues=1'], 'threads': ['nvme.threaded-interrupts=yes'], 'incoherent': ['nvme.coherent=no'],
    'passthrough': ['iommu.mode=passthrough'], 'copied': ['iommu.mode=passthrough', 'nvme.dma-bits=32'],
    'untrusted': ['iommu.untrusted=yes'], 'lazy-single': ['iommu.mode=lazy', 'iommu.flush-queue=single'],
}
for hardware in 'intel', 'amd', 'arm-smmu-v3', 'virtio-iommu':
    for mode in 'strict', 'lazy':
        for allocator in 'rcache', 'tree':
            SETTINGS[f'{hardware}-{mode}-{allocator}'] = [f'iommu.hardware={hardware}', f'iommu.mode={mode}',
                                                          f'iommu.allocator={allocator}']
OPTIONS = {'closed': ['--mode=closed'], 'closed-1': ['--mode=closed', '--depth=1'], 'closed-1000': ['--mode=closed', '--depth=1000'],
           'open-2': ['--depth=2'], 'error': ['--fail=controller.status:5'], 'lost': ['--fail=controller.lost_completion:3']}


def replay(folder, trace, *options):
    done = program.run('replay', '--json', '--progress=never', '--limit=400', '-o', folder, *options, *trace,
                       env={'G_DEBUG': 'fatal-criticals'})
    check(done.code == 0 and done.err == '', 'a run without a word', done)
    kept, shown = json.loads(read(folder, 'run.json')), json.loads(done.out)
    for results in kept, shown:
        for key in 'host', 'options':
            results.pop(key, None)
    equal(kept, shown, 'run.json and --json')
    return kept


def rows(folder):
    head, *lines = read(folder, 'timeline.csv').splitlines()
    return [dict(zip(head.split(','), map(int, text.replace(',,,', ',0,0,').split(',')))) for text in lines]


def check_percentiles(found):
    grow = [found[f'latency_{key}_ns'] for key in ('p50', 'p90', 'p99', 'p999', 'max')]
    equal(grow, sorted(grow), 'percentiles')
    check(0 < found['count'] and found['latency_mean_ns'] <= grow[-1], found)


def check_shares(found, name=''):
    """No share above one, wherever it stands."""
    for key, value in found.items() if isinstance(found, dict) else enumerate(found):
        if isinstance(value, (dict, list)):
            check_shares(value, f'{name}/{key}')
        elif 'utilisation' in str(key):
            check(0 <= value <= 1000, f'{name}/{key}: {value}')


def check_line(folder, results):
    issued = ended = 0
    line = rows(folder)
    for row in line:
        issued += row['issued']
        ended += row['ios']
        equal(row['in_flight'], issued - ended, f'in flight at {row["end_ns"]}')
    equal((issued, ended), (results['replay']['ios'],) * 2, 'issued and ended')
    for column, total in (('bytes', results['replay']['data_bytes']), ('errors', results['replay']['errors']),
                          ('cpu_busy_ns', results['cpu']['busy_ns']), ('link_up_bytes', results['device']['link_up']['wire_bytes']),
                          ('link_down_bytes', results['device']['link_down']['wire_bytes'])):
        equal(sum(row[column] for row in line), total, f'sum of {column}')


def check_little(results):
    """Of runs in which all ended well: in flight over time is the sum of all latencies, but for what is rounded down."""
    told = results['replay']
    latencies = sum(kind['latency_mean_ns'] * kind['count'] for kind in told['latencies'])
    in_flight = told['in_flight_mean_thousandths'] * told['elapsed_ns'] // 1000
    check(in_flight <= latencies + told['ios'] and latencies <= in_flight + told['elapsed_ns'] // 1000 + 1,
          f'in flight {in_flight}, latencies {latencies} ns')
    check(max(kind['latency_max_ns'] for kind in told['latencies']) <= told['elapsed_ns'], 'none takes longer than the run')


def check_cpu(results):
    """Time of steps is what they cost and waited; each step is rounded up to a ns, each kind down."""
    cost = sum(kind['cost_ns'] for kind in results['cpu']['work_kinds'])
    waits = sum(lock['wait_sum_ns'] for lock in results['locks'])
    busy = results['cpu']['busy_ns']
    slack = len(COSTS) + sum(lock['waits'] for lock in results['locks']) + 4 * results['replay']['ios']
    check(abs(busy - cost - waits) <= slack, f'busy {busy}, cost {cost} and waits {waits}')


def holds(trace, *options):
    if trace in LOADS:
        path, files = write('load.csv', LOADS[trace]), [COLUMNS]
        files.append(path)
    else:
        files = RECORDED[trace]
    results = replay('out', files, *options)
    told = results['replay']
    for kind in told['latencies']:
        check_percentiles(kind)
    equal(sum(kind['count'] for kind in told['latencies']), told['ios'] - told['errors'], 'samples')
    equal(sum(kind['count'] for kind in told['ops']), told['ios'], 'requests by operation')
    equal(told['ios_per_s'], told['ios'] * 10 ** 9 // told['elapsed_ns'], 'rate')
    check_shares(results)
    check_line('out', results)
    check_cpu(results)
    if not told['errors']:
        check_little(results)
    again = replay('again', files, *options)
    equal(results, again, 'the same run again')
    equal(read('out', 'timeline.csv'), read('again', 'timeline.csv'), 'time line of the same run again')
    equal(read('out', 'end.snap'), read('again', 'end.snap'), 'end of the same run again')


for load in [*LOADS, *RECORDED]:
    cases.add(f'load/{load}', holds, load)
for what, chosen in SETTINGS.items():
    for load in 'burst', 'loop':
        cases.add(f'machine/{what}/{load}', holds, load, *[word for text in chosen for word in ('--set', text)])
for what, chosen in OPTIONS.items():
    for load in 'burst', 'two':
        cases.add(f'run/{what}/{load}', holds, load, *chosen)

cases.main()
