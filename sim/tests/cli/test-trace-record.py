# SPDX-License-Identifier: MIT
"""trace record: a trace is issued on a file of this machine, and what it writes is a trace of the same requests with the
latencies measured here. What the kernel refuses is brought about with a seccomp filter. test-trace-record.py IOMMUSIM"""
import contextlib
import ctypes
import errno
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import time

import iot
from tap import BOOT, PREFIX, Cases, Program, Result, Skipped, check, equal, tree, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case
MIB = 1 << 20

# ---- what the kernel refuses ----

CALLS = {'x86_64': (425, 257), 'aarch64': (425, 56)}  # io_uring_setup, openat


def refuse(*filter_):
    """Returns a function that lets the kernel refuse this process whatever FILTER, of BPF, says."""
    def begin():
        program_ = b''.join(struct.pack('HBBI', *line) for line in filter_)
        buffer = ctypes.create_string_buffer(program_)
        prog = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(filter_), ctypes.addressof(buffer)))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, prog):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
            os._exit(99)
    return begin


LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, FAIL = 0x7fff0000, 0x00050000


def calls():
    if platform.machine() not in CALLS:
        raise Skipped('numbers of system calls are not known for this machine')
    return CALLS[platform.machine()]


def refuse_uring(code):
    return refuse((LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 1, calls()[0]), (RETURN, 0, 0, FAIL | code), (RETURN, 0, 0, ALLOW))


def refuse_direct():
    """openat() with O_DIRECT: EINVAL, as file systems do that cannot."""
    return refuse((LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 3, calls()[1]), (LOAD, 0, 0, 16 + 8 * 2),
                  (JUMP_SET, 0, 1, os.O_DIRECT), (RETURN, 0, 0, FAIL | errno.EINVAL), (RETURN, 0, 0, ALLOW))


def run_refused(how, *args):
    done = subprocess.run([program.path, *args], capture_output=True, preexec_fn=how, check=False)
    if done.returncode == 99:
        raise Skipped('no seccomp filters here')
    return Result(list(args), done.returncode, done.stdout.decode(), done.stderr.decode())


def needs_uring():
    """Skips what needs io_uring where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    params = ctypes.create_string_buffer(120)
    ring = libc.syscall(calls()[0], 1, params)
    if ring < 0:
        raise Skipped(f'io_uring is not allowed here: {os.strerror(ctypes.get_errno())}')
    os.close(ring)


# ---- traces and devices ----

def device(size=8 * MIB, name='device'):
    """A file without holes."""
    return write(name, os.urandom(min(size, MIB)) * (size // MIB) + os.urandom(size % MIB))


def trace(*records, name='in.iot'):
    return write(name, iot.whole(*records))


def serial(*requests_, each_ns=1000):
    """Requests (op, sector, bytes), each over before the next begins. A file has places as differences."""
    records, behind = [], 0
    for op, lba, count in requests_:
        records += [iot.issue(op, each_ns, lba=lba - behind, count=count), iot.end(each_ns)]
        behind = lba + count // 512
    return records


def reads(*places, count=4096, each_ns=1000):
    return serial(*(('read', lba, count) for lba in places), each_ns=each_ns)


def record(*options, code=0, dev='device', source='in.iot'):
    needs_uring()
    result = program.expect(code, 'trace', 'record', '--json', '--device', dev, *options, source)
    return json.loads(result.out) if code == 0 else result


def recorded(name='out.iot'):
    with open(name, 'rb') as file:
        _, _, issues, ends = iot.decode(file.read())
    return issues, ends


def requests(name):
    """What replays look at, but for times."""
    return [{key: value for key, value in issue.items() if key not in ('time', 'flags')} for issue in recorded(name)[0]]


# ---- what is written ----

@case('reads/same-requests-with-latencies-of-their-own')
def same_requests():
    device()
    trace(*reads(0, 8, 8, 16))
    said = record('-o', 'out.iot')
    equal((said['ios'], said['completed'], said['errors'], said['wrapped']), (4, 4, 0, 0), 'counts')
    equal(requests('out.iot'), requests('in.iot'), 'requests')
    issues, ends = recorded()
    equal(sorted(end['request'] for end in ends), [1, 2, 3, 4], 'each ends')
    equal({(end['error'], end['how']) for end in ends}, {(0, 0)}, 'how')
    took = [end['time'] - issues[end['request'] - 1]['time'] for end in ends]
    check(all(0 < ns < 60e9 for ns in took), f'latencies: {took}')
    read = said['latencies'][0]
    equal((read['op'], read['count']), ('read', 4), 'latencies')
    # The clock is read once more between the times that are written and the latency.
    check(abs(sum(took) / 4 - read['latency_mean_ns']) < 1e8 and read['latency_min_ns'] <= min(took), 'the same latencies',
          f'{took} {read}')


@case('recording/replays-and-again')
def whole_recording():
    device()
    said = record('--mode=closed', '-o', 'out.iot', source=BOOT)
    check(said['ios'] > 200 and said['errors'] == 0, 'all reads', said)
    equal((said['skipped']['write'], said['skipped']['passthrough'], said['skipped']['read']), (178, 29, 0), 'left out')
    program.expect(0, 'replay', 'out.iot')
    again = record('--mode=closed', '-o', 'again.iot', source='out.iot')
    equal(again['ios'], said['ios'], 'requests')
    equal(requests('again.iot'), requests('out.iot'), 'the same requests')
    check(any(issue['segments'] for issue in requests('out.iot')), 'segments are kept')


@case('sizes/up-to-1-mib-and-of-less-than-a-block')
def sizes():
    device()
    trace(*serial(*(('read', 0, count) for count in (512, 1024, 4096, 131072, MIB, 1536))))
    said = record('-o', 'out.iot')
    equal((said['ios'], said['errors']), (6, 0), 'all of them')
    equal([issue['bytes'] for issue in recorded()[0]], [512, 1024, 4096, 131072, MIB, 1536], 'sizes as they were')


@case('unaligned/is-rounded-outwards')
def unaligned():
    device()
    trace(iot.issue('read', 0, lba=3, count=700), iot.end(5))
    said = record('-o', 'out.iot')
    equal((said['ios'], said['errors'], said['rounded']), (1, 0, 1 if said['direct'] else 0), 'counts')
    equal((recorded()[0][0]['lba'], recorded()[0][0]['bytes']), (3, 700), 'place as it was')


@case('order/open-keeps-time-stamps')
def open_mode():
    device()
    trace(*reads(0, 0, 0, 0, 0, each_ns=20_000_000))
    said = record('-o', 'out.iot')
    times = [issue['time'] for issue in recorded()[0]]
    check(all(time_ >= at * 40_000_000 for at, time_ in enumerate(times)), f'not before their time: {times}')
    equal(times[0], 0, 'from the first on')
    equal(said['mode'], 'open', 'mode')


@case('order/closed-does-not-wait')
def closed_mode():
    device()
    trace(*reads(0, 0, 0, 0, 0, each_ns=100_000_000_000))
    begun = time.monotonic()
    said = record('--mode=closed')
    check(time.monotonic() - begun < 100, 'does not wait for time stamps')
    equal((said['mode'], said['ios'], said['late']), ('closed', 5, 0), 'all')


@case('depth/as-recorded-or-as-told')
def depth():
    device()
    burst = [iot.issue('read', 0, lba=0) for _ in range(40)] + [iot.end(10, ago=39 - i) for i in range(40)]
    single = reads(*[0] * 20, each_ns=0)
    trace(*single)
    equal(record('--mode=closed')['max_in_flight'], 1, 'one by one')
    check(record('--mode=closed', '--depth=4')['max_in_flight'] <= 4, 'as told')
    trace(*burst)
    found = record('--mode=closed', '-o', 'out.iot')
    check(1 <= found['max_in_flight'] <= 40, 'not deeper than recorded', found)
    equal(record('--mode=closed', '--depth=1')['max_in_flight'], 1, 'as told')
    # A list has no completions: they are there now.
    write('list.csv', '\n'.join(f'{at * 1000},R,0,4096' for at in range(100)) + '\n')
    found = record('--mode=closed', '-o', 'out.iot', '--csv=time:ns,op,offset:sectors,size:bytes', source='list.csv')
    check(found['max_in_flight'] <= 32, 'the depth of a list', found)
    issues, ends = recorded()
    equal((len(issues), len(ends), {issue['flags'] for issue in issues}), (100, 100, {0}), 'all complete')


@case('output/to-standard-output')
def to_stdout():
    needs_uring()
    device()
    trace(*reads(0, 8))
    done = subprocess.run([program.path, 'trace', 'record', '--device', 'device', '-o', '-', 'in.iot'], capture_output=True,
                          check=True)
    equal(len(iot.decode(done.stdout)[2]), 2, 'the trace')
    check(b'latencies' in done.stderr, 'the rest is on standard error', done.stderr)


@case('repeat/and-parts')
def parts():
    device()
    trace(*reads(0, 8, 16))
    equal(record('--repeat=3', '--skip=1', '-o', 'out.iot')['ios'], 6, 'requests')
    equal(len(recorded()[0]), 6, 'requests')


# ---- places ----

@case('short-device/wraps')
def wraps():
    device(64 * 1024 + 100)
    trace(*reads(0, 1 << 30, (1 << 30) + 120, 120, 127))
    said = record()
    equal((said['ios'], said['errors'], said['beyond']), (5, 0, 0), 'all within')
    check(3 <= said['wrapped'] <= 4, 'those behind its end', said)


@case('short-device/no-wrap-fails-beyond-the-end')
def no_wrap():
    device(64 * 1024)
    trace(*reads(0, 128, 1 << 35, 120))
    said = record('--no-wrap', '-o', 'out.iot')
    equal((said['ios'], said['completed'], said['errors'], said['beyond'], said['wrapped']), (4, 4, 2, 2, 0), 'counts')
    ends = {end['request']: end['error'] for end in recorded()[1]}
    signed = {request: error - (1 << 64) if error >> 63 else error for request, error in ends.items()}
    equal(signed, {1: 0, 2: -errno.EIO, 3: -errno.EIO, 4: 0}, 'errors')
    equal(said['latencies'][0]['count'], 2, 'latencies of those that succeed')
    equal(said['latencies'][0]['errors'], 2, 'the others')


@case('short-device/larger-than-all-of-it')
def larger():
    device(64 * 1024)
    trace(iot.issue('read', 0, lba=0, count=MIB), iot.end(1))
    said = record()
    equal((said['errors'], said['beyond']), (1, 1), 'an error')


@case('short-device/less-than-a-block-is-refused')
def tiny():
    needs_uring()
    write('device', b'')
    trace(*reads(0))
    check('device: ' in program.refuses('trace', 'record', '--device', 'device', 'in.iot'), 'names it')


# ---- what must not be destroyed ----

def changing():
    return trace(*serial(('write', 0, 4096), ('discard', 16, 4096), ('write zeroes', 24, 4096), ('flush', 0, 0),
                         ('read', 0, 4096)))


@case('writes/are-left-out-and-that-is-said')
def writes_refused():
    needs_uring()
    device()
    changing()
    before = tree('.')['device']
    result = program.expect(0, 'trace', 'record', '--json', '--device', 'device', '-o', 'out.iot', 'in.iot')
    lines = result.err.splitlines()
    equal(len(lines), 1, 'one line', result)
    check('3 requests are left out' in lines[0] and '--allow-writes' in lines[0], 'what to do', result)
    said = json.loads(result.out)
    equal((said['ios'], said['skipped']['write'], said['skipped']['discard'], said['skipped']['write_zeroes']),
          (2, 1, 1, 1), 'counts')
    equal([issue['op'] for issue in recorded()[0]], ['flush', 'read'], 'what is left')
    equal(tree('.')['device'] == before, True, 'nothing is changed')


@case('writes/nothing-else-is-refused')
def writes_alone():
    needs_uring()
    device()
    trace(*serial(('write', 0, 4096), ('discard', 16, 4096)))
    before = tree('.')
    line = program.refuses('trace', 'record', '--device', 'device', '-o', 'out.iot', 'in.iot')
    check('--allow-writes' in line, 'what to do', line)
    equal(tree('.') == before, True, 'nothing is changed')


@case('writes/reach-their-places-and-no-others')
def writes_done():
    device()
    changing()
    before = tree('.')['device']
    said = record('--allow-writes')
    after = tree('.')['device']
    equal((said['ios'], said['completed'], len(after)), (5, 5, len(before)), 'all')
    failed = {part['op'] for part in said['latencies'] if part['errors']}
    check(failed <= {'discard', 'write zeroes'}, 'only what a file system may lack fails', said)
    check(after[:4096] != before[:4096], 'written')
    equal(after[4096:8192] == before[4096:8192], True, 'and nothing between')
    if not failed:
        equal(after[8192:16384] == bytes(8192), True, 'discarded and zeroed')
        equal(after[16384:] == before[16384:], True, 'and nothing behind')


@case('writes/do-not-grow-a-file')
def writes_beyond():
    device(64 * 1024)
    trace(*serial(('write', 124, 4096), ('write', 0, 4096)))
    said = record('--allow-writes', '--no-wrap', '-o', 'out.iot')
    equal((said['errors'], said['beyond'], os.path.getsize('device')), (1, 1, 65536), 'an error')
    ends = {end['request']: end['error'] for end in recorded()[1]}
    equal(ends, {1: -errno.ENOSPC & iot.M64, 2: 0}, 'errors')


@contextlib.contextmanager
def block_device():
    """A loop device over the file that device() makes."""
    try:
        made = subprocess.run(['losetup', '-f', '--show', 'device'], capture_output=True, check=False)
    except FileNotFoundError:
        raise Skipped('no losetup here') from None
    if made.returncode:
        raise Skipped('no loop devices here')
    name = made.stdout.decode().strip()
    try:
        yield name
    finally:
        subprocess.run(['losetup', '-d', name], check=True)


@case('writes/on-a-block-device')
def block_writes():
    device(64 * 1024)
    trace(*serial(('write', 8, 4096), ('write', 1 << 20, 4096), ('flush', 0, 0), ('read', 120, 4096)))
    before = tree('.')['device']
    with block_device() as name:
        said = record('--allow-writes', dev=name)
        equal((said['device_bytes'], said['direct'], said['ios'], said['errors'], said['wrapped']),
              (65536, True, 4, 0, 1), 'counts')
        check('to be written' in program.refuses('trace', 'record', '--device', name, '-o', name, 'in.iot'), 'itself')
    after = tree('.')['device']
    check(after[4096:8192] != before[4096:8192] and after[:4096] != before[:4096], 'written')
    equal(after[8192:] == before[8192:], True, 'and nothing else')


@case('writes/not-on-a-block-device-in-use')
def in_use():
    needs_uring()
    device(64 * 1024)
    trace(*serial(('write', 0, 4096), ('read', 0, 4096)))
    before = tree('.')['device']
    with block_device() as name:
        held = os.open(name, os.O_RDONLY | os.O_EXCL)  # as mounting does
        try:
            line = program.refuses('trace', 'record', '--allow-writes', '--device', name, 'in.iot')
            check('mounted or in use' in line, 'why', line)
            equal(record(dev=name)['ios'], 1, 'reading it is no harm')
        finally:
            os.close(held)
    equal(tree('.')['device'] == before, True, 'nothing is changed')


# ---- what the kernel refuses ----

@case('refused/io-uring-is-one-line')
def refused_uring():
    device()
    trace(*reads(0))
    for code, why in ((errno.EPERM, 'kernel.io_uring_disabled'), (errno.ENOSYS, 'this kernel has none')):
        before = sorted(os.listdir('.'))
        result = run_refused(refuse_uring(code), 'trace', 'record', '--device', 'device', '-o', 'out.iot', 'in.iot')
        lines = result.err.splitlines()
        equal((result.code, len(lines), result.out), (2, 1, ''), 'one line', result)
        check(lines[0].startswith(PREFIX + 'io_uring cannot be used: ') and why in lines[0], 'why', result)
        equal(sorted(os.listdir('.')), before, 'no file')


@case('refused/direct-falls-back-with-one-warning')
def refused_direct():
    needs_uring()
    device()
    trace(*reads(0, 3, count=700))
    result = run_refused(refuse_direct(), 'trace', 'record', '--json', '--device', 'device', '-o', 'out.iot', 'in.iot')
    lines = result.err.splitlines()
    equal((result.code, len(lines)), (0, 1), 'one warning', result)
    check('O_DIRECT' in lines[0], 'which', result)
    said = json.loads(result.out)
    equal((said['direct'], said['ios'], said['errors'], said['rounded']), (False, 2, 0, 0), 'goes on')


@case('refused/holes-are-told')
def holes():
    needs_uring()
    with open('device', 'wb') as file:
        file.truncate(MIB)
    trace(*reads(0))
    result = program.expect(0, 'trace', 'record', '--device', 'device', 'in.iot')
    if os.stat('device').st_blocks * 512 >= MIB:
        raise Skipped('this file system makes no holes')
    check('has holes' in result.err, 'told', result)


# ---- how it ends ----

@case('interrupted/keeps-what-was-recorded')
def interrupted():
    needs_uring()
    device()
    trace(*reads(0, 0), iot.issue('read', 1_000_000_000_000), iot.end(1))
    with subprocess.Popen([program.path, 'trace', 'record', '--json', '--progress=always', '--device', 'device', '-o',
                           'out.iot', 'in.iot'], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        shown = b''
        while b'2 I/Os' not in shown:  # progress
            more = running.stderr.read1()
            check(more, 'progress', shown)
            shown += more
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=100)
    equal(running.returncode, 0, 'exit', err)
    said = json.loads(out)
    equal((said['interrupted'], said['ios'], said['completed']), (True, 2, 2), 'what was recorded')
    equal(len(recorded()[0]), 2, 'what was recorded')
    equal(sorted(os.listdir('.')), ['device', 'in.iot', 'out.iot'], 'nothing else')


@case('input/what-is-unusable-is-one-line')
def unusable():
    needs_uring()
    device()
    trace(*reads(*range(900)))
    before = tree('.')
    args = ['trace', 'record', '-o', 'out.iot']
    for more, wanted in (
            (['in.iot'], '--device'),
            (['--device', 'nowhere', 'in.iot'], 'nowhere: No such file'),
            (['--device', '.', 'in.iot'], 'neither a file nor a block device'),
            (['--device', '/dev/null', 'in.iot'], 'neither a file nor a block device'),
            (['--device', 'device', 'nowhere.iot'], 'nowhere.iot'),
            (['--device', 'device', '-'], 'pipe'),
            (['--device', 'in.iot', 'in.iot'], 'the trace itself'),
            (['--device', 'device', '--depth=0', 'in.iot'], '--depth=0'),
            (['--device', 'device', '--depth=1001', 'in.iot'], '--depth=1001'),
            (['--device', 'device', '--mode=now', 'in.iot'], '--mode=now'),
            (['--device', 'device', '--json', '-o', '-', 'in.iot'], 'standard output'),
            (['--device', 'device', '-o', 'device', 'in.iot'], 'to be written')):
        line = program.refuses(*args, *more)
        check(wanted in line, f'{wanted!r} in', line)
    equal(tree('.') == before, True, 'nothing is written')


@case('input/hostile-traces')
def hostile():
    """Damage in the middle of a trace is found before anything is issued."""
    needs_uring()
    device()
    good = iot.whole(*reads(0, 8, 16))
    for name, bad in (('cut', good[:-80]), ('flipped', good[:90] + bytes([good[90] ^ 0x40]) + good[91:]), ('empty', b''),
                      ('text', b'not a trace\n' * 9)):
        write('bad.iot', bad)
        check('bad.iot' in program.refuses('trace', 'record', '--device', 'device', '-o', 'out.iot', 'bad.iot'), name)
    trace(iot.issue('read', 0, lba=0, count=(1 << 32) - 512), iot.end(1))
    check('at most' in program.refuses('trace', 'record', '--device', 'device', '-o', 'out.iot', 'in.iot'), 'too large')
    trace(iot.issue('passthrough', 0, lba=0, count=0), iot.end(1))
    check('no request' in program.refuses('trace', 'record', '--device', 'device', '-o', 'out.iot', 'in.iot'), 'nothing')
    check(not os.path.exists('out.iot'), 'nothing is written')
    trace(iot.issue('discard', 0, lba=(1 << 45) - 16, count=4096), iot.end(1))
    said = record('--allow-writes', '--no-wrap')
    equal((said['errors'], said['beyond']), (1, 1), 'far beyond')


cases.main()
