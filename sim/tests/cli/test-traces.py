# SPDX-License-Identifier: MIT
"""trace info over every recording in the folder `shared` beside the checkout: format and counts are what its tables say; verify
of those that are there in binary, too, says the same of both.
Skipped where there is no such folder. test-traces.py IOMMUSIM"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from tap import Cases, Program, check, equal, sample

program = Program(sys.argv[1])
cases = Cases()

TRACES = os.path.join(os.environ.get('SHARED', ''), 'traces')
RUNS = sorted(os.path.dirname(path) for path in glob.glob(os.path.join(TRACES, '*', 'meta.json')))
# Column of the README's table: the events it counts. Where a run has the first, that is meant.
COLUMNS = {
    'commands': ['nvme_setup_cmd'],
    'maps': ['map_nosync', 'map'],
    'unmaps': ['unmap'],
    'IOVA allocs': ['iova_alloc'],
    'FQ timer': ['fq_timeout'],
}
# What the samples' README says: format, requests, and what else it counts.
SAMPLES = {
    'loop-mix.blkparse.txt': ('blkparse', 327),
    'loop-mix.blktrace.0': ('blktrace', 327),
    'loop-mix.blktrace.1': ('blktrace', 327),
    'loop-mix.fio-v3.iolog': ('fio', 600),
    'loop-mix.ftrace-blk.txt': ('blk', 327),
    'loop-mix.ftrace-events.txt': ('ftrace', 327),
    'loop-uring.perf-script.txt': ('perf', 158),
    'mqsim-tpcc-2000.trace.gz': ('mqsim', 2000),
    'synthetic-alibaba.csv': ('alibaba', 200),
    'synthetic-fio-v2.iolog': ('fio', 200),
    'synthetic-msr.csv': ('msr', 200),
    'synthetic-nvme-iommu-dma.ftrace.txt': ('ftrace', 60),
    'synthetic-spc.txt': ('spc', 200),
    'systor17-lun0-sample.csv.gz': ('systor', 999),
    'tencent-cbs-4000.csv.gz': ('tencent', 4000),
}


def info(path):
    result = program.run('trace', 'info', '--json', path, timeout=120)
    equal(result.code, 0, f'{path}: {result.err}')
    facts = json.loads(result.out)
    facts['names'] = {event['name']: event['count'] for event in facts['event_names']}
    return facts


def table():
    """The rows of the README's table of runs, by run."""
    with open(os.path.join(TRACES, 'README.md'), encoding='utf-8') as file:
        rows = [[cell.strip() for cell in line.strip().strip('|').split('|')] for line in file if line.startswith('| ')]
    titles = next(row for row in rows if row[0] == 'run')
    return {row[0]: dict(zip(titles, row)) for row in rows if row[0].startswith('v')}


def number(cell):
    return int(re.match(r'\d+', cell)[0])


def add_run(run):
    name = os.path.basename(run)

    @cases.case(f'text/{name}')
    def _():
        with open(os.path.join(run, 'meta.json'), encoding='utf-8') as file:
            meta = json.load(file)
        facts = info(os.path.join(run, 'trace.txt.zst'))
        row = table()[name]
        equal(facts['format'], 'ftrace', 'format')
        equal(facts['events'], meta['entries_in_buffer'], 'events')
        equal(facts['names'], meta['events'], 'events by name')
        equal(facts['recording']['lost events'], row['lost'], 'lost events')
        equal(facts['cpus'], number(row['CPUs']), 'CPUs')
        for title, events in COLUMNS.items():
            found = [facts['names'][event] for event in events if event in facts['names']]
            column = next(key for key in row if key.startswith(title))
            if found or row[column] == '0':
                equal(found[0] if found else 0, number(row[column]), column)

    for path in sorted(glob.glob(os.path.join(run, '*.iolog.zst')) + glob.glob(os.path.join(run, 'trace.dat.zst')) +
                       glob.glob(os.path.join(run, 'blktrace')) + glob.glob(os.path.join(run, 'blktrace', '*'))):
        @cases.case(f'{os.path.relpath(path, TRACES)}')
        def _(path=path):
            base = os.path.basename(path)
            expected = {'.iolog.zst': 'fio', 'trace.dat.zst': 'tracedat', 'blkparse.txt.zst': 'blkparse'}
            facts = info(path)
            equal(facts['format'], next((expected[end] for end in expected if base.endswith(end)), 'blktrace'), 'format')
            check(facts['ios'] > 0, f'{path}: no I/O')
            if facts['format'] != 'fio':
                equal(facts['completed'], facts['ios'], 'completed')


def add_verify(run):
    @cases.case(f'verify/{os.path.basename(run)}')
    def _():
        text, binary = (os.path.join(run, f'trace.{kind}.zst') for kind in ('txt', 'dat'))
        of_text, of_binary = program.run('verify', text), program.run('verify', binary)
        check(of_text.code in (0, 1), 'exit 0 or 1 expected', of_text)
        equal(of_binary.code, of_text.code, 'exit')
        equal(of_binary.out.partition('first difference')[0], of_text.out.partition('first difference')[0], 'verify')


for run in sample(RUNS):
    add_run(run)
    if os.path.exists(os.path.join(run, 'trace.dat.zst')):
        add_verify(run)


def add_report(path):
    """What trace-cmd report prints of a trace.dat is the same trace."""
    @cases.case(f'report/{os.path.relpath(path, TRACES)}')
    def _():
        with tempfile.TemporaryDirectory() as folder:
            dat, text = os.path.join(folder, 'trace.dat'), os.path.join(folder, 'report.txt')
            subprocess.run(['zstd', '-q', '-d', '-o', dat, path], check=True)
            with open(text, 'w', encoding='utf-8') as file:
                subprocess.run(['trace-cmd', 'report', '-t', '-i', dat], check=True, stdout=file, stderr=subprocess.DEVNULL)
            facts = [info(dat), info(text)]
        equal([fact.pop('format') for fact in facts], ['tracedat', 'ftrace'], 'formats')
        # trace_marker has another name there.
        for fact in facts:
            for key in ('recording', 'event_names', 'names'):
                fact.pop(key, None)
        equal(facts[1], facts[0], 'facts')


if shutil.which('trace-cmd') and shutil.which('zstd'):
    for dat in sample(sorted(glob.glob(os.path.join(TRACES, '*', 'trace.dat.zst')))):
        add_report(dat)


def add_sample(name):
    @cases.case(f'sample/{name}')
    def _():
        facts = info(os.path.join(TRACES, 'public-samples', name))
        equal((facts['format'], facts['ios']), SAMPLES[name], 'format and requests')


if RUNS:
    for public in SAMPLES:
        add_sample(public)

    @cases.case('every-sample-is-listed')
    def _():
        there = set(os.listdir(os.path.join(TRACES, 'public-samples'))) - {'README.md'}
        equal(there, set(SAMPLES), 'samples')
else:
    print('1..0 # SKIP needs the folder shared beside the checkout')
    sys.exit(0)

cases.main()
