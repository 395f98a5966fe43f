# SPDX-License-Identifier: MIT
"""trace convert: what a replay makes of a trace, it makes of the trace in any format that said it dropped nothing that
counts. iot is read and made by docs/formats/iot.md as well (iot.py). test-convert.py IOMMUSIM"""
import itertools
import json
import os
import re
import subprocess
import sys

import iot
from tap import BOOT, BOOT_BLKTRACE, FIXTURES, Cases, Program, check, equal, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

TRACES = os.path.join(FIXTURES, 'traces')
SHARED = os.path.join(os.environ.get('SHARED', ''), 'traces')
FORMATS = ['iot', 'ftrace', 'blkparse', 'csv', 'fio']
# What a replay does not look at, ever; and what only asap does, which takes completions from the trace.
NEVER = {'other_events', 'device_names', 'errors', 'requeues'}
OF_ASAP = {'completions', 'completion_cpus', 'without_completions', 'order'}


def convert(to, out, trace, *options):
    """Returns the names of what was dropped."""
    said = program.expect(0, 'trace', 'convert', '--json', f'--to={to}', '-o', out, *options, trace)
    facts = json.loads(said.out)
    equal(facts['to'], to, 'format')
    dropped = {name for name, count in facts['dropped'].items() if count}
    equal(len(said.err.splitlines()), len(dropped), 'lines that say what was dropped', said)
    for line in said.err.splitlines():
        check(line.endswith(f' dropped: {to} cannot hold them'), 'says what was dropped', said)
    return dropped


def content(path):
    with open(path, 'rb') as file:
        return file.read()


def result(trace, mode, *options):
    """All that a replay writes, but for what it says of the trace itself, of how it was called and of the host."""
    program.run('replay', '-o', 'out', f'--mode={mode}', *options, trace)
    run = json.loads(content('out/run.json'))
    for said in 'host', 'trace', 'options':
        run.pop(said, None)
    return [run] + [content(f'out/{name}') for name in ('end.snap', 'teardown.snap', 'timeline.csv')]


def same(trace, *options):
    """Converts TRACE to each format and replays what has it all. Returns by how many formats."""
    wanted = {mode: result(trace, mode, *options) for mode in ('open', 'asap')}
    held = {}
    for to in FORMATS:
        dropped = convert(to, 't.out', trace, *options) - NEVER
        for mode in wanted:
            if dropped - (OF_ASAP if mode != 'asap' else set()):
                continue
            held.setdefault(mode, set()).add(to)
            for got, expected, name in zip(result('t.out', mode), wanted[mode], ('run.json', 'end.snap', 'teardown.snap',
                                                                                'timeline.csv')):
                check(got == expected, f'{os.path.basename(trace)} as {to}, {mode}: another {name}')
    return held


# What has to be held at least, so that a writer that says it drops everything does not pass.
HELD = {
    'v7.0-strict-ext4.trace.txt.zst': {'iot', 'ftrace'},
    'v6.1-strict-ext4.trace.txt.zst': {'iot', 'ftrace'},
    'v7.0-strict-ext4.blktrace': {'iot', 'ftrace', 'blkparse', 'csv'},
    'v7.0-strict-ext4.blkparse.txt.zst': {'iot', 'ftrace', 'blkparse', 'csv'},
    'loop-mix.blktrace': {'iot', 'ftrace', 'blkparse'},
    'loop-mix.blkparse.txt': {'iot', 'ftrace', 'blkparse'},
    'loop-mix.ftrace-blk.txt': {'iot', 'ftrace', 'blkparse'},
    'loop-mix.ftrace-events.txt': {'iot', 'ftrace', 'blkparse'},
    'loop-mix.fio-v3.iolog': {'iot', 'csv', 'fio'},
    'loop-uring.perf-script.txt': {'iot', 'ftrace', 'blkparse'},
    'synthetic.trace.dat': {'iot', 'ftrace'},
    'synthetic-nvme-iommu-dma.ftrace.txt': {'iot', 'ftrace'},
    'synthetic-alibaba.csv': {'iot', 'csv', 'fio'},
    'synthetic-fio-v2.iolog': {'iot', 'csv', 'fio'},
    'synthetic-mqsim.trace': {'iot', 'csv'},
    'synthetic-msr.csv': {'iot', 'ftrace', 'blkparse', 'csv'},
    'synthetic-spc.txt': {'iot', 'csv'},
    'synthetic-systor17.csv': {'iot', 'csv'},
    'synthetic-tencent.csv': {'iot', 'csv', 'fio'},
}

for name, formats in HELD.items():
    @case(f'same-replay/{name}')
    def _(name=name, formats=formats):
        held = same(os.path.join(TRACES, name))
        for mode in held:
            check(formats <= held[mode], f'{mode}: held by {sorted(held[mode])}')

for at in ('queue', 'setup'):
    @case(f'same-replay/at-{at}')
    def _(at=at):
        trace = os.path.join(TRACES, 'loop-mix.ftrace-events.txt') if at == 'queue' else BOOT
        check({'iot', 'ftrace'} <= same(trace, f'--at={at}')['open'], 'held')

for name, part in (('from-to', ['--from=1s', '--to=2500ms']), ('skip', ['--skip=100']), ('scale', ['--scale=2.5']),
                   ('repeat', ['--repeat=3', '--skip=50'])):
    @case(f'same-replay/a-part/{name}')
    def _(part=part):
        wanted = result(BOOT_BLKTRACE, 'asap', *part)
        convert('iot', 't.iot', BOOT_BLKTRACE, *part)
        for got, expected, what in zip(result('t.iot', 'asap'), wanted, ('run.json', 'end.snap')):
            check(got == expected, f'another {what}')


# A few of each kind where there are more recordings.
MORE = ['v7.0-lazy-mixed-qd16x4/trace.txt.zst', 'v7.0-strict-mixed-qd16x4/trace.dat.zst',
        'v7.0-strict-mixed-fault-iova/trace.txt.zst', 'v7.0-strict-admin/trace.txt.zst',
        'v7.0-strict-unaligned-qd8x2/trace.txt.zst', 'v7.0-lazy-trim-mix/blktrace', 'v6.1-lazy-mixed-qd16x4/trace.txt.zst',
        'v7.0-strict-mixed-qd16x4/mixed-qd16x4.iolog.zst', 'public-samples/systor17-lun0-sample.csv.gz']
for name in MORE:
    path = os.path.join(SHARED, name)
    if os.path.exists(path):
        @case(f'same-replay/shared/{name}')
        def _(path=path):
            held = same(path)
            equal({mode for mode in held if 'iot' in held[mode]}, {'open', 'asap'}, 'modes that iot holds')


# ---- iot ----

@case('iot/to-ftrace-and-back-is-the-same-bytes')
def _():
    for name in ('v7.0-strict-ext4.trace.txt.zst', 'v7.0-strict-ext4.blktrace', 'synthetic.trace.dat',
                 'v6.1-strict-ext4.trace.txt.zst'):
        convert('iot', 'a.iot', os.path.join(TRACES, name))
        equal(convert('ftrace', 'b.txt', 'a.iot'), set(), f'{name}: dropped')
        convert('iot', 'c.iot', 'b.txt')
        check(content('a.iot') == content('c.iot'), f'{name}: other bytes')


@case('iot/is-what-its-page-says')
def _():
    for name in sorted(HELD):
        convert('iot', 't.iot', os.path.join(TRACES, name))
        _, cpus, issues, ends = iot.decode(content('t.iot'))
        facts = json.loads(program.expect(0, 'trace', 'info', '--json', os.path.join(TRACES, name)).out)
        equal(len(issues), facts['ios'], f'{name}: requests')
        equal(sum(end['how'] == 0 for end in ends), facts['completed'], f'{name}: completions')
        equal(sum(end['how'] == 1 for end in ends), facts['requeued'], f'{name}: refusals')
        equal(cpus, facts['cpus'], f'{name}: CPUs')
        equal({issue['device'] for issue in issues}, {device['name'] for device in facts['devices']}, f'{name}: devices')
        for op in facts['ops']:
            mine = [issue['bytes'] for issue in issues if issue['op'] == op['op']]
            equal((len(mine), sum(mine)), (op['count'], op['data_bytes']), f'{name}: {op["op"]}')
        times = [issue['time'] for issue in issues]
        equal(max(times + [end['time'] for end in ends]) - min(times), facts['span_ns'], f'{name}: span')


@case('iot/a-pipe-will-do')
def _():
    convert('iot', 't.iot', BOOT)
    whole = program.expect(0, 'trace', 'info', 't.iot').out
    with subprocess.Popen(['cat', 't.iot'], stdout=subprocess.PIPE) as cat:
        said = subprocess.run([program.path, 'trace', 'info', '-'], stdin=cat.stdout, capture_output=True, check=True)
    equal(said.stdout.decode(), whole, 'the same from a pipe')


@case('iot/packed')
def _():
    convert('iot', 't.iot', BOOT)
    convert('iot', 't.iot.zst', BOOT)
    check(content('t.iot.zst')[:4] == b'\x28\xb5\x2f\xfd', 'packed')
    equal(program.expect(0, 'trace', 'info', 't.iot.zst').out, program.expect(0, 'trace', 'info', 't.iot').out, 'info')


@case('iot/damage-is-one-line')
def _():
    whole = content(os.path.join(TRACES, 'synthetic.iot'))
    for i in range(0, len(whole), 7):
        write('cut.iot', whole[:i])
        program.refuses('trace', 'convert', '--to=csv', '-o', 'out.csv', 'cut.iot')
        write('flipped.iot', whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1:])
        message = program.refuses('trace', 'convert', '--to=csv', '-o', 'out.csv', 'flipped.iot')
        check(i < 8 or message.startswith('flipped.iot@'), message)
        check(not os.path.exists('out.csv'), 'no file is left')


def flagged(*segments, count=4096):
    return write('t.iot', iot.whole(iot.issue('write', 1000, 0, 0, 64, count, (1, 7), segments), iot.end(500)))


@case('iot/metadata-is-replayed')
def _():
    meta = [(0x10000, 4096, 0), (0x20000, 32, iot_meta), (0x30000, 32, iot_meta)]
    flagged(*meta)
    # Pieces that end inside a page: the kernel's own check of gaps is of the data's (D6).
    machine = ['--set', 'nvme.metadata=8', '--set', 'nvme.metadata-sgl=yes', '--set', 'behaviour.metadata-gap=own']
    program.expect(0, 'replay', '-o', 'out', '--mode=asap', *machine, 't.iot')
    # Completion is left out: then the mappings are there to be seen.
    write('open.iot', iot.whole(iot.issue('write', 1000, 0, 0, 64, 4096, (1, 7), meta)))
    program.run('replay', '-o', 'out', '--mode=asap', *machine, 'open.iot')
    snap = content('out/end.snap').decode()
    for paddr in ('0000000000010000', '0000000000020000', '0000000000030000'):
        check(f'pa=0x{paddr}' in snap, f'{paddr} is mapped')


@case('iot/metadata-that-does-not-fit-is-refused')
def _():
    flagged((0x10000, 4096, 0), (0x20000, 64, iot_meta))
    equal(program.refuses('replay', 't.iot'),
          't.iot: request 1 has 64 bytes of metadata in 1 segments, and this controller takes 0 in 1: see nvme.metadata, '
          'nvme.metadata-sgl', 'message')
    flagged((0x10000, 4096, 0), (0x20000, 32, iot_meta), (0x30000, 32, iot_meta))
    check('in 2 segments, and this controller takes 64 in 1' in program.refuses('replay', '--set', 'nvme.metadata=8', 't.iot'),
          'two segments without an SGL')


@case('iot/metadata-of-a-request-that-is-split')
def _():
    write('t.iot', iot.whole(iot.issue('write', 1000, 0, 0, 64, 1 << 20, (1, 7),
                                       [(0x100000, 1 << 20, 0), (0x1000000, 16384, iot_meta)]), iot.end(500)))
    said = json.loads(program.expect(0, 'replay', '--json', '--set', 'nvme.metadata=8', '--set', 'nvme.mdts=5', 't.iot').out)
    equal(said['replay']['ios'], 1, 'requests')
    check(said['replay']['splits'] > 0, 'it is split')


@case('iot/peer-to-peer-is-refused-not-forgotten')
def _():
    flagged((0x10000, 4096, iot_p2p))
    outside = 't.iot: request 1 has peer-to-peer memory at 0x10000-0x10fff, which is not within machine.p2p: give '
    equal(program.refuses('replay', 't.iot'), outside + 'that, or another segments.layout', 'none')
    for other in '0x11000-0x11fff', '0xf000-0xffff':
        equal(program.refuses('replay', '--set', f'machine.p2p={other}', 't.iot'),
              outside + 'a larger one, or another segments.layout', other)
    program.expect(0, 'replay', '--set', 'segments.layout=scattered', 't.iot')
    program.expect(0, 'replay', '--set', 'machine.p2p=0x10000-0x10fff', '--set', 'behaviour.p2p-vec-free=fixed', 't.iot')
    for to in ('csv', 'ftrace'):
        check('segment_flags' in convert(to, 't.out', 't.iot'), f'{to} says so')


@case('iot/memory-that-is-partly-another-devices-is-refused')
def _():
    flagged((0x10000, 8192, 0), count=8192)
    for part in '0x10000-0x10fff', '0x11000-0x11fff':
        equal(program.refuses('replay', '--set', f'machine.p2p={part}', 't.iot'),
              't.iot: request 1 has memory at 0x10000-0x11fff, which is not within machine.p2p: give a larger one, or another '
              'segments.layout', part)
    program.expect(0, 'replay', '--set', 'machine.p2p=0x12000-0x12fff', 't.iot')


PEER = 0x380000000000
WINDOW = '--set', 'machine.p2p=0x380000000000-0x38000fffffff'


def to_peer(flags=2, ends=True):
    """A write and a read of four pieces of PEER each, and a write of four of the host's own."""
    own, peer, more = ([(at + i * 0x10000, 4096, what) for i in range(4)]
                       for at, what in ((0x10000, 0), (PEER, flags), (PEER + 0x100000, flags)))
    records, before = [], (0, 0)
    for i, (op, segments) in enumerate((('write', peer), ('write', own), ('read', more))):
        records.append(iot.issue(op, 1000, 0, 0, 64, 16384, (1, i), segments, before=before))
        before = 64 + 32, segments[-1][0] + 4096
        records += [iot.end(500)] if ends else []
    return write('t.iot', iot.whole(*records))


def replay_peer(code, *args):
    return json.loads(program.expect(code, 'replay', '-o', 'out', '--json', *WINDOW, *args, 't.iot').out)


def mapped():
    """Where what is mapped for requests begins, in pages."""
    return set(re.findall(r'^map .* pa=0x0*([0-9a-f]+)000 .* owner=req:[1-9]', content('out/end.snap').decode(), re.M))


@case('iot/peer-to-peer-goes-over-the-bus')
def _():
    """Without an IOVA, and wherever the memory is there; by the address where the recording does not say so."""
    for where, flags in itertools.product(('0', '0x10000', '0x40000000', '0xfffffffff0000000'), (2, 0)):
        to_peer(flags)
        args = '--set', 'behaviour.p2p-vec-free=fixed', '--set', f'machine.p2p-bus={where}'
        found = replay_peer(0, *args)
        equal((found['replay']['ios'], found['replay']['errors']), (3, 0), f'{where}: done')
        equal(program.expect(0, 'snapshot', 'check', 'out/end.snap').out, 'out/end.snap: sound\n', 'sound')
        first = int(where, 0) or PEER
        check(f'reserved domain=1 range=0x{first:016x}-0x{first + 0xfffffff:016x}\n' in content('out/end.snap').decode(),
              f'{where}: nobody gets these IOVAs')
        to_peer(flags, ends=False)
        replay_peer(0, '--mode=asap', *args)
        program.expect(0, 'snapshot', 'check', 'out/end.snap')
        equal({page for page in mapped() if int(page, 16) < 1 << 34}, {'10', '20', '30', '40'}, f'{where}: of the host alone')


@case('iot/peer-to-peer-goes-through-the-host-bridge')
def _():
    to_peer(ends=False)
    found = replay_peer(0, '--mode=asap', '--set', 'machine.p2p-path=host-bridge')
    equal((found['replay']['ios'], found['replay']['errors']), (3, 0), 'done')
    program.expect(0, 'snapshot', 'check', 'out/end.snap')
    check({f'{PEER + at >> 12:x}' for at in range(0, 0x40000, 0x10000)} <= mapped(), 'mapped as all memory is', mapped())


@case('iot/peer-to-peer-out-of-reach-ends-the-request')
def _():
    to_peer()
    for version in '6.1', '7.0':
        found = replay_peer(0, '--set', 'machine.p2p-path=unsupported', '--set', f'kernel.version={version}')
        equal((found['replay']['ios'], found['replay']['errors']), (3, 2), version)


@case('iot/peer-to-peer-requests-lose-a-record-each')
def _():
    """p2p-vec-free (D9): where segments are mapped one by one, behind an IOMMU, and by PRPs."""
    to_peer()
    for args, lost in (([], 2), (['--set', 'kernel.version=7.0-later'], 0), (['--set', 'kernel.version=6.1'], 0),
                       (['--set', 'machine.p2p-path=host-bridge'], 0), (['--set', 'iommu.mode=passthrough'], 0),
                       (['--set', 'nvme.sgl-threshold=4096'], 0),
                       (['--dtb', os.path.join(os.environ['BOARDS'], 'arm-smmu-v3.dtb')], 2)):
        found = replay_peer(1 if lost else 0, *args)
        equal([row['text'] for row in found['violations']], [f'{lost} vector tables were never freed'] if lost else [], args)


iot_meta, iot_p2p = 1, 2


@case('iot/a-device-without-a-name')
def _():
    write('t.iot', iot.whole(iot.issue('write', 1000), iot.end(5), names=((0, b''),)))
    for to in ('fio', 'csv'):
        check('device_names' in convert(to, 't.out', 't.iot'), f'{to} says so')
        said = json.loads(program.expect(0, 'trace', 'info', '--json', 't.out').out)
        equal((said['ios'], said['devices']), (1, [{'name': '_'}]), to)


# ---- the command ----

@case('says-what-is-dropped-in-words')
def _():
    said = program.expect(0, 'trace', 'convert', '--to=csv', '-o', 't.csv', BOOT)
    check('iommusim: segments of 523 requests dropped: csv cannot hold them\n' in said.err, 'segments', said)
    equal(said.out, '', 'standard output')


@case('standard-output')
def _():
    convert('csv', 't.csv', BOOT_BLKTRACE)
    equal(program.expect(0, 'trace', 'convert', '--to=csv', '-o', '-', BOOT_BLKTRACE).out.encode(), content('t.csv'), 'bytes')
    said = program.expect(0, 'trace', 'info', '--csv=time:ns,op,offset:sectors,size:bytes,device,cpu,response:ns', 't.csv')
    equal(said.out, program.expect(0, 'trace', 'info', 't.csv').out, 'its first line says its columns')


@case('help-has-an-example-that-works')
def _():
    text = program.expect(0, 'trace', 'convert', '--help').out
    for to in FORMATS:
        check(f'\n  {to} ' in text, f'{to} is listed', text)
    words = text[text.index('Example:'):].split()[2:]
    equal(words[-1], 'fixtures/traces/v7.0-strict-ext4.trace.txt.zst', 'a trace that is there')
    program.expect(0, *words[:-1], BOOT)
    check(os.path.getsize('boot.iot') > 1000, 'the file is there')


@case('a-broken-trace-leaves-nothing')
def _():
    with open(os.path.join(TRACES, 'loop-mix.ftrace-events.txt'), 'rb') as file:
        write('broken.txt', b''.join(file.readlines()[:200]) + b'this is no line\n')
    for to in FORMATS:
        check('broken.txt:201: ' in program.refuses('trace', 'convert', f'--to={to}', '-o', 'out', 'broken.txt'), 'the line')
        equal(os.listdir('.'), ['broken.txt'], 'files')


@case('an-old-file-stays-until-the-new-one-is-whole')
def _():
    write('out', 'old')
    write('broken.txt', content(os.path.join(TRACES, 'loop-mix.blkparse.txt')) + b'no line\n')
    program.refuses('trace', 'convert', '--to=iot', '-o', 'out', 'broken.txt')
    equal(content('out'), b'old', 'what was there')


@case('progress')
def _():
    said = program.expect(0, 'trace', 'convert', '--progress=always', '--to=iot', '-o', 't.iot', BOOT)
    check('I/Os, ' in said.err, 'shown', said)
    said = program.expect(0, 'trace', 'info', '--progress=always', 't.iot')
    check('I/Os, ' in said.err, 'shown', said)


REFUSED = [
    ('no-format', ['-o', 'x', BOOT], 'give the format to write as --to=NAME'),
    ('no-output', ['--to=iot', BOOT], 'give the file to write as -o OUT, - for standard output'),
    ('format-unknown', ['--to=tape', '-o', 'x', BOOT], '--to=tape: no format that can be written (iot, csv, fio, '
                                                      'blkparse, ftrace)'),
    ('format-only-read', ['--to=perf', '-o', 'x', BOOT], '--to=perf: no format that can be written'),
    ('json-and-output', ['--json', '--to=iot', '-o', '-', BOOT], '--json and -o - both want standard output'),
    ('directory-missing', ['--to=iot', '-o', 'no/such', BOOT], 'no/such: No such file or directory'),
    ('trace-missing', ['--to=iot', '-o', 'x', 'no-such'], 'no-such: '),
    ('gzip', ['--to=iot', '-o', 'x.gz', BOOT], '-o x.gz: gzip is only read'),
    ('no-trace', ['--to=iot', '-o', 'x'], 'takes 1 argument'),
]
for name, args, message in REFUSED:
    @case(f'refused/{name}')
    def _(args=args, message=message):
        said = program.refuses('trace', 'convert', *args)
        check(message in said, f'{message!r} in {said!r}')
        equal(os.listdir('.'), [], 'files')

cases.main()
