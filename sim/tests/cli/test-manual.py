# SPDX-License-Identifier: MIT
"""The manual says what the program knows: no command, option, key, behaviour, point or format is missing in it, and every
example runs as it stands. test-manual.py IOMMUSIM PROJECT MAN"""
import json
import os
import re
import subprocess
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
PROJECT, MAN = sys.argv[2:4]
cases = Cases()
OPTION = re.compile(r'^  (?:-(\w), )?--([\w-]+)', re.M)


def commands():
    """Every command's name, from the help of the program."""
    listed = program.expect(0, '--help').out.split('Commands:\n')[1].split('\nOptions:')[0]
    names = re.findall(r'^  (\w+(?: \w+)?)  +\w', listed, re.M)
    check('replay' in names and 'snapshot show' in names, 'commands of one and of two words', listed)
    return names


def page(name):
    """The text of a page, without what only troff reads."""
    text = re.sub(r'\\f.|^\.\w+ ?', '', read(MAN, name), flags=re.M)
    return re.sub(r'\\(.)', r'\1', text.replace('\\&', ''))


def page_of(command):
    return f'iommusim-{command.replace(" ", "-")}.1'


def told(*words):
    return json.loads(program.expect(0, *words, '--json').out)


def in_page(name, words):
    text = page(name)
    for word in words:
        check(re.search(rf'(?<![\w.-]){re.escape(word)}(?![\w-])', text), f'{word} is not in {name}')


@cases.case('manual/every-command-has-a-page-and-no-other')
def _():
    families = {command.split()[0] for command in commands() if ' ' in command}
    wanted = {page_of(command) for command in commands()} | {page_of(family) for family in families}
    wanted |= {'iommusim.1', 'iommusim-faults.5', 'iommusim-machine.5', 'iommusim-snapshot.5'}
    equal({name for name in os.listdir(MAN) if re.search(r'\.[15]$', name)}, wanted, 'pages')
    for command in commands():
        in_page('iommusim.1', [command, page_of(command)[:-2]])


@cases.case('manual/every-command-is-in-the-changelog')
def _():
    text = read(PROJECT, 'CHANGELOG.md')
    for command in commands():
        names = '|'.join({command, command.split()[-1]})
        check(re.search(rf'`({names})[` ]', text), f'CHANGELOG.md lacks {command}')


@cases.case('manual/every-option-is-in-its-page')
def _():
    for command in commands():
        options = OPTION.findall(program.expect(0, *command.split(), '--help').out)
        check(('h', 'help') in options and ('', 'json') in options, f'{command}: options', options)
        in_page(page_of(command), [f'--{long}' for _, long in options] + [f'-{short}' for short, _ in options if short])


@cases.case('manual/every-page-has-its-sections')
def _():
    for command in commands():
        text = page(page_of(command))
        for section in ('NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'EXIT STATUS', 'EXAMPLES', 'SEE ALSO'):
            check(f'\n{section}\n' in text or f'\n"{section}"\n' in text, f'{command}: {section}', text[:400])
        check('@' not in text.replace('FILE@OFFSET', ''), f'{command}: something is not filled in', text)
    for name in os.listdir(MAN):
        for other, section in re.findall(r'\b(iommusim[\w-]*)\(([15])\)', page(name) if name[-2:] in ('.1', '.5') else ''):
            check(os.path.exists(os.path.join(MAN, f'{other}.{section}')), f'{name} refers to {other}({section})')


@cases.case('manual/every-key-behaviour-point-and-format')
def _():
    keys = [key['key'].partition('.')[2] for key in told('machine', 'show')['keys']]
    check(len(keys) > 100, 'keys', keys)
    in_page('iommusim-machine.5', keys)
    in_page('iommusim-behaviours.1', [row['name'] for row in told('behaviours')['behaviours']])
    points = [point['point'] for point in told('faults', 'points')['points']]
    in_page('iommusim-faults.5', points)
    in_page('iommusim-faults-points.1', points)
    in_page('iommusim-trace-formats.1', [row['name'] for row in told('trace', 'formats')['formats']])


@cases.case('manual/the-pages-about-files-have-them-as-well')
def _():
    text = read(PROJECT, 'docs', 'formats', 'machine-file.md')
    for key in told('machine', 'show')['keys']:
        group, _, name = key['key'].partition('.')
        if group not in ('cost', 'behaviour') and not re.fullmatch(r'walk-entries-[23]', name):
            check(re.search(rf'^\| [^|]*(?<![\w-]){name}(?![\w-])', text, re.M), f'machine-file.md lacks {key["key"]}')
    text = read(PROJECT, 'docs', 'formats', 'faults-file.md')
    for point in told('faults', 'points')['points']:
        name = re.sub(r'\.S[1-6]$', '.S0', point['point']).replace('.S7', '.S0')
        check(re.search(rf'(?<![\w.]){re.escape(name)}(?!\w)', text), f'faults-file.md lacks {name}')
    text = read(PROJECT, 'docs', 'formats', 'traces.md')
    for row in told('trace', 'formats')['formats']:
        check(f'`{row["name"]}`' in text, f'traces.md lacks {row["name"]}')


@cases.case('manual/faults-file-keys')
def _():
    """What the page shows is taken, and what it does not show is not."""
    names = re.findall(r'^\s*(\w+) = [A-Z\w|-]+\n', page('iommusim-faults.5').split('KEYS')[1].split('FAULT POINTS')[0], re.M)
    check({'point', 'nth', 'probability', 'action', 'seed'} <= set(names), 'keys', names)
    refused = program.refuses('replay', '-f', write('x.ini', '[fault x]\npoint = dma.link\ncolour = red\n'), BOOT)
    known = re.search(r'known: ([\w, ]+)', refused)
    check(known, 'the message says which keys there are', refused)
    equal(set(names), set(known[1].split(', ')), 'keys of the page')


@cases.case('manual/snapshot-nouns')
def _():
    program.run('replay', '-o', 'old', '-f', os.path.join(FIXTURES, 'faults', 'sync.ini'), '--set',
                'behaviour.blkdma-rollback=old', BOOT)
    for name in ('end.snap', 'teardown.snap'):
        nouns = set(re.findall(r'^([a-z]\w*) \w+=', read('old', name), re.M))
        check({'domain', 'map'} <= nouns, 'nouns', nouns)
        in_page('iommusim-snapshot.5', nouns)


def example(command):
    text = program.expect(0, *command.split(), '--help').out
    check('\nExample:\n  ' in text, f'{command}: no example', text)
    return '\n'.join(line.strip() for line in text.split('\nExample:\n')[1].strip('\n').splitlines())


@cases.case('manual/every-example-runs-as-it-stands')
def _():
    os.symlink(FIXTURES, 'fixtures')
    program.expect(0, 'replay', '-o', 'clean', BOOT)
    path = os.path.dirname(program.path) + os.pathsep + os.environ['PATH']
    for command in commands():
        check(f'iommusim {command}' in example(command), f'{command}: the example is of another', example(command))
        check('\n'.join(example(command).splitlines()) in page(page_of(command)), f'{command}: the page has another example')
        done = subprocess.run(['sh', '-ec', example(command)], capture_output=True, timeout=120, check=False,
                              env={**os.environ, 'PATH': path})
        check(done.returncode in (0, 1), f'{command}: {example(command)}', done)


cases.main()
