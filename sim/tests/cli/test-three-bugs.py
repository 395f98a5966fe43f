# SPDX-License-Identifier: MIT
"""docs/three-bugs.md and docs/faults.md do what they say: each command prints what is quoted under it.
test-three-bugs.py IOMMUSIM PROJECT

With --print PAGE behind these it prints that page as it should be instead."""
import json
import os
import re
import subprocess
import sys
import tempfile

from tap import FIXTURES, Cases, check, equal, read

BLOCK = re.compile(r'^```console\n(.*?)^```\n', re.M | re.S)
PAGES = 'three-bugs.md', 'faults.md'


def page(name):
    return read(os.path.join(HOME, sys.argv[2], 'docs', name))


def steps(block):
    """The commands of a block, each with what is quoted under it."""
    for part in re.split(r'^\$ ', block, flags=re.M)[1:]:
        command, _, output = part.partition('\n')
        yield command, output


def prepare():
    """Makes the working directory what the page says that it is."""
    os.symlink(FIXTURES, 'fixtures')
    os.mkdir('bin')
    os.symlink(os.path.abspath(os.path.join(HOME, sys.argv[1])), 'bin/iommusim')


def run(command, setting):
    """Runs a command in a shell that has SETTING, and returns what it prints."""
    path = os.path.abspath('bin') + os.pathsep + os.environ['PATH']
    done = subprocess.run(['sh', '-c', f'{setting}\n{command}'], capture_output=True, timeout=120, check=False,
                          env={**os.environ, 'PATH': path, 'LC_ALL': 'C.UTF-8'})
    check(done.stderr == b'', f'{command}: nothing on stderr expected', done.stderr.decode())
    return done.stdout.decode()


def page_as_it_should_be(name):
    text = page(name)
    setting = ''

    def fill(match):
        nonlocal setting
        block = '```console\n'
        for command, _ in steps(match.group(1)):
            if re.match(r'\w+=', command):
                setting = command
            block += f'$ {command}\n{run(command, setting)}'
        return block + '```\n'
    return BLOCK.sub(fill, text)


HOME = os.getcwd()
SETTING = 'T=fixtures/traces/v7.0-strict-ext4.trace.txt.zst'
cases = Cases()


def says_what_is_printed(name):
    prepare()
    wanted = page_as_it_should_be(name)
    for line, there in zip(wanted.splitlines(), page(name).splitlines()):
        equal(there, line, 'the page')
    equal(page(name), wanted, 'the page')


for each in PAGES:
    cases.add(f'{each}/every-command-prints-what-is-quoted', says_what_is_printed, each)


@cases.case('three-bugs.md/all-families-are-there')
def _():
    text = page('three-bugs.md')
    for name in ('rcache-midway.ini', 'link-midway.ini', 'sync.ini', 'mtk-register.ini'):
        check(f'-f fixtures/faults/{name}' in text, f'{name} is shown')
    for value in ('checked', 'unchecked', 'old', 'fixed', 'v1', 'fwspec'):
        check(re.search(rf'^\$ .*={value} ', text, re.M), f'{value} is shown')


@cases.case('faults.md/every-point-has-its-facts')
def _():
    """The table of what can fail names the points that there are, and no other."""
    prepare()
    points = {row['point'] for row in json.loads(run('iommusim faults list --json --limit=1 $T', SETTING))['points']}
    table = page('faults.md').partition('| what the facts say')[2].partition('\n\n')[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r'`([a-z_.A-Z0-9]+)`', row.split('|')[2])}
    equal(sorted(named ^ points), [], 'in one of both')


if sys.argv[3:4] == ['--print']:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare()
        print(page_as_it_should_be(sys.argv[4]), end='')
        os.chdir(HOME)
else:
    cases.main()
