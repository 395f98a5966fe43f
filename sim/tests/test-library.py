# SPDX-License-Identifier: MIT
"""The installed library: what it exports is what its headers declare, and a program builds against it with pkg-config.
test-library.py PROJECT BUILD

With --print as third argument it prints the map as it should be instead."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'cli'))
import pages  # noqa: E402 (the path must be set first)
from tap import FIXTURES, Cases, check, equal, read, write  # noqa: E402

PROJECT, BUILD = map(os.path.abspath, sys.argv[1:3])
MAP = os.path.join(PROJECT, 'sim', 'lib', 'libiommusim.map')
INCLUDE = re.compile(r'^\s*#\s*include "([^"]+)"', re.M)
cases = Cases()


def headers(name):
    """The list NAME of sim/lib/meson.build."""
    text = read(PROJECT, 'sim', 'lib', 'meson.build')
    return re.findall(r"'([\w/.-]+\.h)'", re.search(rf'{name} = \[(.*?)\]', text, re.S)[1])


def closure(names):
    found, rest = set(), list(names)
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += INCLUDE.findall(read(PROJECT, name))
    return found


def outline(text):
    """TEXT without comments, preprocessor lines and what stands in braces."""
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)
    text = re.sub(r'^\s*#.*?(?<!\\)\n', '\n', text, flags=re.M | re.S)
    flat, depth = [], 0
    for char in text:
        depth -= char == '}'
        if depth == 0:
            flat.append(char)
        if char == '{':
            depth += 1
    return ''.join(flat)


def declared(name):
    """Functions and data that header NAME declares."""
    for statement in re.split(r'[;{}]', outline(read(PROJECT, name))):
        statement = ' '.join(statement.split())
        if not statement or re.match(r'(static|typedef)\b|(struct|enum|union)( \w+)?$', statement):
            continue
        function = re.match(r'[^()]*?(\w+)\(', statement)
        if statement.startswith('extern ') and not function:
            for one in re.sub(r'\[[^]]*\]', '', statement).split(','):
                yield re.findall(r'\w+', one)[-1]
        elif function:
            yield function[1]


def inline_needs(names):
    """Functions of installed headers that their inline functions call."""
    bodies = ''.join(re.sub(r'/\*.*?\*/', ' ', read(PROJECT, name), flags=re.S) for name in names)
    everything = {symbol for name in names for symbol in declared(name)}
    inline = ' '.join(re.findall(r'^static inline .*?^\}', bodies, re.M | re.S))
    return {symbol for symbol in everything if re.search(rf'\b{symbol}\b', inline)}


def exported():
    public = headers('public_headers')
    return sorted({symbol for name in public for symbol in declared(name)} | inline_needs(closure(public)))


def map_as_it_should_be():
    return ('/* SPDX-License-Identifier: MIT */\n'
            '/* What the shared library exports: functions and data of its public headers, and what their inline functions\n'
            ' * call. Made by sim/tests/test-library.py PROJECT BUILD --print; a test compares. */\n'
            'IOMMUSIM_0 {\nglobal:\n' + ''.join(f'\t{symbol};\n' for symbol in exported()) + 'local:\n\t*;\n};\n')


def run(*args, **more):
    done = subprocess.run(args, capture_output=True, check=False, encoding='utf-8', timeout=300, **more)
    check(done.returncode == 0, f'{args}: exit {done.returncode}', done.stdout + done.stderr)
    return done.stdout


class Installed:
    """The build, installed into the working directory."""

    def __init__(self):
        run('meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir', os.path.abspath('root'))
        self.root = os.path.abspath('root')
        self.files = {os.path.relpath(os.path.join(folder, name), self.root)
                      for folder, _, names in os.walk(self.root) for name in names}

        package = self.find('/iommusim.pc')
        moved = re.sub(r'^prefix=', f'prefix={self.root}', read(package), flags=re.M)
        write(package, moved)

    def find(self, end):
        found = [name for name in self.files if name.endswith(end)]
        check(len(found) == 1, f'one file …{end} expected', found)
        return os.path.join(self.root, found[0])

    def environment(self):
        return {**os.environ, 'PKG_CONFIG_PATH': os.path.dirname(self.find('/iommusim.pc')),
                'LD_LIBRARY_PATH': os.path.dirname(self.find('/libiommusim.so.0'))}


@cases.case('library/map-is-what-the-headers-declare')
def _():
    equal(read(MAP).splitlines(), map_as_it_should_be().splitlines(), 'sim/lib/libiommusim.map')


@cases.case('library/installed-headers-are-the-public-ones-and-what-they-include')
def _():
    public = headers('public_headers')
    equal(sorted(public + headers('included_headers')), sorted(closure(public)), 'headers of sim/lib/meson.build')
    page = read(PROJECT, 'docs', 'api.md')
    for name in public:
        check(f'`{name}`' in page, f'docs/api.md lacks {name}')


@cases.case('library/exports-are-the-map-with-its-version')
def _():
    library = Installed().find('/libiommusim.so.0')
    symbols = {line.split()[-1] for line in run('nm', '-D', '--defined-only', library).splitlines()}
    equal(symbols - {'IOMMUSIM_0'}, {f'{symbol}@@IOMMUSIM_0' for symbol in exported()}, 'symbols')
    check('libiommusim.so.0' in run('readelf', '-d', library), 'soname')


@cases.case('library/every-header-compiles-and-its-inline-functions-link')
def _():
    installed = Installed()
    flags = run('pkg-config', '--cflags', '--libs', 'iommusim', env=installed.environment()).split()
    with open('all.c', 'w', encoding='utf-8') as file:
        file.writelines(f'#include "{name}"\n' for name in sorted(closure(headers('public_headers'))))
        file.write('#include <stdio.h>\nint main(void)\n{\n\tconst void *all[] = {\n')
        file.writelines(f'\t\t(const void *)&{symbol},\n' for symbol in exported())
        file.write('\t};\n\n\tprintf("%zu\\n", sizeof(all) / sizeof(all[0]));\n}\n')
    run('cc', '-Wall', '-Werror', '-fkeep-inline-functions', '-o', 'all', 'all.c', *flags)
    equal(int(run('./all', env=installed.environment())), len(exported()), 'symbols')


@cases.case('library/the-page-about-it-is-true')
def _():
    os.symlink(FIXTURES, 'fixtures')
    pages.check_page(os.path.join(PROJECT, 'docs', 'api.md'), Installed().environment())


@cases.case('library/what-is-installed')
def _():
    installed = Installed()
    for end in ('bin/iommusim', 'share/man/man1/iommusim.1', 'share/man/man1/iommusim-replay.1',
                'share/man/man5/iommusim-machine.5', 'share/bash-completion/completions/iommusim',
                'share/doc/iommusim/LICENSE', 'share/doc/iommusim/README.md', 'share/doc/iommusim/start.md',
                'share/doc/iommusim/CHANGELOG.md', 'share/doc/iommusim/formats/traces.md', 'share/doc/iommusim/model/iova.md',
                'share/doc/iommusim/examples/record.sh', 'examples/fixtures/faults/sync.ini',
                'examples/fixtures/machines/one-queue.ini', 'examples/fixtures/boards/mtk-iommu.dts',
                'examples/fixtures/traces/v7.0-strict-ext4.trace.txt.zst', 'include/iommusim/sim/machine/replay.h'):
        check(any(name.endswith(end) for name in installed.files), f'{end} is not installed', sorted(installed.files))
    program = installed.find('bin/iommusim')
    equal(run(program, '--version').split()[0], 'iommusim', 'the program runs')
    shutil.copytree(installed.find('faults/sync.ini').rsplit('/', 2)[0], 'fixtures')
    run(program, 'replay', '-o', 'clean', 'fixtures/traces/v7.0-strict-ext4.trace.txt.zst')
    for name in os.listdir(os.path.join(FIXTURES, 'machines')):
        run(program, 'machine', 'show', '-c', os.path.join('fixtures', 'machines', name))


if sys.argv[3:] == ['--print']:
    print(map_as_it_should_be(), end='')
else:
    cases.main()
