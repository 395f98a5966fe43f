# SPDX-License-Identifier: MIT
"""The same input gives the same bytes: again, in another locale and time zone, with memory filled differently, and from
a program that was compiled without optimization. test-same-output.py IOMMUSIM SOURCE BUILD: the second program is built
in the directory BUILD, which is kept, so that only the first time takes long."""
import json
import os
import subprocess
import sys

from tap import BOOT, BOOT_BLKTRACE, FIXTURES, SYNTHETIC, Cases, Program, check, equal, read, tree, write

program = Program(sys.argv[1])
SOURCE, BUILD = sys.argv[2], os.path.abspath(sys.argv[3])
cases = Cases()

CHANCE = '''[fault chance]
point = *.*
probability = 2
times = -1
seed = 7
'''

# (name, what it finds at most, arguments); CHANCE is written to f.ini
RUNS = [
    ('ftrace-open', [0], [BOOT]),
    ('ftrace-closed', [0], ['--mode=closed', BOOT]),
    ('ftrace-asap', [0], ['--mode=asap', BOOT]),
    ('ftrace-snapshots', [0], ['--snapshot-every=#100', '--snapshot-at=8s,9s', BOOT]),
    ('ftrace-old-kernel', [0], ['--set', 'kernel.version=6.17', '--set', 'iommu.levels=3', BOOT]),
    ('ftrace-passthrough', [0], ['--set', 'iommu.mode=passthrough', '--set', 'nvme.queues=1', BOOT]),
    ('ftrace-made-before-prepared', [0], [SYNTHETIC]),
    ('blktrace-open', [0], ['--set', 'segments.layout=thp', BOOT_BLKTRACE]),
    ('blktrace-asap', [0], ['--mode=asap', '--set', 'segments.layout=contiguous', BOOT_BLKTRACE]),
    ('faults-by-chance', [0, 1], ['-f', 'f.ini', '--set', 'kernel.version=7.0', BOOT]),
    ('faults-by-chance-closed', [0, 1], ['-f', 'f.ini', '--mode=closed', '--set', 'kernel.version=6.17', BOOT]),
    ('faults-sync', [1], ['-f', os.path.join(FIXTURES, 'faults', 'sync.ini'), '--set',
                          'behaviour.blkdma-rollback=old', BOOT]),
]


def outcome(which, codes, args, **more):
    """Everything that a run says and leaves, but what depends on the host."""
    write('f.ini', CHANCE)
    result = which.run('replay', '-o', 'out', *args, **more)
    check(result.code in codes, f'exit of {codes} expected', result)
    files = tree('out')
    said = json.loads(files['run.json'])
    said.pop('host')
    files['run.json'] = json.dumps(said).encode()
    subprocess.run(['rm', '-r', 'out'], check=True)
    return {'exit': str(result.code).encode(), 'stdout': result.out.encode(), 'stderr': result.err.encode(), **files}


def compare(codes, args, *others):
    first = outcome(program, codes, args)
    for which, more in others:
        other = outcome(which, codes, args, **more)
        equal(sorted(other), sorted(first), 'files')
        for name, content in first.items():
            if other[name] != content:
                at = next(i for i, pair in enumerate(zip(content + b'\0', other[name] + b'\1')) if pair[0] != pair[1])
                check(False, f'{name} differs at {at}: {content[at - 80:at + 80]} {other[name][at - 80:at + 80]}')


def same_again(codes, args):
    compare(codes, args,
            (program, {}),
            (program, {'env': {'LC_ALL': 'de_DE.UTF-8', 'LANGUAGE': 'de', 'TZ': 'Asia/Kathmandu'}}),
            (program, {'env': {'LC_ALL': 'C', 'TZ': 'UTC', 'MALLOC_PERTURB_': '165', 'MALLOC_ARENA_MAX': '1'}}))


for name, codes, args in RUNS:
    cases.add(f'same/{name}', same_again, codes, args)


@cases.case('same/other-commands')
def _():
    program.expect(0, 'replay', '-o', 'out', BOOT)
    for args in (['snapshot', 'show', 'out/end.snap'], ['snapshot', 'show', '--json', 'out/end.snap'],
                 ['trace', 'info', BOOT], ['trace', 'info', '--json', BOOT_BLKTRACE], ['behaviours', '--json'],
                 ['faults', 'list', BOOT]):
        first = program.expect(0, *args).out
        for env in ({'LC_ALL': 'de_DE.UTF-8', 'TZ': 'Asia/Kathmandu'}, {'MALLOC_PERTURB_': '90'}):
            equal(program.expect(0, *args, env=env).out, first, ' '.join(args))


@cases.case('different/other-seed')
def _():
    """That the comparison can tell runs apart at all."""
    program.expect(0, 'replay', '-o', 'a', '--set', 'segments.seed=1', BOOT_BLKTRACE)
    program.expect(0, 'replay', '-o', 'b', '--set', 'segments.seed=2', BOOT_BLKTRACE)
    check(read('a', 'machine.ini') != read('b', 'machine.ini'), 'machine.ini')


def build_second():
    """Builds the program without optimization; the same compiler, other code."""
    env = {key: value for key, value in os.environ.items() if key not in ('CFLAGS', 'LDFLAGS', 'MESON_TESTTHREADS')}

    def run(*args):
        done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=False)
        check(done.returncode == 0, ' '.join(args), done.stdout.decode('utf-8', 'replace')[-2000:])

    if not os.path.exists(os.path.join(BUILD, 'build.ninja')):
        run('meson', 'setup', BUILD, SOURCE, '-Doptimization=0', '-Ddebug=false')
    run('ninja', '-C', BUILD, 'sim/cmd/iommusim')
    return Program(os.path.join(BUILD, 'sim', 'cmd', 'iommusim'))


@cases.case('unoptimized/builds')
def _():
    check(build_second().expect(0, '--version').out == program.expect(0, '--version').out, 'version')


def same_unoptimized(codes, args):
    compare(codes, args, (Program(os.path.join(BUILD, 'sim', 'cmd', 'iommusim')), {}))


for name, codes, args in RUNS:
    cases.add(f'unoptimized/{name}', same_unoptimized, codes, args)

cases.main()
