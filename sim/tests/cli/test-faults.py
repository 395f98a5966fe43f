# SPDX-License-Identifier: MIT
"""The faults file and --fail, as a user meets them: what fires says all of itself, what never does is said once, each way in
which the hardware fails does what it should, and a mistake is named with its line. test-faults.py IOMMUSIM"""
import json
import os
import re
import sys

from tap import BOOT, Cases, Program, check, check_one_line, equal, read, write

program = Program(sys.argv[1])
cases = Cases()

FIXED = '--set', 'kernel.version=fixed'
# Requests of all kinds: large and small, with PRP lists and SGLs, reads and writes.
MIXED = '--skip=200', '--limit=100'


def replayed(*args, code=0):
    """What run.json has of a replay, and what the summary says."""
    run = program.expect(code, 'replay', *FIXED, '-o', 'out', *args, BOOT)
    return json.loads(read('out', 'run.json')), run


# ---- a firing ----

@cases.case('/firing/names-itself-and-its-request')
def _():
    """The requests that failures strike are those that the trace has at that place."""
    program.expect(0, 'trace', 'convert', '--to=csv', '-o', 'all.csv', BOOT)
    issued = [line.split(';') for line in read('all.csv').splitlines()[1:]]
    places = {(int(fields[2]), int(fields[3]), fields[1]) for fields in issued if fields[1] in ('read', 'write')}
    write('f.ini', '[fault some]\npoint = *.link\nprobability = 10\ntimes = -1\n'
                   '[fault sync]\npoint = dma.sync\nnth = 4\nerrno = EIO\n')
    found, run = replayed(*MIXED, '-f', 'f.ini')
    fired = found['firings']
    check(len(fired) > 5, 'there are several', fired)
    check({row['point'] for row in fired} == {'dma.link', 'dma.sync'}, 'of both', fired)
    for row in fired:
        equal(row['rule'], {'dma.link': 'some', 'dma.sync': 'sync'}[row['point']], 'rule')
        equal(row['error'], {'dma.link': 'ENOMEM', 'dma.sync': 'EIO'}[row['point']], 'error')
        equal(row['device'], 'nvme0', 'device')
        check(row['time_ns'] > 0 and row['cpu'] in range(4), 'time and CPU', row)
        check(1 <= row['request'] <= 100, 'request', row)
        check((row['sector'], row['bytes'], row['op']) in places, 'the trace has it', row)
    equal([row['fired'] for row in found['fault_rules']], [len(fired) - 1, 1], 'how often')
    equal(run.err, '', 'no warning')


@cases.case('/firing/of-an-address-of-this-size')
def _():
    """An address is asked for in bytes: the size is that of the range."""
    write('f.ini', '[fault large]\npoint = dma.iova\nprobability = 100\ntimes = -1\nsize = 64k-1M\n')
    found, run = replayed(*MIXED, '-f', 'f.ini')
    large, = found['fault_rules']
    check(0 < large['fired'] == large['passes'], 'some, and all of them', large)
    program.expect(0, 'replay', *FIXED, '-o', 'whole', *MIXED, BOOT)
    total = json.loads(program.expect(0, 'faults', 'list', '--json', *FIXED, *MIXED, BOOT).out)['points']
    check(large['passes'] < [row['passes'] for row in total if row['point'] == 'dma.iova'][0], 'not all addresses', large)
    check(all(row['bytes'] >= 1 << 16 for row in found['firings'] if 'bytes' in row), 'of large requests', found['firings'][:3])


@cases.case('/firing/of-set-up-has-no-request')
def _():
    found, run = replayed('--limit=20', '--fail=iova.fq:1', '--set', 'iommu.mode=lazy')
    fired, = found['firings']
    check('request' not in fired and 'op' not in fired, 'nobody', fired)
    equal((fired['time_ns'], fired['device'], fired['rule']), (0, 'nvme0', 'iova.fq:1'), 'where')
    check('iova.fq at 0 ns, cpu 0, nvme0: pass 1, ENOMEM, for set-up or a timer' in run.out, 'the summary', run)


@cases.case('/firing/of-an-option-is-in-the-summary')
def _():
    found, run = replayed(*MIXED, '--fail=dma.link:40', '--fail=dma.link:41', '--fail=dma.link:41')
    fired = found['firings']
    equal([row['pass'] for row in fired], [40, 41], 'exactly these')
    for row in fired:
        said = re.search(rf'dma.link at .*, cpu {row["cpu"]}, nvme0: pass {row["pass"]}, ENOMEM, for request (\d+) '
                         rf'\({row["op"]}, .* at sector {row["sector"]}\)$', run.out, re.M)
        check(said and int(said[1]) == row['request'], 'said', run)
    equal([row['name'] for row in found['fault_rules']], ['dma.link:40', 'dma.link:41'], 'rules')
    program.expect(0, 'snapshot', 'check', 'out/end.snap')


@cases.case('/firing/more-than-are-listed-are-counted')
def _():
    write('f.ini', '[fault all]\npoint = dma.iova\nprobability = 100\ntimes = -1\nafter = 1ns\n')
    found, _ = replayed('-f', 'f.ini')
    equal(len(found['firings']), 1000, 'listed')
    equal(found['firings_not_listed'], found['fault_rules'][0]['fired'] - 1000, 'not listed')
    check(found['firings_not_listed'] > 0, 'there are some', found['fault_rules'])


# ---- a rule that never fires ----

@cases.case('/idle/one-line-each-and-the-exit-code-stays')
def _():
    write('f.ini', '[fault late]\npoint = dma.link\nnth = 1000000\n[fault now]\npoint = dma.link\nnth = 1\n')
    for command in (['replay'], ['faults', 'list'], ['faults', 'sweep', '--points=dma.sync', '--max=1']):
        for code, version in (0, 'fixed'), (1, '6.19'):
            if command[0] == 'faults' and code:
                continue
            run = program.expect(code, *command, '--set', f'kernel.version={version}', *MIXED, '-f', 'f.ini', BOOT)
            check_one_line(run)
            check(re.search(r'warning: \[fault late\] never fired in 1\d\d passes$', run.err.strip()), 'which, and how many', run)
    found, _ = replayed(*MIXED, '-f', 'f.ini')
    equal([row['fired'] for row in found['fault_rules']], [0, 1], 'run.json')


@cases.case('/idle/what-filters-left-out-is-said')
def _():
    for line, wanted in (('cpu = 77', '0 passes (its filters left out 1'), ('device = nvme7', '0 passes (its filters left out 1'),
                         ('before = 1ns', '0 passes (its filters left out 1')):
        write('f.ini', f'[fault a]\npoint = dma.link\nnth = 1\n{line}\n')
        run = program.expect(0, 'replay', *FIXED, *MIXED, '-f', 'f.ini', BOOT)
        check_one_line(run)
        check(wanted in run.err, line, run)


# ---- a file written by hand ----

MISTAKES = (
    ('[fault a]\npoint = dma.lnk\nnth = 1\n', '2: no fault point is called "dma.lnk"; see "iommusim faults points"'),
    ('[fault a]\npoint = dma.link, dma.sync\nnth = 1\n', '2: no fault point is called "dma.link, dma.sync"; see "iommusim faults points"'),
    ('[fault a]\npoint = dma.link\nnth = 0\n', '3: nth = 0: must be a count from 1'),
    ('[fault a]\npoint = dma.link\nnth = first\n', '3: nth = first: must be a count from 1'),
    ('[fault a]\npoint = dma.link\n', '1: rule "a" can never fire: give it nth or probability'),
    ('[fault a]\nnth = 1\n', '1: rule "a" names no point'),
    ('[faults a]\npoint = dma.link\nnth = 1\n', '1: unknown group [faults a]: a rule is a group [fault NAME]; a machine file goes with -c'),
    ('point = dma.link\n', '1: key "point" stands before the first [GROUP]'),
    ('[fault a]\npoint = dma.link\nnht = 2\n', '3: unknown key "nht" in a fault rule (known: point, action, errno, nth, '
     'probability, interval, times, space, persist, cpu, device, size, verbose, after, before, seed)'),
    ('[fault a]\npoint = dma.link\nnth = 1\nnth = 2\n', '4: duplicate key "nth" in [fault a], first on line 3'),
    ('[fault a]\npoint = dma.*\nnth = 1\n[fault a]\n', '4: duplicate group [fault a], first on line 1'),
    ('[fault a]\npoint = dma.link\nprobability = 150\n', '3: probability = 150: must be a percentage, 0 to 100'),
    ('[fault a]\npoint = dma.link\nprobability = 5\nnth = 1\n', '3: nth decides alone: probability has no effect beside it'),
    ('[fault a]\npoint = dma.link\nnth = 1\nerrno = 12\n', '4: errno = 12: must be the name of an error, such as ENOMEM'),
    ('[fault a]\npoint = dma.link\nnth = 1\npersist = true\n', '4: persist = true: must be yes or no'),
    ('[fault a]\npoint = dma.link\nnth = 1\ncpu = all\n', '4: cpu = all: must be the number of a CPU'),
    ('[fault a]\npoint = dma.link\nnth = 1\nafter = soon\n', '4: after = soon: must be a time, such as 1ms'),
    ('[fault a]\npoint = dma.link\nnth = 1\nafter = 5ms\nbefore = 1ms\n', '1: rule "a" can never fire: after is not before before'),
    ('[fault a]\npoint = dma.link\nnth = 1\nsize = 64k-4k\n',
     '4: size = 64k-4k: must be a size or a range of them, such as 4k-64k'),
    ('[fault a]\npoint = dma.link\nnth = 1\nverbose = 3\n', '4: verbose = 3: must be 0, 1 or 2'),
    ('[fault a]\npoint = dma.link\nnth = 1\naction = lost\n', '4: action = lost: dma.link has no actions'),
    ('[fault a]\npoint = controller.*\nnth = 1\naction = 0x281\n',
     '4: action = 0x281: of controller.lost_completion must be command, interrupt or all'),
    ('[fault a]\npoint dma.link\n', '2: expected [GROUP], KEY = VALUE or # COMMENT'),
    ('[fault a]\npoint = dma.link\nnth = 1 # first\n', '3: nth = 1 # first: must be a count from 1'),
)


@cases.case('/mistakes/each-is-named-with-its-line-and-nothing-is-written')
def _():
    for text, wanted in MISTAKES:
        write('my.ini', text)
        for command in (['replay', '-o', 'out'], ['faults', 'list'], ['faults', 'sweep', '-o', 'out']):
            equal(program.refuses(*command, '-f', 'my.ini', BOOT), f'my.ini:{wanted}', text)
        check(not os.path.exists('out'), 'nothing is written', text)
    for fail, wanted in (('dma.link', 'must be POINT:N, N a count from 1, such as dma.link:40'),
                         ('dma.link:0', 'must be POINT:N, N a count from 1, such as dma.link:40'),
                         ('dma.lnk:1', 'no fault point is called "dma.lnk"; see "iommusim faults points"')):
        equal(program.refuses('replay', f'--fail={fail}', BOOT), f'--fail={fail}: {wanted}', fail)


# ---- how the hardware fails ----

def failed(rule, code=0):
    """A replay with one fault rule; what came of it."""
    write('faults.ini', f'[fault a]\n{rule}\nverbose = 2\n')
    run = program.expect(code, 'replay', '--json', *FIXED, '--limit=100', '-f', 'faults.ini', BOOT)
    text = program.expect(code, 'replay', *FIXED, '--limit=100', '-f', 'faults.ini', BOOT).out
    found = json.loads(run.out)
    fired = found['firings']
    equal(len(fired), 1, 'firings', run)
    check(f"{fired[0]['point']} at " in text and f"pass {fired[0]['pass']}, " in text, 'the summary says so', text)
    return found


@cases.case('/action/status-and-whether-it-is-tried-again')
def _():
    equal(failed('point = controller.status\nnth = 30\naction = 0x281')['replay']['errors'], 1, 'errors')
    found = failed('point = controller.status\nnth = 30\naction = 0x281 retry')['replay']
    equal((found['errors'], found['retries']), (0, 1), 'errors and retries')


@cases.case('/action/what-is-lost')
def _():
    found = failed('point = controller.lost_completion\nnth = 30\naction = interrupt')['replay']
    equal((found['errors'], found['retries']), (0, 0), 'errors and retries')
    found = failed('point = controller.lost_completion\nnth = 30\naction = all')['replay']
    equal((found['errors'], found['resets']), (0, 1), 'errors and resets')


@cases.case('/action/doorbell-that-is-lost-is-made-up-for-by-the-next-or-by-a-reset')
def _():
    resets = set()
    for number in 1, 30, 100: # the last is told of by none
        found = failed(f'point = controller.doorbell\nnth = {number}\n')['replay']
        equal((found['errors'], found['ios']), (0, 100), 'errors and ends')
        equal(found['retries'], found.get('resets', 0), 'tried again where a reset cancelled it')
        resets.add(found['retries'])
    check(resets == {0, 1}, 'both happen', resets)


@cases.case('/action/translation-fault-fails-the-command-and-it-is-tried-again')
def _():
    whole = json.loads(program.expect(0, 'replay', '--json', *FIXED, '--limit=100', BOOT).out)
    found = failed('point = controller.translation\nnth = 60\n')
    equal(found['iommu']['page_faults'], 1, 'page faults')
    equal((found['replay']['errors'], found['replay']['ios']), (whole['replay']['errors'], whole['replay']['ios']), 'ends')


@cases.case('/action/bad-ones-are-refused')
def _():
    for action in '0', '0x800', '0x281 maybe', '':
        write('faults.ini', f'[fault a]\npoint = controller.status\nnth = 1\naction = {action}\n')
        message = program.refuses('replay', '-f', 'faults.ini', BOOT)
        check(message.startswith('faults.ini:4: action = '), 'names the line', message)



@cases.case('/action/of-a-point-that-has-none-is-refused')
def _():
    write('faults.ini', '[fault a]\npoint = controller.doorbell\nnth = 1\naction = lost\n')
    equal(program.refuses('replay', '-f', 'faults.ini', BOOT),
          'faults.ini:4: action = lost: controller.doorbell has no actions', 'message')


cases.main()
