# SPDX-License-Identifier: MIT
"""Costs: they move time, and nothing else. What a run computes in a given order of calls is the same under any table of costs,
and what waits for one that serves one at a time waits as the closed form says. test-cost.py IOMMUSIM MAKE-TRACE SOURCE"""
import json
import os
import random
import re
import subprocess
import sys

from tap import BOOT_BLKTRACE, FIXTURES, Cases, Program, check, equal, read

program = Program(sys.argv[1])
MAKE_TRACE = os.path.abspath(sys.argv[2])
DOCS = os.path.join(sys.argv[3], 'docs', 'model', 'time.md')
MACHINES = os.path.join(sys.argv[3], 'fixtures', 'machines')
LOOP = os.path.join(FIXTURES, 'traces', 'loop-mix.blktrace')
cases = Cases()
case = cases.case


def load(**options):
    subprocess.run([MAKE_TRACE, 'load', *(f'{name}={value}' for name, value in options.items())], check=True)
    return 'load.blktrace.0'


def results(*args):
    return json.loads(program.expect(0, 'replay', '--json', *args).out)


def cost_keys():
    """Each key of [cost], its default and where that comes from, as a run writes them."""
    program.expect(0, 'replay', '--limit=1', '-o', 'plain', BOOT_BLKTRACE)
    group = read('plain', 'machine.ini').split('[cost]\n')[1].split('\n[')[0]
    return re.findall(r'# .* \(default: (.*)\)\n([a-z-]+) = (\d+)', group)


def sections(folder):
    """The snapshot without what is said about the run, without when something was done, and without the digest of the whole."""
    lines = read(folder, 'end.snap').splitlines()
    return [re.sub(r' time_ns=\d+', '', line) for line in lines if not line.startswith(('#', 'digest', 'iommusim-snapshot'))]


def random_costs(seed, keys):
    """A table of costs, from next to nothing to a hundred times the default."""
    drawn = random.Random(seed)
    return [f'--set=cost.{key}={drawn.choice([0, int(default) // 3, int(default) * 7 + 1, int(default) * 100])}'
            for _, key, default in keys]


@case('any-costs/the-same-state-asap')
def _():
    keys = cost_keys()
    trace = load(ios=3000, cpus=4, depth=64, remote=30, sizes=8, rate=100000)
    for mode in ('strict', 'lazy'):
        for source in (BOOT_BLKTRACE, trace):
            options = ['replay', '--mode=asap', f'--set=iommu.mode={mode}', '--limit=3000']
            program.expect(0, *options, '-o', 'plain', source)
            states = sections('plain')
            check(len(states) > 30, 'a state that says something')
            times = set()
            for seed in range(5):
                costs = random_costs(seed, keys)
                out = program.expect(0, *options, *costs, '-o', f'seed{seed}', source)
                check(sections(f'seed{seed}') == states, f'{mode}: the state depends on costs', out)
                times.add(json.loads(read(f'seed{seed}', 'run.json'))['cpu']['busy_ns'])
            equal(len(times), 5, 'the costs were in force')


@case('any-costs/the-same-state-in-the-order-of-another-run')
def _():
    keys = cost_keys()
    for mode, trace in (('strict', load(ios=3000, cpus=4, depth=64, remote=30, sizes=40, rate=200000)),
                        ('lazy', load(ios=20000, cpus=4, depth=64, sizes=3, rate=400000))):
        options = ['replay', f'--set=iommu.mode={mode}', '--set=iotlb.entries=64']
        program.expect(0, *options, '--save-order=calls.txt', '-o', 'plain', trace)
        states = sections('plain')
        check(len(states) > 30, 'a state that says something')
        if mode == 'lazy':
            check(read('calls.txt').count('timer') > 3, 'timers are among the calls')
        different = 0
        for seed in range(4):
            costs = random_costs(seed, keys)
            out = program.expect(0, *options, *costs, '--order=calls.txt', '-o', 'ordered', trace)
            check(sections('ordered') == states, f'{mode}, seed {seed}: the state depends on costs', out)
            program.expect(0, *options, *costs, '-o', 'free', trace)
            different += sections('free') != states
        check(different > 0, 'in an order of their own, costs do change the state')


@case('any-costs/the-same-translations-of-completions')
def _():
    # A flush of the queue empties the IOTLB between a completion's translation and the completion, of commands with data and without.
    keys = cost_keys()
    for options in ([], ['--set=iommu.flush-queue=single'], ['--set=iotlb.entries=8', '--depth=200']):
        options = ['replay', '--mode=closed', '--set=iommu.mode=lazy', *options]
        for traces in ([BOOT_BLKTRACE], [BOOT_BLKTRACE, LOOP]):
            program.expect(0, *options, '--save-order=calls.txt', '-o', 'plain', *traces)
            calls = read('calls.txt')
            check('\nask ' in calls and '\nask-at-once ' in calls, 'both kinds are among the calls')
            for seed in range(2):
                out = program.expect(0, *options, *random_costs(seed, keys), '--order=calls.txt', '-o', 'ordered', *traces)
                check(sections('ordered') == sections('plain'), f'seed {seed}: the state depends on costs', out)


@case('order/what-cannot-be-followed')
def _():
    trace = load(ios=100, cpus=2)
    program.expect(0, 'replay', '--save-order=calls.txt', trace)
    lines = read('calls.txt').splitlines()
    check(lines[1].startswith('issue'), 'it begins with a request')
    for number, wrong in ((1, 'other 1'), (2, 'issue 1'), (2, 'post 0'), (2, 'ask 0'), (2, 'ask-at-once 0'), (2, 'take 0 9 0'), (2, 'timer 3 1'), (2, 'unordered'),
                          (2, 'nonsense')):
        with open('wrong.txt', 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines[:number - 1] + [wrong] + lines[number:]) + '\n')
        message = program.refuses('replay', '--order=wrong.txt', trace)
        check(message.startswith(f'wrong.txt:{number}: '), message)
    program.refuses('replay', '--order=calls.txt', '--warmup=1ms', trace)
    program.refuses('replay', '--order=missing.txt', trace)


@case('invalidation-hardware/one-at-a-time')
def _():
    # A command and the wait behind it, 300 ns each, whatever 8 CPUs would like.
    trace = load(ios=20000, cpus=8, reads=100, rate=1000000000)
    run = results('--set=cost.invalidate-work-ns=300', '--set=nvme.channels=65536', '--set=nvme.link-mb-s=1000000',
                  '--set=nvme.depth=65', trace)
    hardware = next(lock for lock in run['locks'] if lock['name'] == 'invalidation hardware')
    equal(hardware['hold_sum_ns'], hardware['taken'] * 600, 'time at work')
    rate = run['replay']['ios'] * 1e9 / run['replay']['end_ns']
    check(0.95 / 600e-9 <= rate <= 1 / 600e-9, f'{rate} a second, of 1/600 ns')
    check(hardware['wait_sum_ns'] > 3 * hardware['hold_sum_ns'], 'CPUs wait for one another')


@case('invalidation-hardware/lazy-hardly-needs-it')
def _():
    trace = load(ios=20000, cpus=8, reads=100, rate=1000000000)
    run = results('--set=iommu.mode=lazy', '--set=nvme.channels=65536', '--set=nvme.link-mb-s=1000000', trace)
    hardware = next(lock for lock in run['locks'] if lock['name'] == 'invalidation hardware')
    flushes = run['flush_queue']['flushes_full'] + run['flush_queue']['flushes_timer']
    check(flushes < 200, f'{flushes} flushes')
    check(hardware['taken'] < flushes + 50, f'{hardware["taken"]} times at work, {flushes} flushes')


@case('allocator/tree-alone')
def _():
    trace = load(ios=2000, cpus=4, reads=100)
    tree, cached = (results(f'--set=iommu.allocator={allocator}', trace) for allocator in ('tree', 'rcache'))
    equal(tree['iova']['tree_allocs'], tree['iova']['allocs'], 'all from the tree')
    check(cached['iova']['tree_allocs'] < cached['iova']['allocs'] / 5, 'hardly any')
    equal(tree['violation_count'], 0, 'nothing is wrong with it')


@case('virtio/each-request-is-served')
def _():
    # Four pages that lie apart are four requests to map, and one to unmap, with one exit each time.
    trace = load(ios=500, cpus=1, bytes=16384, reads=100, rate=1000)
    plain, run = (results('--set=iommu.hardware=virtio-iommu', f'--limit={count}', trace) for count in (100, 500))
    work = [{kind['name']: kind['count'] for kind in each['cpu']['work_kinds']} for each in (plain, run)]
    equal([work[1][name] - work[0][name] for name in ('host_exit', 'host_map', 'host_page')],
          [400 * 2, 400 * 5, 400 * 8], 'exits, requests, pages')


@case('docs/costs-and-their-sources')
def _():
    text = open(DOCS, encoding='utf-8').read()
    for source, key, default in cost_keys():
        check(re.search(rf'^\| `{key}` \| {default} \|', text, re.MULTILINE), f'{key} = {default} is in {DOCS}')
        check(source in text, f'the source of {key} is in {DOCS}: {source}')


@case('docs/shapes')
def _():
    text = open(DOCS, encoding='utf-8').read()
    table = text.split('<!-- shapes -->\n')[1].split('<!-- end of shapes -->')[0]
    files = sorted(name for name in os.listdir(MACHINES) if name.startswith('shape-'))
    equal(sorted(re.findall(r'`(shape-[a-z-]+\.ini)`', table)), files, 'the machines of the table')
    for name in files:
        check('compared' in read(MACHINES, name).split('[')[0].replace('\n# ', ' '), f'{name} names its source')


cases.main()
