# SPDX-License-Identifier: MIT
"""What the shared library exports: functions and data of its public headers, and what inline functions of installed headers
call. exports.py PROJECT prints that as a map for the linker; the test of the library asks the same."""
import os
import re
import sys

PROJECT = os.path.abspath(sys.argv[1])
INCLUDE = re.compile(r'^\s*#\s*include "([^"]+)"', re.M)


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


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


def main():
    print('IOMMUSIM_0 {\nglobal:\n' + ''.join(f'\t{symbol};\n' for symbol in exported()) + 'local:\n\t*;\n};')


if __name__ == '__main__':
    main()
