# SPDX-License-Identifier: MIT
"""Pages of documentation, run as they are written.

A command stands in a fenced block: ```sh (each command must succeed, or exit with 1, which says that something was found) or
```console (each command begins with "$ " and prints what is quoted under it; "…" stands for anything, alone on a line for any
lines). All blocks of a page are one shell. ```c NAME, ```ini NAME: the block is the file NAME. ```sh needs-root, and what else is
in NEEDS: such a block is only read by a shell, not run, and the test says so. ```text, and indented blocks, hold no commands;
there is no other kind."""
import os
import re
import subprocess

from tap import Failed, check, read

FENCE = re.compile(r'^```([^\n`]*)\n(.*?)^```$', re.M | re.S)
COMMAND = re.compile(r'^    (\$ |iommusim \w|\./|sudo |meson |ninja |git |apt|dpkg|dtc |trace-cmd |perf |blktrace |fio |cat >)', re.M)
KINDS = {'sh', 'console', 'c', 'ini', 'text'}
NEEDS = {'needs-root', 'needs-nvme', 'needs-config-space', 'needs-build', 'needs-package'}
MARK = '\036'


def fences(text):
    """Each fenced block: its line, the words behind its fence, its text."""
    for match in FENCE.finditer(text):
        yield text.count('\n', 0, match.start()) + 1, match[1].split(), match[2]


def steps(block):
    """The commands of a console block as they stand there, each with what is quoted under it. A command goes on in the next line
    behind a backslash, and where that begins with "> "."""
    for part in re.split(r'^\$ ', block, flags=re.M)[1:]:
        match = re.match(r'((?:[^\n]*\\\n)*[^\n]*(?:\n> [^\n]*)*)\n?(.*)', part, re.S)
        yield match[1], match[2]


def stray_commands(text):
    """Lines with a command that no test runs."""
    plain = FENCE.sub(lambda match: '\n' * match[0].count('\n'), text)
    return [f'{plain.count(chr(10), 0, match.start()) + 1}: {match[0].strip()}' for match in COMMAND.finditer(plain)]


def strange_blocks(text):
    """Blocks that no test would run and nobody would miss: of a kind that is unknown, or not at the beginning of a line."""
    found = [f'{text.count(chr(10), 0, match.start()) + 1}: {match[0].strip()}'
             for match in re.finditer(r'^(?:[ \t>*-]+```|[ \t]*~~~).*', FENCE.sub(lambda match: '\n' * match[0].count('\n'), text), re.M)]
    for line, words, block in fences(text):
        kind, more = (words + [''])[0], words[1:]
        if kind not in KINDS:
            found.append(f'{line}: ```{kind}')
        elif kind in ('sh', 'console') and (more and kind != 'sh' or not NEEDS.issuperset(more)):
            found.append(f'{line}: {" ".join(more)}? Known: {", ".join(sorted(NEEDS))}, of sh')
        elif kind == 'sh' and subprocess.run(['bash', '-n'], input=block, encoding='utf-8', check=False, capture_output=True).returncode:
            found.append(f'{line}: no shell reads this')
        elif kind == 'console' and (not block.startswith('$ ') or not list(steps(block))):
            found.append(f'{line}: does not begin with a command')
    return found


def script_of(text):
    """The shell that runs a page; what it prints has a mark before each part. Returns it and the blocks that it skips."""
    script, skipped = ['exec 2>&1', f"trap 'status=$?; [ $status -lt 2 ] || printf \"{MARK}failed %s: exit %s\\n\" "
                       "\"$BASH_COMMAND\" $status' ERR"], []
    for line, words, block in fences(text):
        kind, more = (words + [''])[0], words[1:]
        if kind in ('c', 'ini') and more:
            script.append(f"cat > {more[0]} <<'{MARK}'\n{block}{MARK}")
        elif kind not in ('sh', 'console'):
            continue
        elif more:
            skipped.append(f'line {line}: {" ".join(more)}')
        elif kind == 'sh':
            script.append(f"printf '{MARK}sh {line}\\n'\n{block}")
        else:
            script += [f"printf '{MARK}console\\n'\n" + command.replace('\n> ', '\n') for command, _ in steps(block)]
    return '\n'.join(script) + f"\nprintf '{MARK}end\\n'\n", skipped


def run(text, environment):
    """Runs a page. Returns what each command of its console blocks printed, and what was skipped."""
    script, skipped = script_of(text)
    done = subprocess.run(['bash', '-c', script], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False,
                          encoding='utf-8', errors='replace', timeout=900, env=environment)
    parts = done.stdout.split(MARK)[1:]
    failed = [part for part in parts if part.startswith('failed')]
    check(not failed, 'a command fails', '\n'.join(failed) + '\n' + done.stdout[-2000:])
    check(parts and parts[-1] == 'end\n', 'the page runs to its end', done.stdout[-2000:])
    began = [part.split()[0] for part in parts if part.split()[0] in ('sh', 'console')]
    wanted = [kind for _, words, block in fences(text) for kind in words[:1] * len(list(steps(block)) if words[:1] == ['console'] else [0])
              if kind in ('sh', 'console') and not words[1:]]
    check(began == wanted, 'each block is run', f'{began}\n{wanted}')
    return [part.partition('\n')[2] for part in parts if part.startswith('console\n')], skipped


def fits(quoted, printed):
    pattern = re.escape(quoted).replace('…\\\n', '(?:.*\n)*').replace('…', '.*').replace('(?:.*\n)*', '(?:.*\\n)*')
    return re.fullmatch(pattern, printed)


def filled(text, printed):
    """TEXT with what its commands print, where that does not fit."""
    rest = iter(printed)

    def fill(match):
        if match[1].split() != ['console']:
            return match[0]
        block = ''
        for command, quoted in steps(match[2]):
            got = next(rest)
            block += f'$ {command}\n{quoted if fits(quoted, got) else got}'
        return f'```console\n{block}```'
    return FENCE.sub(fill, text)


def check_page(path, environment):
    """Runs the page PATH in the working directory. Returns what was skipped."""
    text = read(path)
    strays = stray_commands(text)
    check(not strays, f'{path}: commands stand in ```sh or ```console', '\n'.join(strays))
    strange = strange_blocks(text)
    check(not strange, f'{path}: blocks that are not run', '\n'.join(strange))
    printed, skipped = run(text, environment)
    wanted = filled(text, printed)
    if wanted != text:
        pairs = zip(text.splitlines(), wanted.splitlines())
        number, (has, should) = next((pair for pair in enumerate(pairs, 1) if pair[1][0] != pair[1][1]), (0, ('', '')))
        raise Failed(f'{path}:{number}: what is quoted is not what is printed\n< {has}\n> {should}')
    return skipped
