# SPDX-License-Identifier: MIT
"""Rules of the house that a program can check, in the Test Anything Protocol. tidy.py SOURCE

A rule is a function that yields complaints about one file. Each has a bad example, which it must complain about: a rule
that finds nothing there is broken."""
import os
import re
import sys

# From the floor up. Rooms on one line do not see each other; a room sees what stands above its line.
HOUSE = [
    ['sim/core'],
    ['sim/io', 'sim/behaviour'],
    ['sim/fault', 'sim/snapshot', 'sim/trace'],
    ['iommu/pgtable', 'iommu/iova'],
    ['iommu/iotlb'],
    ['iommu'],  # with iommu/hw, whose headers it shares
    ['iommu/dma'],
    ['blockdma', 'devtree'],
    ['sim/machine', 'sim/report', 'sim/host'],
    ['sim/campaign', 'sim/verify'],
    ['sim/cmd'],
]
LEVEL = {room: level for level, rooms in enumerate(HOUSE) for room in rooms}
CODE = ('.c', '.h')
SKIPPED_FOLDERS = re.compile(r'^(\.git|\.debhelper|build.*|__pycache__|fixtures)$')
TEMPLATES = {'iommu/pgtable/generic-pt.h', 'iommu/pgtable/io-pgtable.h'}  # included by a format, after what it defines
SPDX = 'SPDX-License-Identifier: MIT'


def room_of(path):
    """The room of a file: the longest name in HOUSE that its folder begins with. Tests see what their roof sees."""
    folder = os.path.dirname(path)
    while folder and folder not in LEVEL:
        folder = os.path.dirname(folder)
    return folder


def level_of(path):
    top, _, rest = path.partition('/')
    if rest.startswith('tests/'):
        return max(level for room, level in LEVEL.items() if room.split('/')[0] == top)
    return LEVEL.get(room_of(path))


def rule_includes(path, text, tree):
    """A room includes only rooms that stand above its line, and by their path from the root."""
    if not path.endswith(CODE):
        return
    level = level_of(path)
    if level is None:
        yield 1, 'is in no room: add it to the house'
        return
    in_tests = '/tests/' in path
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if not found:
            continue
        name = found[1]
        if name not in tree:
            yield number, f'"{name}" is no path from the root'
        elif '/tests/' in name:
            if not in_tests:
                yield number, f'"{name}" belongs to tests'
        elif room_of(name) != room_of(path) and not (level_of(name) < level or in_tests and level_of(name) <= level):
            yield number, f'{room_of(path)} does not see {room_of(name)}: "{name}"'


def rule_spdx(path, text, tree):
    """Every source file says its licence in its first lines."""
    name = os.path.basename(path)
    if not path.endswith((*CODE, '.py', '.sh')) and name not in ('meson.build', 'meson_options.txt'):
        return
    if SPDX not in '\n'.join(text.splitlines()[:2]):
        yield 1, f'no "{SPDX}"'


def rule_built(path, text, tree):
    """Every .c file is built: its name is in the meson.build of its folder, or of one that reaches it."""
    if not path.endswith('.c'):
        return
    for build, content in tree.items():
        if os.path.basename(build) != 'meson.build':
            continue
        folder = os.path.dirname(build)
        if folder.split('/')[0] != path.split('/')[0]:
            continue
        name = os.path.relpath(path, folder)
        subject = re.search(r'test-(\w+)\.c$', name)  # or built in a loop over the subjects of a room's tests
        if f"'{name}'" in content or (subject and "'../tests/test-' + subject" in content and
                                      f"'{subject[1]}'" in content):
            return
    yield 1, 'is in no meson.build'


def rule_guard(path, text, tree):
    """A header is guarded by its path."""
    if not path.endswith('.h') or path in TEMPLATES:
        return
    guard = re.sub(r'\W', '_', path).upper()
    if f'#ifndef {guard}\n#define {guard}\n' not in text:
        yield 1, f'no guard {guard}'


def rule_no_machine_paths(path, text, tree):
    """Nothing names a place that only one machine has."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r'(?<![\w.~}])/(home|work|root|Users|mnt|opt|tmp)/\w', line):
            yield number, f'path of one machine: {line.strip()}'


def rule_no_setlocale(path, text, tree):
    """Output does not depend on the locale: nobody sets one."""
    if path.endswith(CODE):
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r'\b(setlocale|uselocale|newlocale)\b', line):
                yield number, 'sets a locale'


def rule_no_leftovers(path, text, tree):
    """What is to be done is done, or stands where plans stand."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r'\b(TO' r'DO|FIX' r'ME)\b', line):
            yield number, line.strip()


def rule_no_globals(path, text, tree):
    """Everything a run changes hangs on struct sim: nothing at file scope can be written."""
    if not path.endswith(CODE) or '/tests/bench-' in path:  # a benchmark keeps its results from the optimizer
        return
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r'(?:static )?(?!const\b|typedef\b|extern\b|return\b|goto\b|struct \w+;|enum\b|union \w+;)'
                    r'(?:[a-z_]\w* )+\**\w+(?:\[[^]]*\])*(?: = .*)?;', line) and 'const' not in line:
            yield number, f'can be written: {line}'
        if re.match(r'\tstatic (?!const\b)[^()]*(=.*)?;$', line) and 'const' not in line:
            yield number, f'can be written: {line.strip()}'


def rule_white_space(path, text, tree):
    """Tabs indent code, blanks do not; no white space at an end of line, one newline at the end of a file."""
    if text and not text.endswith('\n') or text.endswith('\n\n'):
        yield text.count('\n') + 1, 'must end with one newline'
    for number, line in enumerate(text.split('\n'), 1):
        if line != line.rstrip():
            yield number, 'white space at the end of the line'
        if path.endswith(CODE) and re.match(r'\t* {8}', line) and not line.endswith('\\'):
            yield number, 'indented by blanks'
        if path.endswith('.py') and '\t' in line:
            yield number, 'tab'


def anchors_of(text):
    """The anchors that headings of a page make."""
    for heading in re.findall(r'^#+ +(.*)$', text, re.M):
        plain = re.sub(r'[`*]|\]\([^)]*\)|\[', '', heading)
        yield re.sub(r'[^\w\- ]', '', plain.lower()).replace(' ', '-')


def rule_links(path, text, tree):
    """Links between pages lead somewhere."""
    if not path.endswith('.md'):
        return
    for number, line in enumerate(text.splitlines(), 1):
        for target in re.findall(r'\]\(([^)\s]+)\)', line):
            if re.match(r'[a-z]+:', target):
                continue
            file, _, anchor = target.partition('#')
            wanted = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if wanted not in tree and not any(name.startswith(wanted + '/') for name in tree):
                yield number, f'leads nowhere: {target}'
            elif anchor and anchor not in anchors_of(tree.get(wanted, '')):
                yield number, f'no heading for {target}'


def rule_page_is_run(path, text, tree):
    """Every page of the documentation is among those that a test runs."""
    if not path.endswith('.md') or not re.match(r'docs/|[A-Z]+\.md$', path) or path == 'CHANGELOG.md':
        return
    listed = tree.get('docs/meson.build', '')
    if f"'{path}'" not in listed and f"'{path.removeprefix('docs/')}'" not in listed:
        yield 1, 'is not among the pages of docs/meson.build'


# (rule, path of a bad example, its text)
RULES = [
    (rule_includes, 'iommu/iova/x.c', '#include "blockdma/request.h"\n'),
    (rule_includes, 'sim/trace/x.c', '#include "sim/fault/fault.h"\n'),
    (rule_includes, 'sim/core/x.c', '#include "stream.h"\n'),
    (rule_includes, 'iommu/tests/x.c', '#include "blockdma/request.h"\n'),
    (rule_includes, 'blockdma/x.c', '#include "iommu/tests/golden-files.h"\n'),
    (rule_includes, 'elsewhere/x.c', '\n'),
    (rule_spdx, 'sim/core/x.c', '/* ours */\n'),
    (rule_spdx, 'sim/core/meson.build', "project('x')\n"),
    (rule_built, 'sim/core/x.c', '\n'),
    (rule_guard, 'sim/core/x.h', '#ifndef X_H\n#define X_H\n#endif\n'),
    (rule_no_machine_paths, 'docs/x.md', 'see /ho' 'me/me/x\n'),
    (rule_no_machine_paths, 'sim/x.c', 'open("/t' 'mp/x")\n'),
    (rule_no_setlocale, 'sim/core/x.c', '\tsetlocale(LC_ALL, "");\n'),
    (rule_no_leftovers, 'sim/core/x.c', '/* TO' 'DO: later */\n'),
    (rule_no_globals, 'sim/core/x.c', 'static int count;\n'),
    (rule_no_globals, 'sim/core/x.c', 'struct sim *the_sim;\n'),
    (rule_no_globals, 'sim/core/x.c', 'static uint64_t table[4] = {1};\n'),
    (rule_no_globals, 'sim/core/x.c', '\tstatic int calls = 0;\n'),
    (rule_white_space, 'sim/core/x.c', '        int i;\n'),
    (rule_white_space, 'sim/core/x.c', 'int i; \n'),
    (rule_white_space, 'docs/x.md', 'text'),
    (rule_page_is_run, 'docs/x.md', '\n'),
    (rule_links, 'docs/x.md', '[x](nowhere.md)\n'),
    (rule_links, 'docs/x.md', '[x](start.md#no-such-heading)\n'),
]


def read_tree(root):
    """Every text file below ROOT by its path; fixtures and built files by name only."""
    tree = {}
    for folder, folders, files in os.walk(root):
        if 'meson-info' in folders:  # a build, whatever its name; other tests are at work in it
            folders.clear()
            continue
        where = os.path.relpath(folder, root)
        if where == '.':
            where = ''
        folders[:] = sorted(name for name in folders if not SKIPPED_FOLDERS.match(name) or
                            (name == 'fixtures' and not where))
        for name in sorted(files):
            if name == '.git':  # of a linked work tree: where its repository is
                continue
            path = os.path.join(where, name)
            if path.startswith('fixtures/') and not name.endswith(('.md', '.ini')) or 'hostile' in path:
                tree[path] = ''
                continue
            with open(os.path.join(folder, name), 'rb') as file:
                content = file.read()
            tree[path] = content.decode('utf-8', 'replace')
    return tree


def main():
    tree = read_tree(sys.argv[1])
    rules = list(dict.fromkeys(rule for rule, _, _ in RULES))
    cases = []
    for rule, path, text in RULES:
        found = list(rule(path, text, {**tree, path: text}))
        cases.append((f'{rule.__name__}/complains-about-its-bad-example', [] if found else [f'{text!r} as {path}']))
    for rule in rules:
        bad = [f'{path}:{line}: {what}' for path, text in tree.items() if text for line, what in rule(path, text, tree)]
        cases.append((f'{rule.__name__}/{len(tree)}-files', bad))
    print(f'1..{len(cases)}')
    for number, (name, bad) in enumerate(cases, 1):
        print(f'{"not ok" if bad else "ok"} {number} {name}')
        for line in bad:
            print(f'# {line}')
    sys.exit(any(bad for _, bad in cases))


if __name__ == '__main__':
    main()
