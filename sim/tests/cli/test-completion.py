# SPDX-License-Identifier: MIT
"""bash completes what the program knows. test-completion.py IOMMUSIM SCRIPT"""
import json
import os
import pty
import re
import select
import subprocess
import sys
import time

from tap import Cases, Program, check, equal, write

program = Program(sys.argv[1])
SCRIPT = sys.argv[2]
cases = Cases()
# What bash does of itself: the words, cut at the breaks. $1: the line.
ASK = r'''
source "$SCRIPT"
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=(iommusim) COMP_CWORD=1
_iommusim
printf '%s\n' "${COMPREPLY[@]}"
'''


def environment():
    return {**os.environ, 'PATH': os.path.dirname(program.path) + os.pathsep + os.environ['PATH'], 'SCRIPT': SCRIPT}


def complete(line):
    """What is offered for LINE, in order."""
    done = subprocess.run(['bash', '-c', ASK, 'bash', line], capture_output=True, check=False, timeout=60,
                          env=environment(), encoding='utf-8')
    equal((done.returncode, done.stderr), (0, ''), line)
    return done.stdout.split('\n')[:-1] if done.stdout != '\n' else []


def commands():
    listed = program.expect(0, '--help').out.split('Commands:\n')[1].split('\nOptions:')[0]
    return re.findall(r'^  (\w+(?: \w+)?)  +\w', listed, re.M)


def told(*words):
    return json.loads(program.expect(0, *words, '--json').out)


@cases.case('completion/commands-of-one-and-two-words')
def _():
    equal(set(complete('iommusim ')), {name.split()[0] for name in commands()} | {'--help', '--version'}, 'first words')
    equal(complete('iommusim repl'), ['replay'], 'repl')
    equal(complete('iommusim snapshot '), ['show', 'check', '--help'], 'snapshot')
    equal(complete('iommusim faults sw'), ['sweep'], 'faults sw')
    for line in ('iommusim nothing x', 'iommusim no/thing x', 'iommusim replay --set a/b=', 'iommusim bisect --bad a/b='):
        equal(complete(line), [], line)


@cases.case('completion/every-option-of-every-command')
def _():
    for name in commands():
        options = re.findall(r'^  (?:-\w, )?(--[\w-]+=?)', program.expect(0, *name.split(), '--help').out, re.M)
        equal(sorted(complete(f'iommusim {name} --')), sorted(options), name)


@cases.case('completion/keys-and-their-values')
def _():
    keys = [key['key'] + '=' for key in told('machine', 'show')['keys']]
    equal(complete('iommusim replay --set '), keys, 'all keys')
    equal(complete('iommusim replay --set iommu.mo'), ['iommu.mode='], 'one key')
    equal(complete('iommusim replay --set=iommu.mo'), ['iommu.mode='], 'with =')
    equal(complete('iommusim replay --set iommu.mode='), ['strict', 'lazy', 'passthrough'], 'values')
    equal(complete('iommusim replay --set=iommu.mode=l'), ['lazy'], 'a value')
    equal(complete('iommusim replay --set iommu.levels='), [], 'a number')


@cases.case('completion/behaviours')
def _():
    for row in told('behaviours')['behaviours']:
        values = [value['value'] for value in row['values']]
        equal(complete(f'iommusim explain --set behaviour.{row["name"]}='), values, row['name'])
    check('blkdma-rollback=' in complete('iommusim bisect --good='), 'names of sets')
    equal(complete('iommusim bisect --bad=iova-depot=trimmed,blkdma-rollback=f'), ['fixed'], 'the last of a set')
    check('7.0-later' in complete('iommusim bisect --good version='), 'versions')


@cases.case('completion/fault-points')
def _():
    points = [point['point'] for point in told('faults', 'points')['points']]
    equal(complete('iommusim replay --fail '), [f'{point}:' for point in points], 'of --fail')
    equal(complete('iommusim faults sweep --points='), points, 'of --points')
    equal(complete('iommusim replay --fail=dma.l'), ['dma.link:'], 'one')


@cases.case('completion/formats-and-words')
def _():
    formats = told('trace', 'formats')['formats']
    equal(set(complete('iommusim replay --trace-format=')), {'auto'} | {row['name'] for row in formats}, 'read')
    equal(set(complete('iommusim trace convert --to ')), {row['name'] for row in formats if row['writes']}, 'written')
    equal(set(complete('iommusim pagetable dump --format=')),
          {row['name'] for row in told('pagetable', 'formats')['formats']}, 'page tables')
    equal(complete('iommusim replay --mode '), ['open', 'closed', 'asap'], 'modes')
    equal(complete('iommusim diff --progress='), ['auto', 'always', 'never'], 'progress')
    equal(complete('iommusim devtree probe --profile=f'), ['fixed', 'fwspec'], 'profiles')


@cases.case('completion/files-by-their-kind')
def _():
    for name in ('a.ini', 'b.dtb', 'c.snap', 'c.snap.zst', 'd.iot', 'with blank.iot'):
        write(name, '')
    os.mkdir('run')
    write('run/end.snap', '')
    equal(complete('iommusim replay -c '), ['a.ini', 'run'], '-c')
    equal(complete('iommusim replay --dtb='), ['b.dtb', 'run'], '--dtb')
    equal(complete('iommusim diff '), ['c.snap', 'c.snap.zst', 'run'], 'snapshots')
    equal(complete('iommusim devtree list '), ['b.dtb', 'run'], 'boards')
    equal(complete('iommusim replay -o '), ['run'], 'a directory')
    equal(complete('iommusim snapshot check run/e'), ['run/end.snap'], 'below')
    equal(set(complete('iommusim trace info ')), set(os.listdir('.')), 'traces')
    write('$(touch ran).ini', '')
    equal(complete('iommusim replay -c $'), ['$(touch ran).ini'], 'a name that would be run')
    check(not os.path.exists('ran'), 'nothing is run')


@cases.case('completion/typed-into-bash')
def _():
    """The same with an interactive bash and the tab key."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe('bash', ['bash', '--norc', '--noprofile', '-i'],
                   {**environment(), 'PS1': '$ ', 'TERM': 'dumb', 'INPUTRC': os.devnull})
    seen = b''

    def until(wanted):
        nonlocal seen
        end = time.monotonic() + 60
        while wanted not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 4096)
        check(wanted in seen, f'{wanted} expected', seen.decode(errors='replace'))
    os.write(terminal, b'source "$SCRIPT"; echo rea""dy\n')
    until(b'ready')
    os.write(terminal, b'iommusim snap\tsh\t')
    until(b'iommusim snapshot show ')
    os.write(terminal, b'\x15iommusim replay --mo\tasa\t')
    until(b'iommusim replay --mode=asap ')
    os.write(terminal, b'\x15iommusim replay --set iommu.mod\tla\t')
    until(b'iommusim replay --set iommu.mode=lazy ')
    write('with blank.ini', '')
    os.write(terminal, b'\x15iommusim replay -c wi\t')
    until(b'with\\ blank.ini ')
    os.write(terminal, b'\x15exit\n')
    os.waitpid(pid, 0)
    os.close(terminal)


cases.main()
