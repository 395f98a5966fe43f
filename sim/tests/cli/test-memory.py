# SPDX-License-Identifier: MIT
"""Memory does not grow with the trace. test-memory.py IOMMUSIM MAKE-TRACE"""
import os
import sys

from tap import Cases, Program, check

program = Program(sys.argv[1])
make_trace = os.path.abspath(sys.argv[2])
cases = Cases()

SHORT, LONG = 50_000, 400_000
PEAK_MIB, GROWTH_MIB = 64, 4


def peak_mib(*args):
    """The most memory that this one run had resident."""
    null = os.open(os.devnull, os.O_RDWR)
    child = os.posix_spawn(args[0], args, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
    os.close(null)
    _, status, usage = os.wait4(child, 0)
    check(os.waitstatus_to_exitcode(status) == 0, f'exit {status} of {" ".join(args)}')
    return usage.ru_maxrss / 1024


def constant(command, options, shape):
    peaks = []
    for ios in (SHORT, LONG):
        name = f'ios-{ios}'
        peak_mib(make_trace, name, f'ios={ios}', *shape)
        peaks.append(peak_mib(program.path, *command, *options, name))
    print(f'# {peaks[0]:.1f} MiB for {SHORT} I/Os, {peaks[1]:.1f} MiB for {LONG}')
    check(peaks[1] < PEAK_MIB, f'{peaks[1]:.1f} MiB')
    check(abs(peaks[1] - peaks[0]) < GROWTH_MIB, f'{peaks[0]:.1f} MiB for {SHORT} I/Os, {peaks[1]:.1f} MiB for {LONG}')


REMOTE = ['remote=25']
for mode in ('open', 'closed', 'asap'):
    cases.add(f'replay/{mode}', constant, ['replay'], [f'--mode={mode}'], REMOTE)
cases.add('replay/open-with-results', constant, ['replay'], ['-o', 'out', '--snapshot-every=#20000'], REMOTE)
cases.add('replay/asap-all-completions-on-another-cpu', constant, ['replay'], ['--mode=asap'], ['remote=100'])
cases.add('replay/asap-deep', constant, ['replay'], ['--mode=asap'], ['depth=256', 'remote=25'])
cases.add('trace/info', constant, ['trace', 'info'], [], REMOTE)

cases.main()
