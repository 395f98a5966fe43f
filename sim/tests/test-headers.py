# SPDX-License-Identifier: MIT
"""Each public header compiles alone, so none leans on what was included before it; and twice. test-headers.py SOURCE COMPILER...

The compiler comes with its flags. Results in the Test Anything Protocol."""
import concurrent.futures
import os
import subprocess
import sys

TEMPLATES = {'iommu/pgtable/generic-pt.h', 'iommu/pgtable/io-pgtable.h'}  # included by a format, after what it defines
ROOMS = ('sim', 'iommu', 'blockdma', 'devtree')


def headers(root):
    for room in ROOMS:
        for folder, _, files in os.walk(os.path.join(root, room)):
            if os.path.basename(folder) == 'tests':
                continue
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), root)
                if name.endswith('.h') and path not in TEMPLATES:
                    yield path


def complaints(compiler, text):
    done = subprocess.run([*compiler, '-fsyntax-only', '-x', 'c', '-'], input=text.encode(), capture_output=True,
                          check=False)
    return done.stderr.decode('utf-8', 'replace') if done.returncode else ''


def main():
    root, compiler = sys.argv[1], [*sys.argv[2:], '-I', sys.argv[1], '-Wall', '-Wextra', '-Werror',
                                   '-Wno-unused-parameter', '-Wno-missing-field-initializers']
    names = sorted(headers(root))
    texts = [f'#include "{name}"\n' * 2 for name in names]
    # That this way of asking can fail at all.
    names.append('none-of-ours, which fails')
    texts.append('struct x { uint64_t undeclared; };\n')
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda text: complaints(compiler, text), texts))
    results[-1] = '' if results[-1] else 'compiled, though it uses a type that nobody declared'
    print(f'1..{len(names)}')
    for number, (name, result) in enumerate(zip(names, results), 1):
        print(f'{"not ok" if result else "ok"} {number} {name}')
        print(''.join(f'# {line}\n' for line in result.splitlines()), end='')
    sys.exit(any(results))


main()
