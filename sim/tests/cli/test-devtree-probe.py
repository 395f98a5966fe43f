# SPDX-License-Identifier: MIT
"""A board's IOMMUs and masters brought up and down, as a user sees it: devtree probe and devtree leaks.
test-devtree-probe.py IOMMUSIM

Boards are those of $BOARDS, compiled from fixtures/boards, and, where that folder exists, of $SHARED, whose leak files must
come out byte for byte."""
import json
import os
import re
import sys
import time

from tap import Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

BOARDS = os.environ['BOARDS']
HOSTILE = os.path.join(BOARDS, '..', 'hostile', 'boards')
SHARED = os.environ.get('SHARED', '')
RECORDED = os.path.join(SHARED, 'golden', 'devtree')
SECONDS_MAX = 2
PROFILES = ['old', 'v1', 'fixed', 'fwspec', 'as-posted', 'helper']


def board(name):
    return os.path.join(BOARDS, name + '.dtb')


def boards(folder):
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith('.dtb')]


def probed(code, name, *options):
    return json.loads(program.expect(code, 'devtree', 'probe', '--json', *options, board(name)).out)


def device(document, path):
    return next(row for row in document['devices'] if row['path'] == path)


def left(document):
    counts = {}
    for row in document['left']:
        counts[row['object']] = counts.get(row['object'], 0) + row['count']
    return counts


# ---- leaks ----

@case('leaks/a-board-by-hand')
def _():
    equal(program.expect(0, 'devtree', 'leaks', board('apple-dart')).out.splitlines(), [
        'leak expectations v1', 'dtb apple-dart.dtb', '[iommus] 5',
        'iommu /soc/iommu@228304000 driver=apple-dart old=0 fixed=0 op=na',
        'iommu /soc/iommu@382f00000 driver=apple-dart old=2 fixed=0 op=na',
        'iommu /soc/iommu@382f80000 driver=apple-dart old=1 fixed=0 op=na',
        'iommu /soc/iommu@681008000 driver=apple-dart old=0 fixed=0 op=na',
        'iommu /soc/iommu@682008000 driver=apple-dart old=0 fixed=0 op=na', '[larbs] 0', '[notes] 0'], 'leaks')


@case('leaks/larbs')
def _():
    lines = program.expect(0, 'devtree', 'leaks', board('mtk-iommu')).out.splitlines()
    check('larb /soc/larb@14013000 bound: old=0 v1=0 fixed=1 removed: old=0 v1=-1 fixed=0' in lines, 'a larb', lines)
    check(not any('14e05000' in line for line in lines), 'a disabled larb has no device', lines)


@case('leaks/json-says-the-same')
def _():
    text = program.expect(0, 'devtree', 'leaks', board('stages')).out
    document = json.loads(program.expect(0, 'devtree', 'leaks', '--json', board('stages')).out)
    equal([(row['path'], row['old']) for row in document['iommus']],
          [(path, int(old)) for path, old in re.findall(r'^iommu (\S+) driver=\S+ old=(\d+)', text, re.M)], 'IOMMUs')
    equal([row['removed']['v1'] for row in document['larbs']],
          [int(v1) for v1 in re.findall(r'removed: old=\S+ v1=(\S+)', text)], 'larbs')


def recorded_leaks():
    blobs = os.path.join(SHARED, 'devtree', 'boards')
    count = 0
    for path in boards(blobs):
        wanted = os.path.join(RECORDED, os.path.basename(path)[:-4] + '.leak.txt')
        if os.path.exists(wanted):
            check(program.expect(0, 'devtree', 'leaks', path).out == read(wanted), f'{path}: other leaks')
            count += 1
    check(count >= 17, f'only {count} recordings')


if os.path.isdir(RECORDED):
    cases.add('leaks/recorded', recorded_leaks)


# ---- probe ----

@case('probe/old-leaks-are-named')
def _():
    result = program.expect(1, 'devtree', 'probe', '--profile=old', board('sun50i-iommu'))
    check('sun50i-iommu for ' in result.out and 'sun50i_iommu_of_xlate()' in result.out, 'holder and site', result)
    document = probed(1, 'sun50i-iommu', '--profile=old')
    equal(document['violations'], len(document['left']), 'violations')
    check(all(row['site'] == 'sun50i_iommu_of_xlate' for row in document['left']), 'sites', document['left'])


@case('probe/fixed-is-the-default-and-clean')
def _():
    for path in boards(BOARDS):
        name = os.path.basename(path)[:-4]
        for options in ([], ['--unbind'], ['--profile=fwspec'], ['--profile=helper'], ['--profile=v1']):
            if options == ['--profile=v1'] and name in ('mtk-iommu', 'stages'):
                continue  # the series as posted puts larbs once too often
            equal(probed(0, name, *options)['violations'], 0, f'{name} {options}')


@case('probe/v1-puts-larbs-twice')
def _():
    kinds = {row['kind'] for row in probed(1, 'mtk-iommu', '--profile=v1')['findings']}
    check('reference dropped twice' in kinds, 'kinds', kinds)


@case('probe/as-posted-uses-after-release')
def _():
    kinds = {row['kind'] for row in probed(1, 'sun50i-iommu', '--profile=as-posted')['findings']}
    equal(kinds, {'use after release'}, 'kinds')
    kinds = {row['kind'] for row in probed(1, 'omap-iommu', '--profile=as-posted')['findings']}
    check('uninitialised value used' in kinds, 'the classic op leaves the result unset', kinds)


@case('probe/masters-and-their-ids')
def _():
    document = probed(0, 'sun50i-iommu')
    masters = [row for row in document['devices'] if row['role'] == 'master']
    equal({row['iommu'] for row in masters}, {'/soc/iommu@30f0000'}, 'IOMMU')
    check(all(row['translated'] and row['result'] == 'bound' and row['ids'].startswith('0x') for row in masters),
          'masters', masters)


@case('probe/fail-at-a-stage')
def _():
    document = probed(0, 'stages', '--fail=sun50i-iommu:S5')
    one = device(document, '/soc/sun50i-iommu-one@17001000')
    equal(one['translated'], True, 'only the first attempt failed, the next did not')
    document = probed(1, 'stages', '--profile=old', '--fail=qcom-iommu:register')
    iommu = device(document, '/soc/qcom-iommu@11000000')
    equal((iommu['result'], iommu['error']), ('failed', 'ENOMEM'), 'the IOMMU')
    master = device(document, '/soc/qcom-iommu-one@11101000')
    equal((master['translated'], master['iommu_error'], master['result']), (False, 'ETIMEDOUT', 'bound'), 'its master')


@case('probe/a-sweep-takes-the-iommu-down')
def _():
    # Two masters of one entry each came as far as the lookup.
    for profile, leaked in (('old', 2), ('fixed', None)):
        document = probed(1 if leaked else 0, 'tegra-smmu', f'--profile={profile}', '--fail=tegra-smmu:S6:2',
                          '--order=/memory-controller@70019000')
        iommu = device(document, '/memory-controller@70019000')
        equal((iommu['result'], iommu['error']), ('failed', 'EINVAL'), profile)
        equal(left(document).get('/memory-controller@70019000'), leaked, profile)


@case('probe/faults-file')
def _():
    rule = write('devtree.ini', '[fault first]\npoint = devtree.probe.S6\ndevice = msm\nprobability = 100\ntimes = -1\n')
    document = probed(0, 'stages', '-f', rule)
    equal(device(document, '/soc/msm@1b000000')['error'], 'EINVAL', 'msm')
    equal(device(document, '/soc/msm-two@1b002000')['translated'], False, 'its master')
    equal(device(document, '/soc/arm-smmu-two@19002000')['translated'], True, 'the other drivers')


@case('probe/rules-begin-anew-with-each-order')
def _():
    # Untouched, the old driver leaks one reference for each of four masters.
    for options in (['--fail=tegra-smmu:S6:2'],
                    ['-f', write('s6.ini', '[fault a]\npoint = devtree.probe.S6\nprobability = 100\ntimes = 2\n')]):
        document = probed(1, 'tegra-smmu', '--profile=old', '--permute=4', *options)
        for run in document['orders']:
            alone = probed(1, 'tegra-smmu', '--profile=old', f'--order={run["order"]}', *options)
            equal(run['leaked_references'], sum(row['count'] for row in alone['left'] if row['object'][0] == '/'),
                  f'{options} {run["order"]}')


@case('probe/a-rule-that-never-fires-is-said')
def _():
    for options, warning in ((['--fail=sun50i-iommu:S2'], '--fail=sun50i-iommu:S2 never fired in 0 passes'),
                             (['--fail=sun50i-iommu:S6:9'], '--fail=sun50i-iommu:S6:9 never fired in 2 passes'),
                             (['--fail=sun50i-iommu:S6:9', '--permute=3'], 'never fired in 6 passes'),
                             (['--fail=sun50i-iommu:S6'], None),
                             (['--fail=sun50i-iommu:S6', '--permute=3'], None),
                             (['-f', write('no.ini', '[fault no]\npoint = devtree.link\nnth = 1\n'),
                               '--fail=sun50i-iommu:S6'], '[fault no] never fired in 0 passes')):
        result = program.run('devtree', 'probe', *options, board('sun50i-iommu'))
        check(bool(warning) == bool(result.err) and (warning or '') in result.err, options, result)


@case('probe/order-matters-to-old')
def _():
    first, second = '/soc/iommu@382f00000', '/soc/iommu@382f80000'
    forward = left(probed(1, 'apple-dart', '--profile=old', f'--order={first},{second}'))
    backward = left(probed(1, 'apple-dart', '--profile=old', f'--order={second},{first}'))
    equal((forward[first] - backward[first], forward[second], backward[second]), (1, 1, 1), 'references left')


@case('probe/permute')
def _():
    for profile, code in (('fixed', 0), ('old', 1)):
        options = ('--permute=20', '--seed=3', f'--profile={profile}')
        document = probed(code, 'exynos-sysmmu', *options)
        equal(len(document['orders']), 20, 'orders')
        check(len({row['order'] for row in document['orders']}) > 5, 'orders differ')
        equal(document['orders_with_violations'], 20 if code else 0, profile)
        equal(document, probed(code, 'exynos-sysmmu', *options), 'the same again')
    text = program.expect(1, 'devtree', 'probe', '--permute=2', '--profile=old', board('exynos-sysmmu')).out
    order = re.search(r'repeat it with (--order=\S+)', text)[1]
    program.expect(1, 'devtree', 'probe', '--profile=old', order, board('exynos-sysmmu'))


@case('probe/unbind')
def _():
    document = probed(0, 'stages', '--unbind')
    equal(document['rebound'], 14, 'all IOMMUs but the two DARTs')
    check(all(row['translated'] for row in document['devices'] if row['role'] == 'master'), 'masters are back')


# ---- what is refused, and what is hostile ----

REFUSED = [
    (['--profile=new'], '--profile=new'),
    (['--fail=dart:S1'], '"dart"'),
    (['--fail=apple-dart:S8'], '"S8"'),
    (['--fail=apple-dart:S*'], '"S*"'),
    (['--fail=apple-dart'], 'DRIVER:STAGE'),
    (['--fail=apple-dart:S1:0'], 'N from 1'),
    (['--fail=apple-dart:S1:2:3'], 'DRIVER:STAGE'),
    (['--permute=0'], '--permute=0'),
    (['--permute=1e3'], '--permute=1e3'),
    (['--seed=x'], '--seed=x'),
    (['--permute=2', '--order=/soc'], '--order and --permute'),
    (['--order=/soc/none'], '/soc/none'),
    (['--order=/soc'], '"/soc" is no IOMMU'),
    (['--order=/soc/iommu@681008000,'], '"" is no IOMMU'),
    (['--order='], '--order'),
    (['-f', 'absent.ini'], 'absent.ini'),
]


@case('probe/refuses')
def _():
    for options, part in REFUSED:
        message = program.refuses('devtree', 'probe', *options, board('apple-dart'))
        check(part in message, f'{options}: {message}')
    program.refuses('devtree', 'probe')
    program.refuses('devtree', 'probe', 'absent.dtb')
    program.refuses('devtree', 'leaks', board('msm'), board('msm'))


@case('hostile/boards')
def _():
    shared = os.path.join(SHARED, 'devtree', 'malformed')
    for path in boards(HOSTILE) + (boards(shared) if os.path.isdir(shared) else []):
        for arguments in (['leaks'], *(['probe', f'--profile={profile}', '--unbind'] for profile in PROFILES)):
            start = time.monotonic()
            result = program.run('devtree', *arguments, path)
            check(result.code in (0, 1, 2), 'an exit code of ours', result)
            check(time.monotonic() - start < SECONDS_MAX, 'took too long', result)


cases.main()
