# SPDX-License-Identifier: MIT
"""The installed library: what it exports is what its headers declare, and a program builds against it with pkg-config.
test-library.py PROJECT BUILD"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'cli'))
sys.path.insert(0, os.path.join(os.path.abspath(sys.argv[1]), 'sim', 'lib'))
import pages  # noqa: E402 (the path must be set first)
from exports import closure, exported, headers  # noqa: E402
from tap import FIXTURES, Cases, check, equal, read, write  # noqa: E402

PROJECT, BUILD = map(os.path.abspath, sys.argv[1:3])
cases = Cases()


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
    equal(symbols ^ {f'{symbol}@@IOMMUSIM_0' for symbol in exported()}, {'IOMMUSIM_0'}, 'symbols on one side only')
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


cases.main()
