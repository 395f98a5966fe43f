# SPDX-License-Identifier: MIT
"""What the tests of the whole program share: running it, and results in the Test Anything Protocol."""
import os
import subprocess
import sys
import tempfile
import traceback

FIXTURES = os.environ['FIXTURES']
BOOT = os.path.join(FIXTURES, 'traces', 'v7.0-strict-ext4.trace.txt.zst')
BOOT_6_1 = os.path.join(FIXTURES, 'traces', 'v6.1-strict-ext4.trace.txt.zst')
BOOT_BLKTRACE = os.path.join(FIXTURES, 'traces', 'v7.0-strict-ext4.blktrace')
SYNTHETIC = os.path.join(FIXTURES, 'traces', 'synthetic-nvme-iommu-dma.ftrace.txt')
PREFIX = 'iommusim: '
# Of what is tried by the thousand, one of so many is: with sanitizers, -Dsample.
SAMPLE = int(os.environ.get('SAMPLE') or 1)


class Failed(Exception):
    """A case did not come out as it should."""


class Skipped(Exception):
    """A case cannot be tried here; says why."""


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    def __str__(self):
        return f'{" ".join(self.args)}\nexit {self.code}\nstdout: {self.out[-600:]}\nstderr: {self.err[-600:]}'


class Program:
    """The program under test."""

    def __init__(self, path):
        self.path = os.path.abspath(path)

    def run(self, *args, stdin=b'', env=None, cwd=None, timeout=120):
        """Runs it with ARGS; stdin is given as bytes. Never raises for what the program does."""
        args = [self.path, *map(str, args)]
        done = subprocess.run(args, input=stdin, capture_output=True, cwd=cwd, timeout=timeout, check=False,
                              env={**os.environ, **(env or {})})
        return Result(args, done.returncode, done.stdout.decode('utf-8', 'replace'),
                      done.stderr.decode('utf-8', 'replace'))

    def expect(self, code, *args, **more):
        result = self.run(*args, **more)
        check(result.code == code, f'exit {code} expected', result)
        return result

    def refuses(self, *args, **more):
        """Exit 2, nothing on stdout, one line on stderr. Returns that line without its beginning."""
        result = self.expect(2, *args, **more)
        check(result.out == '', 'nothing on stdout expected', result)
        check_one_line(result)
        return result.err[len(PREFIX):-1]


def check(condition, what, result=''):
    if not condition:
        raise Failed(f'{what}\n{result}')


def equal(got, wanted, what, result=''):
    check(got == wanted, f'{what}: {got!r}, not {wanted!r}', result)


def check_one_line(result):
    lines = result.err.splitlines()
    check(len(lines) == 1 and lines[0].startswith(PREFIX), f'one line on stderr, beginning "{PREFIX}"', result)


def tree(path):
    """Every file below PATH with its content; an empty directory has the content None."""
    found = {}
    for folder, folders, files in os.walk(path):
        if not folders and not files:
            found[os.path.relpath(folder, path)] = None
        for name in files:
            full = os.path.join(folder, name)
            with open(full, 'rb') as file:
                found[os.path.relpath(full, path)] = file.read()
    return found


def write(path, content):
    with open(path, 'wb') as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def sample(tries):
    """Those of TRIES that are tried; the first is."""
    return list(tries)[::SAMPLE]


class Cases:
    """Cases, by name: `with cases.case(name): ...` cannot skip a body, so a case is a function."""

    def __init__(self):
        self.cases = []
        self.offered = 0

    def case(self, name):
        def register(function):
            self.cases.append((name, function))
            return function
        return register

    def add(self, name, function, *args):
        self.cases.append((name, lambda: function(*args)))

    def offer(self, name, function, *args):
        """Adds one of many cases of a kind if it is of the sample."""
        if self.offered % SAMPLE == 0:
            self.add(name, function, *args)
        self.offered += 1

    def main(self):
        """Runs all, each in a fresh working directory, and exits."""
        failed = 0
        print(f'1..{len(self.cases)}', flush=True)
        home = os.getcwd()
        for number, (name, function) in enumerate(self.cases, 1):
            with tempfile.TemporaryDirectory(prefix='iommusim-') as folder:
                os.chdir(folder)
                try:
                    function()
                    print(f'ok {number} {name}', flush=True)
                except Skipped as why:
                    print(f'ok {number} {name} # SKIP {why}', flush=True)
                except Exception as error:  # whatever goes wrong is this case's failure
                    failed += 1
                    print(f'not ok {number} {name}', flush=True)
                    text = str(error) if isinstance(error, Failed) else traceback.format_exc()
                    print(''.join(f'# {line}\n' for line in text.splitlines()), end='', flush=True)
                os.chdir(home)
        sys.exit(1 if failed else 0)
