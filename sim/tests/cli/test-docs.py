# SPDX-License-Identifier: MIT
"""A page of the documentation does what it says. test-docs.py IOMMUSIM PROJECT BUILD PAGE

Its commands run in a folder that looks like a clone, or like a copy of the installed examples: fixtures, docs, build. TRACE,
BOARD.dtb and run are what these words stand for in the pages. With --print behind PAGE it prints the page as it should be."""
import json
import os
import re
import subprocess
import sys
import tempfile

import pages
from tap import BOOT, BOOT_BLKTRACE, FIXTURES, Cases, Failed, Program, check, equal, read, write

PROGRAM, PROJECT, BUILD = (os.path.abspath(path) for path in sys.argv[1:4])
PAGE = sys.argv[4]
SNAPSHOTS = os.path.join(FIXTURES, 'traces', 'v7.0-strict-ext4.snapshots')
DMESG = ('[    9.635200] DMAR: [DMA Write NO_PASID] Request device [04:00.0] fault addr 0xffe5d000 [fault reason 0x05] '
         'PTE Write access is not set\n')
cases = Cases()


def prepare():
    """Makes the working directory what the pages say that it is. Returns the environment of their commands."""
    for name, target in (('fixtures', FIXTURES), ('docs', os.path.join(PROJECT, 'docs')), ('build', BUILD), ('TRACE', BOOT),
                         *((room, os.path.join(PROJECT, room)) for room in ('sim', 'iommu', 'blockdma', 'devtree'))):
        os.symlink(target, name)
    subprocess.run(['dtc', '-q', '-O', 'dtb', '-o', 'BOARD.dtb', 'fixtures/boards/mtk-iommu.dts'], check=True)
    os.mkdir('run')  # a recording of one's own
    with open('run/trace.txt', 'wb') as trace:
        subprocess.run(['zstd', '-dc', BOOT], stdout=trace, check=True)
    os.symlink(SNAPSHOTS, 'run/snapshots')
    os.symlink(BOOT_BLKTRACE, 'run/blktrace')
    write('run/dmesg.txt', DMESG)
    os.mkdir('bin')
    os.symlink(PROGRAM, 'bin/iommusim')
    return {**os.environ, 'PATH': os.path.abspath('bin') + os.pathsep + os.environ['PATH'], 'LC_ALL': 'C.UTF-8'}


@cases.case('docs/' + PAGE)
def _():
    for skipped in pages.check_page(os.path.join(PROJECT, PAGE), prepare()):
        print(f'# {PAGE}, not run: {skipped}')


if PAGE == 'docs/README.md':
    GOOD = '# x\n\n```sh\ntrue\n```\n\n```console\n$ echo a; echo b\na\n…\n```\n\n```sh needs-root\nfalse\n```\n'
    BAD = {
        'a-command-fails': GOOD.replace('true', 'no-such-command'),
        'a-command-in-the-middle-fails': GOOD.replace('true', 'false-command\ntrue'),
        'the-page-ends-early': GOOD.replace('true', 'exit 0'),
        'another-output': GOOD.replace('\na\n', '\nc\n'),
        'less-output': GOOD.replace('…\n', ''),
        'an-unknown-need': GOOD.replace('needs-root', 'needs-luck'),
        'an-unknown-kind': GOOD.replace('```sh\n', '```bash\n'),
        'no-kind': GOOD.replace('```sh\n', '```\n'),
        'an-indented-fence': GOOD.replace('```sh\ntrue\n```', '- x\n  ```sh\n  true\n  ```'),
        'another-fence': GOOD.replace('```sh\ntrue\n```', '~~~sh\ntrue\n~~~'),
        'a-skipped-block-that-no-shell-reads': GOOD.replace('\nfalse\n', '\nif false\n'),
        'console-without-a-command': GOOD.replace('$ echo a; echo b\n', ''),
        'an-indented-command': GOOD + '\n    $ iommusim\n',
    }

    @cases.case('docs/pages/a-good-one-passes')
    def _():
        equal(pages.check_page(write('x.md', GOOD), dict(os.environ)), ['line 13: needs-root'], 'skipped')

    def complains(text):
        try:
            pages.check_page(write('x.md', text), dict(os.environ))
        except Failed:
            return
        check(False, 'passes', text)

    for name, text in BAD.items():
        cases.add(f'docs/pages/{name}-is-found', complains, text)

if PAGE == 'docs/three-bugs.md':
    @cases.case('docs/three-bugs/all-families-are-there')
    def _():
        text = read(PROJECT, PAGE)
        for name in ('rcache-midway.ini', 'link-midway.ini', 'sync.ini', 'mtk-register.ini'):
            check(f'-f fixtures/faults/{name}' in text, f'{name} is shown')
        for value in ('checked', 'unchecked', 'old', 'fixed', 'v1', 'fwspec'):
            check(re.search(rf'^\$ .*={value} ', text, re.M), f'{value} is shown')

if PAGE == 'docs/faults.md':
    @cases.case('docs/faults/every-point-has-its-facts')
    def _():
        """The table of what can fail names the points that there are, and no other."""
        known = json.loads(Program(PROGRAM).expect(0, 'faults', 'points', '--json').out)['points']
        table = read(PROJECT, PAGE).partition('| what the facts say')[2].partition('\n\n')[0]
        named = {name for row in table.splitlines()[2:] for name in re.findall(r'`([a-z_.A-Z0-9]+)`', row.split('|')[2])}
        equal(sorted(named ^ {row['point'] for row in known}), [], 'in one of both')


if sys.argv[5:] == ['--print']:
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        text = read(PROJECT, PAGE)
        print(pages.filled(text, pages.run(text, prepare())[0]), end='')
        os.chdir(home)
else:
    cases.main()
