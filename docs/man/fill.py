# SPDX-License-Identifier: MIT
"""Fills a page of the manual with what the program itself knows. fill.py IOMMUSIM PAGE.scd OUT.scd

A line "@WORD ...@" of the page is replaced: by the command's name and summary, its synopsis, options, examples; by the
commands; by keys, behaviours, fault points, formats. So the manual cannot say less than the program."""
import json
import os
import re
import subprocess
import sys

OPTION = re.compile(r'^  ((?:-\w, )?--[\w-]+)(=\S.*?)?(?:  +(.*))?$')
EXITS = [('2', 'The request or its input cannot be used; one line on standard error says what and where.'),
         ('3', 'An internal error.')]


def ask(*words):
    return subprocess.run([PROGRAM, *words], stdout=subprocess.PIPE, check=True, encoding='utf-8').stdout


def told(*words):
    return json.loads(ask(*words, '--json'))


def plain(text):
    """TEXT so that scdoc changes nothing in it."""
    return re.sub(r'([\\_*#<>`~+.\[\]|:!-])', r'\\\1', text)


def entry(name, value, text):
    """A name, what it is set to, and an indented explanation."""
    return f'*{plain(name)}*{plain(value)}\n\t{plain(text)}\n'


def commands():
    """Names and summaries, from the program's own help."""
    return re.findall(r'^  (\w+(?: \w+)?)  +(\w.*)$', ask('--help').split('Commands:\n')[1].split('\nOptions:')[0], re.M)


def page_of(command):
    return 'iommusim-' + command.replace(' ', '-')


def command_of(page):
    """The command that PAGE is about, as words."""
    found = [name for name, _ in commands() if page_of(name) == page]
    return found[0] if found else None


def family_of(page):
    return [(name, summary) for name, summary in commands() if page_of(name).startswith(page + '-')]


def fill_name(_):
    command = command_of(PAGE)
    return f'{PAGE} - {plain(dict(commands())[command])}\n'


def fill_synopsis(_):
    usage = ask(*command_of(PAGE).split(), '--help').splitlines()[1].strip().replace('[OPTION…]', '[OPTION...]')
    name = 'iommusim ' + command_of(PAGE)
    return f'*{name}*{plain(usage[len(name):])}\n'


def fill_options(_):
    found = []
    for line in ask(*command_of(PAGE).split(), '--help').splitlines():
        option = OPTION.match(line)
        if option:
            found.append(entry(option[1], option[2] or '', option[3] or ''))
    return '\n'.join(found)


def fill_example(_):
    lines = ask(*command_of(PAGE).split(), '--help').split('\nExample:\n')[1].strip('\n').splitlines()
    return '```\n' + '\n'.join(line.strip() for line in lines) + '\n```\n'


def fill_exit(words):
    done, _, found = words.partition('|')
    rows = [('0', done.strip())] + ([('1', found.strip())] if found else []) + EXITS
    return '\n'.join(f'*{code}*\n\t{plain(text)}\n' for code, text in rows)


def fill_commands(_):
    listed = family_of(PAGE) if PAGE != 'iommusim' else commands()
    return '\n'.join(f'*{name}*\n\t{plain(summary)}. See *{page_of(name)}*(1).\n' for name, summary in listed)


def fill_keys(group):
    return '\n'.join(entry(key['key'].split('.', 1)[1], f' = {key["default"]}',
                           ' '.join(filter(None, [key['what'] and key['what'].rstrip('.') + '.', f'Takes {key["takes"]}.'])))
                     for key in told('machine', 'show')['keys'] if key['key'].startswith(group + '.'))


def fill_behaviours(_):
    return '\n'.join(entry(row['name'], ' = ' + ' | '.join(value['value'] for value in row['values']),
                           f'{row["what"]} Upstream: {row["upstream"]}. In 7.0: '
                           + next(v['value'] for v in row['versions'] if v['version'] == '7.0') + '.')
                     for row in told('behaviours')['behaviours'])


def fill_points(_):
    return '\n'.join(entry(point['point'], f' ({point["errno"]})', f'{point["sees"]}: {point["source"]}')
                     for point in told('faults', 'points')['points'])


def fill_formats(_):
    return '\n'.join(entry(row['name'], ' (read and written)' if row['writes'] else ' (read)', row['description'])
                     for row in told('trace', 'formats')['formats'])


def fill_help_list(title):
    """A list of the command's --help, under TITLE."""
    text = ask(*command_of(PAGE).split(), '--help').split(f'\n{title}:\n')[1].split('\n\n')[0]
    return '\n'.join(entry(*re.match(r'  (\S+)()  *(.*)', line).groups()) for line in text.splitlines())


def main():
    with open(sys.argv[2], encoding='utf-8') as file:
        text = file.read()

    def fill(match):
        word, _, rest = match[1].partition(' ')
        return globals()['fill_' + word.replace('-', '_')](rest)
    with open(sys.argv[3], 'w', encoding='utf-8') as file:
        file.write(re.sub(r'^@(.+)@\n', fill, text, flags=re.M))


PROGRAM = os.path.abspath(sys.argv[1])
PAGE = os.path.basename(sys.argv[2]).rsplit('.', 2)[0]
main()
