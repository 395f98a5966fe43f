# SPDX-License-Identifier: MIT
"""Simulated time obeys the laws of queues: closed forms, Little's law, conservation, utilisation. test-time.py IOMMUSIM"""
import json
import math
import os
import random
import re
import sys

from tap import FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

COLUMNS = '--csv=time:ns,op,offset:sectors,size:bytes'
TIMED = '--csv=time:us,op,offset:sectors,size:bytes,response:us'
SERVICE_NS = 10000


def run(*args, columns=COLUMNS, code=0):
    return json.loads(program.expect(code, 'replay', '--json', '--set', 'machine.cpus=1', columns, *args).out)


def near(value, expected, error, what):
    check(abs(value - expected) <= error * expected, f'{what}: {value}, not {expected} within {100 * error} %')


def free_machine(more=''):
    """A machine on which nothing takes time but its one channel, 10 us a read, and 5 ns of the link for 4 KiB."""
    program.expect(0, 'replay', '-o', 'any', os.path.join(FIXTURES, 'traces', 'synthetic-msr.csv'))
    text = read('any', 'machine.ini')
    costs = re.sub(r'^([\w-]+) = \d+$', r'\1 = 0', text[text.index('[cost]'):text.index('[behaviour]')], flags=re.M)
    return write('free.ini', costs + '[iommu]\nmode = passthrough\n[nvme]\nfetch-latency = 0\nchannels = 1\n'
                 f'read-latency = {SERVICE_NS}ns\nlink-mb-s = 1000000\n{more}')


def arrivals(name, count, gap, bytes=4096, op='R'):
    """COUNT requests; GAP returns the ns from one to the next."""
    at, lines = 0.0, []
    for i in range(count):
        lines.append(f'{round(at)},{op},{8 * i},{bytes}\n')
        at += gap()
    return write(name, ''.join(lines))


def poisson(name, count, mean_ns):
    rng = random.Random(20)
    return arrivals(name, count, lambda: rng.expovariate(1 / mean_ns))


def steady(name, count, gap_ns, **more):
    return arrivals(name, count, lambda: gap_ns, **more)


def latency(result):
    """Mean over all operations, and how many."""
    kinds = result['replay']['latencies']
    count = sum(kind['count'] for kind in kinds)
    return sum(kind['latency_mean_ns'] * kind['count'] for kind in kinds) / count, count


def rows(folder):
    head, *lines = read(folder, 'timeline.csv').splitlines()
    return [dict(zip(head.split(','), map(int, text.replace(',,,', ',0,0,').split(',')))) for text in lines]


# ---- closed forms ----

@case('closed-form/d-d-1-never-waits')
def _():
    result = run('-c', free_machine(), steady('d.csv', 2000, 2 * SERVICE_NS))
    equal(result['replay']['latencies'][0]['latency_max_ns'], SERVICE_NS + 5, 'the longest')
    near(result['device']['channel_utilisation_thousandths'] / 1000, 0.5, 0.01, 'utilisation')
    equal(result['device']['channel_wait_mean_ns'], 0, 'wait for the channel')


@case('closed-form/d-d-1-too-fast-waits-ever-longer')
def _():
    # The n-th waits for n halves of the service.
    count = 1000
    result = run('-c', free_machine(), steady('d.csv', count, SERVICE_NS // 2))
    equal(result['replay']['latencies'][0]['latency_max_ns'], SERVICE_NS + 5 + (count - 1) * SERVICE_NS // 2, 'the last')
    equal(result['device']['channel_wait_mean_ns'], (count - 1) * SERVICE_NS // 4, 'wait for the channel')


def served(name, load, service):
    path = poisson(name, 200000, SERVICE_NS / load)
    return run('-c', free_machine(f'service = {service}\n'), path)


@case('closed-form/m-m-1')
def _():
    # T = S / (1 - load); p50 and p99 of T are those of an exponential. 200000 samples at load 0.5: 3 %.
    result = served('m.csv', 0.5, 'exponential')
    mean, count = latency(result)
    expected = SERVICE_NS / (1 - 0.5)
    equal(count, 200000, 'samples')
    near(mean, expected, 0.03, 'mean')
    near(result['replay']['latencies'][0]['latency_p50_ns'], expected * math.log(2), 0.03, 'p50')
    near(result['replay']['latencies'][0]['latency_p99_ns'], expected * math.log(100), 0.05, 'p99')
    near(result['replay']['in_flight_mean_thousandths'] / 1000, 1, 0.04, 'in flight: load / (1 - load)')


@case('closed-form/m-d-1')
def _():
    # T = S (1 + load / (2 (1 - load))).
    for load in 0.5, 0.7:
        result = served(f'm{load}.csv', load, 'fixed')
        near(latency(result)[0], SERVICE_NS * (1 + load / (2 * (1 - load))), 0.03, f'mean at load {load}')
        near(result['device']['channel_utilisation_thousandths'] / 1000, load, 0.02, f'utilisation at load {load}')


@case('closed-form/m-g-1')
def _():
    # Pollaczek and Khinchine, with a standard deviation of half the mean: T = S (1 + load (1 + 1/4) / (2 (1 - load))).
    result = served('m.csv', 0.5, 'lognormal')
    near(latency(result)[0], SERVICE_NS * (1 + 0.5 * 1.25 / (2 * 0.5)), 0.03, 'mean')


# ---- laws ----

@case('little/in-flight-is-rate-times-time')
def _():
    # N is added up over time, T at the end of each request.
    path = poisson('p.csv', 40000, 4000)
    for machine in ('-c', free_machine('service = exponential\n'), '--set', 'nvme.channels=64'), ():
        result = run(*machine, path)
        mean, _ = latency(result)
        replay = result['replay']
        near(replay['in_flight_mean_thousandths'] / 1000, replay['ios'] * mean / replay['elapsed_ns'], 0.002, 'N')


@case('little/a-backlog-from-the-warm-up-is-told')
def _():
    # Twice the load that is served: what ended behind the warm-up waited for long before.
    path = steady('d.csv', 4000, SERVICE_NS // 2)
    for warmup in '10ms', '#1000':
        result = run('-c', free_machine(), f'--warmup={warmup}', path)
        mean, count = latency(result)
        replay = result['replay']
        check(replay['warmup_in_flight'] > 400, f'{warmup}: a backlog', replay)
        behind = mean * count - replay['warmup_carried_ns']
        near(replay['in_flight_mean_thousandths'] / 1000, behind / replay['elapsed_ns'], 0.001, f'{warmup}: N')
        check(mean * count > 1.01 * behind, f'{warmup}: which counts')


@case('conservation/issued-is-ended-and-in-flight')
def _():
    path = poisson('p.csv', 20000, 4000)
    for mode in 'open', 'closed':
        run(f'--mode={mode}', '--set', 'machine.timeline=1ms', '--snapshot-every=10ms', '-o', mode, path)
        issued = ended = checked = 0
        for row in rows(mode):
            issued += row['issued']
            ended += row['ios']
            equal(row['in_flight'], issued - ended, f'{mode}: in flight at {row["end_ns"]}')
            name = f'at-{row["end_ns"]}ns.snap'
            if os.path.exists(os.path.join(mode, name)):
                held = [text for text in read(mode, name).splitlines() if text.startswith('request ')]
                equal(len(held), issued - ended, f'{mode}: in the snapshot at {row["end_ns"]}')
                checked += 1
        equal((issued, ended), (20000, 20000), f'{mode}: at the end')
        check(checked > 2, f'{mode}: {checked} snapshots')


SHARES = ['channel_utilisation_thousandths', 'walker_utilisation_thousandths']


def shares(result):
    """What of CPUs, channels, walkers and the link was in use."""
    found = {name: result['device'][name] for name in SHARES}
    found['up'] = result['device']['link_up']['utilisation_thousandths']
    found['down'] = result['device']['link_down']['utilisation_thousandths']
    found['cpu'] = result['cpu']['utilisation_thousandths']
    return found


@case('utilisation/never-above-one-and-one-is-reached')
def _():
    small, large = steady('s.csv', 5000, 100), steady('l.csv', 1000, 100, bytes=131072)
    write_large = steady('w.csv', 1000, 100, bytes=131072, op='W')
    for what, path, sets in (('up', large, ['nvme.read-latency=1us']), ('down', write_large, ['nvme.write-latency=1us']),
                             ('channel_utilisation_thousandths', small, ['nvme.channels=1']),
                             ('walker_utilisation_thousandths', small,
                              ['iotlb.walkers=1', 'iotlb.memory-ns=5000', 'iotlb.entries=0', 'nvme.read-latency=1us']),
                             ('cpu', small, ['nvme.read-latency=1us', 'nvme.channels=1024'])):
        for mode in 'open', 'closed':
            found = shares(run(f'--mode={mode}', *[part for text in sets for part in ('--set', text)], path))
            check(max(found.values()) <= 1000, f'{what}, {mode}: {found}')
            check(found[what] >= 900, f'{what}, {mode}: {found}')


@case('link/few-tags-are-the-limit')
def _():
    # One tag: 512 bytes in each round trip of 500 ns and what they are on the wire.
    path = steady('w.csv', 200, 100, bytes=131072, op='W')
    result = run('--set', 'pcie.tags=1', '--set', 'nvme.write-latency=0', path)
    check(result['device']['tag_waits_link'] > 50000, result['device'])
    near(result['replay']['data_per_s_bytes'] / 1e6, 512 / 0.596, 0.02, 'MB/s')
    # Each command, its list and its data are read once, and nothing else: 256 reads, one or two more, and those of set-up.
    check(200 * 257 <= result['device']['link_reads'] <= 200 * 258 + 20, result['device'])


# ---- the warm-up ----

@case('warmup/is-left-out')
def _():
    path = steady('d.csv', 1000, 2 * SERVICE_NS)
    machine = free_machine()
    whole = run('-c', machine, path)
    for warmup in '#400', '8ms':
        result = run('-c', machine, f'--warmup={warmup}', path)
        replay = result['replay']
        equal(replay['ios'] + replay['warmup_ios'], 1000, f'{warmup}: I/Os')
        near(replay['warmup_ios'], 400, 0.01, f'{warmup}: in the warm-up')
        equal(replay['latencies'][0]['count'], replay['ios'], f'{warmup}: samples')
        equal(replay['data_bytes'], 4096 * replay['ios'], f'{warmup}: data')
        equal(replay['ops'], [{'op': 'read', 'count': replay['ios'] - replay['warmup_in_flight'],
                               'data_bytes': replay['data_bytes']}], f'{warmup}: issued behind it')
        equal(replay['elapsed_ns'] + replay['warmup_ns'], whole['replay']['elapsed_ns'], f'{warmup}: time')
        near(replay['ios_per_s'], 1e9 / (2 * SERVICE_NS), 0.01, f'{warmup}: rate')
        counts = {kind['name']: kind['count'] for kind in result['cpu']['work_kinds']}
        equal(counts['block_complete'], replay['ios'], f'{warmup}: completions')
        near(result['device']['channel_utilisation_thousandths'], 500, 0.01, f'{warmup}: utilisation')


@case('warmup/may-be-over-as-the-run-begins')
def _():
    # All that may be in flight is issued at once: at the time 0.
    path = steady('d.csv', 100, SERVICE_NS)
    done = program.expect(0, 'replay', '--json', '--progress=never', '-c', free_machine(), COLUMNS, '--mode=closed', '--depth=32',
                          '--warmup=#20', path)
    equal(done.err, '', 'no warning')
    replay = json.loads(done.out)['replay']
    equal([replay[key] for key in ('ios', 'warmup_ns', 'warmup_ios', 'warmup_in_flight', 'warmup_carried_ns')],
          [100, 0, 0, 20, 0], 'all ended behind it')
    equal(replay['ops'][0]['count'], 80, 'issued behind it')


@case('warmup/says-what-it-must-be')
def _():
    path = steady('d.csv', 10, 1000)
    equal(program.refuses('replay', COLUMNS, '--warmup=soon', path),
          '--warmup: "soon" must be a time such as 5ms, or #N for after N requests', 'the message')
    equal(program.refuses('replay', COLUMNS, '--mode=asap', '--warmup=1ms', path),
          '--warmup: with --mode=asap nothing is measured', 'the message')
    said = program.expect(0, 'replay', '--progress=never', '--set', 'machine.cpus=1', COLUMNS, '--warmup=1s', path).err
    equal(said, 'iommusim: warning: the run was over before its warm-up: nothing is left out\n', 'the warning')


# ---- recorded times ----

@case('recorded/each-takes-as-long-as-it-did')
def _():
    path = write('r.csv', ''.join(f'{1000 * i},R,{8 * i},4096,{100 + 10 * i}\n' for i in range(50)))
    machine = free_machine('service = recorded\n')
    for part in [], ['--scale=10'], ['--mode=closed'], ['--mode=closed', '--depth=3']:
        found = run('-c', machine, *part, path, columns=TIMED)['replay']['latencies'][0]
        equal((found['latency_mean_ns'], found['latency_max_ns']), (345000, 590000), f'mean and longest with {part}')
    skipped = run('-c', machine, '--skip=40', path, columns=TIMED)['replay']['latencies'][0]
    equal(skipped['latency_mean_ns'], 545000, 'mean of the last ten')


def recorded_load(name, gap_us=2000, least_us=25, sizes=(4096, 8192, 65536)):
    """Reads and writes, and how long each took; returns the trace and that, in ns, by operation."""
    rng = random.Random(9)
    took, lines = {'read': [], 'write': []}, []
    for i in range(3000):
        op, size, us = rng.choice(['read', 'write']), rng.choice(sizes), rng.randrange(least_us, least_us + 100)
        took[op].append(1000 * us)
        lines.append(f'{gap_us * i},{op[0].upper()},{256 * i},{size},{us}\n')
    return write(name, ''.join(lines)), took


def recorded_run(path, *settings):
    return run(*(word for setting in ('nvme.service=recorded', *settings) for word in ('--set', setting)), path, columns=TIMED)


@case('recorded/a-replay-gives-the-latencies-back')
def _():
    loads = {'small': recorded_load('small.csv'), 'split': recorded_load('split.csv', 4000, 400, (1 << 20,))}
    for machine in (['iommu.mode=passthrough'], ['iommu.mode=lazy'], ['iommu.mode=strict'], ['nvme.poll-queues=1'],
                    ['iommu.hardware=arm-smmu-v3', 'nvme.threaded-interrupts=yes'], ['nvme.link-mb-s=8000']):
        for load, (path, took) in loads.items():
            result = recorded_run(path, *machine)
            equal(result['device']['recorded_shorter'], 0, 'times that leave nothing to a channel')
            for kind in result['replay']['latencies']:
                times, what = sorted(took[kind['op']]), f'{kind["op"]} of {load} with {machine}'
                near(kind['latency_mean_ns'], sum(times) / len(times), 0.005, f'mean {what}')
                for part in 50, 90, 99:
                    near(kind[f'latency_p{part}_ns'], times[len(times) * part // 100], 0.02, f'p{part} {what}')


@case('recorded/without-an-iommu-its-cost-comes-on-top')
def _():
    path, took = recorded_load('small.csv')
    mean = sum(map(sum, took.values())) / 3000
    added = {mode: latency(recorded_run(path, 'nvme.recorded-iommu=none', f'iommu.mode={mode}'))[0] - mean
             for mode in ('passthrough', 'lazy', 'strict')}
    check(abs(added['passthrough']) < 20, 'nothing without one', added)
    check(100 < added['lazy'] < added['strict'] - 400, 'strict waits for its invalidations', added)


@case('recorded/without-an-iommu-pieces-share-a-doorbell')
def _():
    # 16 pieces at once, of 16 KiB, and one doorbell: by itself nothing is faster than it was.
    path, took = recorded_load('split.csv', 4000, 400, (1 << 18,))
    mean = sum(map(sum, took.values())) / 3000
    added = latency(recorded_run(path, 'nvme.recorded-iommu=none', 'iommu.mode=passthrough', 'nvme.mdts=2'))[0] - mean
    check(0 <= added < 500, 'a little, as interrupts fall between completions', added)


@case('recorded/what-is-shorter-than-the-way-is-counted')
def _():
    path, _ = recorded_load('short.csv', least_us=0, sizes=(4096,))
    result = recorded_run(path)
    check(10 < result['device']['recorded_shorter'] < 300, 'below some 4 us of 0 to 99', result['device'])


@case('recorded/a-lost-interrupt-teaches-nothing')
def _():
    path = write('lost.csv', ''.join(f'{40000000 * i},R,{8 * i},4096,100\n' for i in range(3)))
    result = run('--set', 'nvme.service=recorded', '--set', 'nvme.lost-completion=interrupt', '--fail=controller.lost_completion:1', path,
                 columns=TIMED)
    found = result['replay']['latencies'][0]
    check(found['latency_max_ns'] > 30000000000, 'the first waits for its time-out', found)
    near(found['latency_p50_ns'], 100000, 0.01, 'the others')
    equal(result['device']['recorded_shorter'], 0, 'of these')


@case('recorded/what-was-not-recorded-is-drawn-or-fixed')
def _():
    list_only = run('-c', free_machine('service = recorded\n'), steady('d.csv', 10, 100000))
    equal(list_only['replay']['latencies'][0]['latency_max_ns'], SERVICE_NS + 5, 'of a list of requests')
    said = program.refuses('replay', '--set', 'machine.cpus=1', '--set', 'nvme.service=recorded', COLUMNS, '-', stdin=b'0,R,0,4096\n')
    equal(said, '-: nvme.service = recorded reads a trace twice, which this cannot be', 'the message')


# ---- several controllers ----

@case('several/latencies-of-each')
def _():
    machine = free_machine()
    result = run('-c', machine, steady('a.csv', 100, 2 * SERVICE_NS), steady('b.csv', 50, SERVICE_NS // 2))
    counts = [trace['latencies'][0]['count'] for trace in result['traces']]
    equal(counts, [100, 50], 'samples')
    equal(result['traces'][0]['latencies'][0]['latency_max_ns'], SERVICE_NS + 5, 'the longest of the first')
    check(result['traces'][1]['latencies'][0]['latency_p99_ns'] > 20 * SERVICE_NS, 'the second waits')


cases.main()
