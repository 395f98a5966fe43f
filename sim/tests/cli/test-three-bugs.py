# SPDX-License-Identifier: MIT
"""docs/three-bugs.md does what it says: each command prints what is quoted under it. test-three-bugs.py IOMMUSIM PROJECT

With --print as third argument it prints the page as it should be instead."""
import os
import re
import subprocess
import sys
import tempfile

from tap import FIXTURES, Cases, check, equal, read

BLOCK = re.compile(r'^```console\n(.*?)^```\n', re.M | re.S)
PAGE = os.path.join(sys.argv[2], 'docs', 'three-bugs.md')


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


def page_as_it_should_be():
    text = read(PAGE)
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
cases = Cases()


@cases.case('three-bugs/every-command-prints-what-is-quoted')
def _():
    prepare()
    equal(page_as_it_should_be().splitlines(), read(PAGE).splitlines(), 'the page')


@cases.case('three-bugs/all-families-are-there')
def _():
    text = read(PAGE)
    for name in ('rcache-midway.ini', 'link-midway.ini', 'sync.ini', 'mtk-register.ini'):
        check(f'-f fixtures/faults/{name}' in text, f'{name} is shown')
    for value in ('checked', 'unchecked', 'old', 'fixed', 'v1', 'fwspec'):
        check(re.search(rf'^\$ .*={value} ', text, re.M), f'{value} is shown')


if sys.argv[3:] == ['--print']:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare()
        print(page_as_it_should_be(), end='')
        os.chdir(HOME)
else:
    cases.main()
