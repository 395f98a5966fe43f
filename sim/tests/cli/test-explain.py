# SPDX-License-Identifier: MIT
"""explain: what it says of a request is what the request's vectors demand, whoever reads it, and a description that makes
no sense is refused in one line. The judge expands the vectors into pages by itself. test-explain.py IOMMUSIM"""
import json
import re
import sys

from tap import Cases, Program, check, equal, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

PAGE = 4096
A = 0x100000000
DIRECT = ['--set', 'iommu.mode=passthrough']
NO_SGL = ['--set', 'nvme.sgl=no']


def said(text, *options, code=0):
    return json.loads(program.expect(code, 'explain', '--json', '-r', text, *options).out)


def only(text, *options, code=0):
    request, = said(text, *options, code=code)['requests']
    return request


def bvec(*vectors):
    return 'bvec=' + ','.join(f'{hex(addr)}+{length}' for addr, length in vectors)


def pages(vectors):
    """(physical address, length) page by page, what touches inside a page joined."""
    found = []
    for addr, length in vectors:
        while length:
            part = min(length, PAGE - addr % PAGE)
            if found and sum(found[-1]) == addr and addr % PAGE:
                found[-1] = (found[-1][0], found[-1][1] + part)
            else:
                found.append((addr, part))
            addr, length = addr + part, length - part
    return found


def names(calls):
    return [call['call'] for call in calls]


def below(calls, what):
    return [fact for call in calls for fact in call['below'] if fact['what'] == what]


def number(text):
    return int(text, 16)


def translate(request, addr):
    """Where the maps that were told of lead."""
    for fact in below(request['mapping']['calls'], 'map'):
        offset = addr - number(fact['iova'])
        if 0 <= offset < fact['len_bytes']:
            return number(fact['pa']) + offset
    return addr


def command_pages(request):
    """The command's data, page by page, by the addresses that it and its lists hold."""
    command, left = request['command'], request['block_layer']['bytes']
    if 'sgl1' in command:
        entries = command.get('entries', [command['sgl1']])
        equal(sum(entry['len_bytes'] for entry in entries), left, 'bytes of the SGL')
        vectors = [(number(entry['addr']), entry['len_bytes']) for entry in entries]
        return [(translate(request, addr), length) for addr, length in pages(vectors)]
    addrs = [number(command['prp1'])]
    if command['lists']:
        addrs += [number(entry['addr']) for block in command['lists'] for entry in block['entries']]
        blocks = [number(command['prp2'])] + [number(block['next_list']) for block in command['lists'][:-1]]
        equal(blocks, [number(block['addr']) for block in command['lists']], 'chain')
    elif 'prp2' in command:
        addrs.append(number(command['prp2']))
    found = []
    for addr in addrs:
        part = min(left, PAGE - addr % PAGE)
        check(part, 'an entry too many', request)
        found.append((translate(request, addr), part))
        left -= part
    equal(left, 0, 'bytes that no PRP covers')
    return found


# ---- shapes ----

SHAPES = {
    # name: (vectors, options, coalesced, descriptor, lists or SGL entries, words of the reason)
    'one-page': ([(A, 4096)], [], False, 'prp', 0, 'one segment in at most two pages'),
    'two-pages-unaligned': ([(A + 512, 4096)], [], False, 'prp', 0, 'one segment in at most two pages'),
    'one-segment-too-long-for-prp': ([(A + 512, 8192)], [], False, 'sgl', 0, 'more than two pages'),
    'one-segment-without-sgls': ([(A + 512, 8192)], NO_SGL, True, 'prp', 1, 'takes no SGLs'),
    'scattered-pages': ([(A + i * 0x3000, 4096) for i in range(5)], [], True, 'prp', 1, 'below nvme.sgl-threshold'),
    'scattered-pages-at-the-threshold': ([(A + i * 0x3000, 4096) for i in range(8)], [], True, 'sgl', 0,
                                         'at least nvme.sgl-threshold'),
    'the-same-without-an-iommu': ([(A + i * 0x3000, 4096) for i in range(8)], DIRECT, False, 'prp', 1, 'in the mean'),
    'never-sgls': ([(A + i * 0x3000, 4096) for i in range(8)], ['--set', 'nvme.sgl-threshold=0'], True, 'prp', 1,
                   'nvme.sgl-threshold=0'),
    'gap': ([(A + 512, 512), (A + 0x3000, 512)], [], False, 'sgl', 2, 'forced: the gap mask'),
    'gap-without-an-iommu': ([(A + 512, 512), (A + 0x3000, 512)], DIRECT, False, 'sgl', 2, 'forced: the gap mask'),
    'short-ends': ([(A + 0xe00, 512), (A + 0x3000, 4096), (A + 0x9000, 512)], [], True, 'prp', 1, 'below'),
    'chained-lists': ([(A, 4096 * 1100)], DIRECT + NO_SGL, False, 'prp', 3, 'takes no SGLs'),
    'three-levels': ([(A, 4096), (A + 0x5000, 8192)], ['--set', 'iommu.levels=3'], True, 'prp', 1, 'below'),
}


def shape(op, vectors, options, coalesced, descriptor, entries, words):
    request = only(f'{op} lba=8 {bvec(*vectors)}', *options)
    layer, mapping, command = request['block_layer'], request['mapping'], request['command']
    equal((layer['bytes'], layer['lba'], layer['split']), (sum(length for _, length in vectors), 8, False), 'request')
    equal(mapping['status'], 'OK', 'status')
    equal((mapping['coalesced'], mapping['descriptor']), (coalesced, descriptor), 'how', request)
    check(words in mapping['descriptor_reason'], f'"{words}" in the reason', mapping['descriptor_reason'])
    equal(len(command.get('entries', command.get('lists', []))), entries, 'lists')
    equal(command_pages(request), pages(vectors), 'data')
    equal((request['device']['moved_bytes'], request['device']['nvme_status']), (layer['bytes'], 0), 'moved')
    data = [fact for fact in below(mapping['calls'], 'map') if number(fact['pa']) < 1 << 46]
    check(all(fact['prot'] == ('r' if op == 'write' else 'w') for fact in data), 'permissions', data)
    undone = below(request['unmap']['calls'], 'unmap')
    equal(sum(fact['unmapped_bytes'] for fact in undone), sum(fact['len_bytes'] for fact in data), 'unmapped')
    unmap = ['dma_iova_destroy'] if coalesced else [] if options[:2] == DIRECT else ['dma_unmap_phys'] * len(data)
    equal(names(request['unmap']['calls']), unmap, 'calls of the unmap')


for title, row in SHAPES.items():
    for op in 'read', 'write':
        cases.add(f'shape/{title}/{op}', shape, op, *row)


@case('calls/of-one-iova')
def _():
    request = only('write ' + bvec((A, 4096), (A + 0x3000, 4096), (A + 0x9000, 512)))
    equal(names(request['mapping']['calls']),
          ['dma_iova_try_alloc'] + ['dma_iova_link'] * 3 + ['dma_iova_sync', 'dma_alloc_coherent'], 'calls')
    destroy, = request['unmap']['calls']
    equal([fact['what'] for fact in destroy['below']], ['unmap', 'invalidate', 'iova_return'], 'unmap')


@case('calls/caching-mode-tells-the-hardware')
def _():
    request = only('write ' + bvec((A, 4096), (A + 0x3000, 8192)), '--set', 'iommu.caching-mode=yes')
    told = [call['call'] for call in request['mapping']['calls']
            for fact in call['below'] if fact['what'] == 'iotlb_sync_map']
    equal(told, ['dma_iova_sync', 'dma_alloc_coherent'], 'who tells it')


@case('calls/untrusted-bounces-inside-of-its-map')
def _():
    request = only('read ' + bvec((A + 0x200, 4096), (A + 0x4000, 8192)), '--set', 'iommu.untrusted=yes')
    first, _, second = request['mapping']['calls']
    equal(names([first, second]), ['dma_map_phys'] * 2, 'calls')
    equal([fact['what'] for fact in first['below']], ['bounce_map', 'iova_attempt', 'map'], 'the unaligned one')
    equal([fact['what'] for fact in second['below']], ['iova_attempt', 'map'], 'the aligned one')
    bounce, _, mapped = first['below']
    equal((number(bounce['pa']), bounce['len_bytes']), (A + 0x200, 4096), 'what is bounced')
    equal(number(mapped['pa']), number(bounce['bounce']) // PAGE * PAGE, 'the buffer is what the device sees')
    free, = below(request['unmap']['calls'], 'bounce_unmap')
    equal(free['bounce'], bounce['bounce'], 'given back')
    check('copied back' in free['text'], 'to the reader', free)
    written = only('write ' + bvec((A + 0x200, 4096)), '--set', 'iommu.untrusted=yes')
    free, = below(written['unmap']['calls'], 'bounce_unmap')
    check('copied back' not in free['text'], 'not of a write', free)


@case('calls/incoherent-sees-to-the-caches')
def _():
    for options in [], DIRECT:
        request = only('read ' + bvec((A, 4096)), '--set', 'nvme.coherent=no', *options)
        for part, call, what in ('mapping', 'dma_map_phys', 'cache_for_device'), ('unmap', 'dma_unmap_phys', 'cache_for_cpu'):
            told, = request[part]['calls']
            equal((told['call'], [fact['what'] for fact in told['below'][:2]]), (call, [what, 'cache_flush']), part)
            equal((number(told['below'][0]['pa']), told['below'][0]['len_bytes']), (A, 4096), 'lines')


@case('calls/without-an-iommu-what-the-device-cannot-reach-is-bounced')
def _():
    low = [*DIRECT, '--set', 'nvme.dma-bits=32']
    answer = said('read ' + bvec((A, 600 * 1024)), *low)
    equal([request['block_layer']['bytes'] for request in answer['requests']], [252 * 1024] * 2 + [96 * 1024], 'pieces')
    check('what a bounce buffer holds' in answer['requests'][0]['block_layer']['split_reason'], 'why split')
    for request in answer['requests']:
        equal([fact['what'] for fact in request['mapping']['calls'][0]['below']], ['bounce_map'], 'there')
        equal([fact['what'] for fact in request['unmap']['calls'][0]['below']], ['bounce_sync', 'bounce_unmap'], 'back')
    request = only('read ' + bvec((A, 4096)), *low, '--set', 'machine.swiotlb=0', code=1)
    equal(request['mapping']['status'], 'RESOURCE', 'without a buffer')


@case('op/metadata-of-several-pieces')
def _():
    options = '--set', 'nvme.metadata=8', '--set', 'nvme.metadata-sgl=yes'
    fitting, inside, short = '0x200000000+64', '0x200000010+32,0x200010010+32', '0x200001000+32,0x200003000+32'
    equal('metadata_entries' in only(f'read bvec=0x100000000+4k meta={fitting}', *options)['command'], False, 'one: pointer')
    for meta in inside, short:
        text = f'read bvec=0x100000000+4k meta={meta}'
        answer = said(text, *options)
        equal(answer['requests'][0]['mapping']['status'], 'IOERR', 'D6')
        equal([row['kind'] for row in answer['observations']], ['segment linked inside a granule'], 'observed')
        answer = said(text, *options, '--set', 'kernel.version=fixed')
        request = answer['requests'][0]
        equal([fact['len_bytes'] for fact in request['command']['metadata_entries']], [32, 32, 32], 'list of two')
        check('pieces of metadata' in request['mapping']['descriptor_reason'], request['mapping']['descriptor_reason'])
        equal((request['device']['nvme_status'], answer['observation_count']), (0, 0), 'repaired')
    pieces = said('read bvec=0x100000000+256k meta=0x200000000+2k,0x200010000+2k', *options)['requests']
    equal([number(request['mapping']['calls'][-1]['pa']) for request in pieces], [0x200000000, 0x200010000], 'shared out')


# ---- lists of entries: before 6.17 ----

LIST = [(A, 4096), (A + 0x2000, 4096), (A + 0x5000, 4096)]


@case('lists/one-iova-for-all')
def _():
    for version in '6.1', '6.6', '6.12':
        request = only('write ' + bvec(*LIST), '--set', f'kernel.version={version}')
        mapping = request['mapping']
        equal((mapping['coalesced'], mapping['descriptor']), (True, 'prp'), version)
        check('a list of entries' in mapping['coalesced_reason'], mapping['coalesced_reason'])
        equal(names(mapping['calls']), ['dma_map_sg', 'dma_alloc_coherent'], 'calls')
        equal([number(fact['pa']) for fact in below(mapping['calls'][:1], 'map')], [addr for addr, _ in LIST], 'runs')
        equal(names(request['unmap']['calls']), ['dma_unmap_sg'], 'unmap')
        equal(request['device']['nvme_status'], 0, 'status')


@case('lists/entries-that-may-be-bounced')
def _():
    options = '--set', 'kernel.version=6.1', '--set', 'iommu.untrusted=yes'
    mapping = only('write ' + bvec(*LIST), *options)['mapping']
    equal(mapping['coalesced'], False, 'not one')
    check('each by itself' in mapping['coalesced_reason'], mapping['coalesced_reason'])
    equal(names(mapping['calls'])[:4], ['dma_map_phys'] * 3 + ['dma_map_sg'], 'calls')


@case('lists/that-cannot-be-mapped-or-had')
def _():
    options = '--set', 'kernel.version=6.1'
    mapping = only('write ' + bvec(*LIST), *options, *fault('iommu.map', 2))['mapping']
    equal((mapping['coalesced'], mapping['status']), (False, 'RESOURCE'), 'mapping fails')
    equal(mapping['calls'][0]['errno'], 12, 'ENOMEM')
    mapping = only('write ' + bvec(*LIST), *options, *fault('nvme.vec_pool'))['mapping']
    check('no memory for a list' in mapping['coalesced_reason'], mapping['coalesced_reason'])


@case('lists/how-the-mean-is-taken')
def _():
    vectors = bvec(*[(A + i * 0x2000, 4096) for i in range(16)])
    counted = only('write ' + vectors, '--set', 'kernel.version=6.1')['mapping']
    equal(counted['descriptor'], 'prp', '4 KiB a segment, as counted')
    check('as counted' in counted['descriptor_reason'], counted['descriptor_reason'])
    mapped = only('write ' + vectors, '--set', 'kernel.version=6.6')['mapping']
    equal(mapped['descriptor'], 'sgl', '64 KiB in one, as mapped')
    check('64 KiB a segment, in the mean of what' in mapped['descriptor_reason'], mapped['descriptor_reason'])


@case('lists/limits')
def _():
    def splits(*options):
        return [(request['block_layer']['bytes'], request['block_layer'].get('split_reason', ''))
                for request in said('read ' + bvec((A, 600 * 1024)), '--set', 'kernel.version=6.1', *options)['requests']]
    equal(splits(), [(600 * 1024, '')], '4 MiB')
    bounced = splits(*DIRECT, '--set', 'nvme.dma-bits=32')
    equal([size for size, _ in bounced], [252 * 1024] * 2 + [96 * 1024], 'what a bounce buffer holds')
    check('what a bounce buffer holds' in bounced[0][1], bounced[0][1])
    equal([size for size, _ in splits('--set', 'iommu.untrusted=yes')], [252 * 1024] * 2 + [96 * 1024], 'untrusted')
    check('nvme.mdts' in splits('--set', 'nvme.mdts=6')[0][1], 'MDTS')
    answer = said('read ' + bvec((A, 512), (A + 0x2000, 512)), '--set', 'kernel.version=6.1')
    check('of a list vectors must meet' in answer['requests'][0]['block_layer']['split_reason'], 'gap')


@case('block-layer/gap-bits')
def _():
    for vectors, bit, words in [([(A, 4096)], 0, 'no joint'),
                                ([(A, 4096), (A + 0x5000, 4096)], 13, 'all vectors meet on page boundaries'),
                                ([(A, 512), (A + 512, 512)], 10, 'they touch'),
                                ([(A, 1024), (A + 0x3000, 1024)], 11, 'vector 1 ends at 0x100000400')]:
        layer = only('write ' + bvec(*vectors))['block_layer']
        equal(layer['gap_bit'], bit, 'gap bit', layer)
        equal(number(layer['gap_mask']), (1 << 64) - (1 << bit - 1) if bit else 0, 'gap mask')
        check(words in layer['gap'], f'"{words}"', layer['gap'])


@case('block-layer/bios')
def _():
    joint, inside = 'bvec=0x100000000+512/0x100000200+512', 'bvec=0x100000000+512,0x100000200+512'
    layer = only('write ' + joint)['block_layer']
    equal((layer['bios'], layer['gap_bit'], layer['nr_phys_segments'], len(layer['segments'])), (2, 0, 2, 1), 'touching bios')
    layer = only('write ' + inside)['block_layer']
    equal((layer['bios'], layer['gap_bit']), (1, 10), 'touching vectors')


@case('block-layer/splits')
def _():
    for vectors, options, sizes, words in [
            ([(A, 300 << 10)], [], [128 << 10, 128 << 10, 44 << 10], 'takes 128 KiB'),
            ([(A, 9 << 20)], DIRECT, [8 << 20, 1 << 20], 'takes 8 MiB'),
            ([(A + i * 0x2000, 512) for i in range(40)], [], [33 * 512, 7 * 512], '33 segments'),
            ([(A + 512, 512), (A + 0x3000, 4096), (A + 0x7000, 512)], NO_SGL, [512, 4608], 'virt_boundary_mask')]:
        answer = said('read lba=16 ' + bvec(*vectors), *options)
        layers = [request['block_layer'] for request in answer['requests']]
        equal([layer['bytes'] for layer in layers], sizes, 'pieces')
        equal([layer['lba'] for layer in layers], [16 + sum(sizes[:i]) // 512 for i in range(len(sizes))], 'where')
        equal([layer['split'] for layer in layers], [True] * (len(sizes) - 1) + [False], 'split')
        check(words in layers[0]['split_reason'], f'"{words}"', layers[0])
        equal(sum((command_pages(request) for request in answer['requests']), []), pages(vectors), 'data')
        equal((answer['refused_bytes'], answer['violation_count']), (0, 0), 'left')


@case('block-layer/refuses-what-no-block-of-fits')
def _():
    text = 'read ' + bvec((A, 512), (A + 0x3000, 256), (A + 0x6000, 256))
    answer = said(text, *NO_SGL)
    equal([request['block_layer']['bytes'] for request in answer['requests']], [512], 'what goes through')
    equal(answer['refused_bytes'], 512, 'left')
    check('EINVAL' in program.expect(0, 'explain', *NO_SGL, '-r', text).out, 'why')


# ---- other operations ----

@case('op/without-data')
def _():
    for op, opcode in ('flush', 'flush'), ('write-zeroes', 'write zeroes'):
        request = only(op)
        equal((request['mapping']['calls'], request['unmap']['calls'], request['command']['opcode']), ([], [], opcode), op)


@case('op/discard')
def _():
    request = only('discard lba=9')
    equal((command_pages(request), request['command']['opcode']), ([(A, PAGE)], 'dataset management'), 'range list')
    request = only('discard ' + bvec((A + 0x7000, PAGE)))
    equal(command_pages(request), [(A + 0x7000, PAGE)], 'range list elsewhere')


@case('op/passthrough')
def _():
    for options, descriptor, words in [('', 'sgl', 'passthrough'), ('queue=0', 'prp', 'admin queue')]:
        for direction, prot in ('in', 'w'), ('out', 'r'):
            request = only(f'passthrough {options} dir={direction} {bvec((A, 4096), (A + 0x3000, 4096))}')
            equal(request['mapping']['descriptor'], descriptor, 'descriptor')
            check(words in request['mapping']['descriptor_reason'], 'why', request['mapping'])
            equal(below(request['mapping']['calls'], 'map')[0]['prot'], prot, direction)


@case('op/metadata')
def _():
    answer = said('write bvec=0x100000000+256k meta=0x200000000+4k', '--set', 'nvme.metadata=8')
    without = said('write bvec=0x100000000+256k', '--set', 'nvme.metadata=8')
    equal([number(request['mapping']['calls'][-1]['pa']) for request in answer['requests']], [0x200000000, 0x200000800],
          'each half has its own')
    for request in answer['requests']:
        call = request['mapping']['calls'][-1]
        equal((call['call'], call['size_bytes'], call['addr']), ('dma_map_phys', 2048, request['command']['metadata']), 'mptr')
        equal(names(request['unmap']['calls'])[0], 'dma_unmap_phys', 'metadata first')
        equal(request['device']['accesses'], without['requests'][0]['device']['accesses'] + 1, 'the device reads it')


@case('lazy/unmap-waits-for-the-timer')
def _():
    answer = said('write ' + bvec((A, 4096)), '--set', 'iommu.mode=lazy')
    unmap = answer['requests'][0]['unmap']['calls']
    equal([fact['what'] for fact in unmap[0]['below']], ['unmap', 'flush_queue', 'flush_timer'], 'unmap')
    later, = answer['later']
    equal([fact['what'] for fact in later['below']], ['invalidate', 'iova_return'], 'later')
    check('10.0 ms' in later['text'], 'when', later)
    check('later' not in said('write ' + bvec((A, 4096))), 'strict has no later')


# ---- faults ----

def fault(point, nth=1):
    return '-f', write('faults.ini', f'[fault one]\npoint = {point}\nnth = {nth}\n')


@case('faults/link')
def _():
    vectors = bvec(*[(A + i * 0x3000, 4096) for i in range(4)])
    answer = said('write ' + vectors, *fault('dma.link', 3))
    mapping = answer['requests'][0]['mapping']
    equal(names(mapping['calls']), ['dma_iova_try_alloc'] + ['dma_iova_link'] * 3 + ['dma_iova_destroy'], 'rollback')
    equal((mapping['calls'][3]['errno'], mapping['status']), (12, 'RESOURCE'), 'error')
    equal([fact['what'] for fact in mapping['calls'][3]['below']], ['fault'], 'where')
    check('command' not in answer['requests'][0], 'no command is sent')
    old = said('write ' + vectors, *fault('dma.link', 3), '--set', 'behaviour.blkdma-rollback=old', code=1)
    equal((old['requests'][0]['mapping']['status'], old['requests'][0]['device']['nvme_status']), ('OK', 4), 'without repair')
    equal([row['kind'] for row in old['violations']], ['device access to a hole', 'wrong-size unmap'], 'violations')


@case('faults/of-the-driver-stand-alone')
def _():
    answer = said('write ' + bvec(*[(A + i * 0x3000, 4096) for i in range(4)]), *fault('nvme.prp_pool'))
    mapping = answer['requests'][0]['mapping']
    equal(names(mapping['calls'])[-2:], ['fault', 'dma_iova_destroy'], 'calls')
    check('nvme.prp_pool' in mapping['calls'][-2]['text'], 'which', mapping['calls'][-2])
    check(answer['observation_count'] >= 1, 'D8 is observed', answer['observations'])


@case('faults/count-from-the-request')
def _():
    answer = said('write ' + bvec((A, 4096)), *fault('dma.iova'))
    attempts = below(answer['requests'][0]['mapping']['calls'], 'iova_attempt')
    equal([number(fact['iova']) != 0 for fact in attempts], [False, True], 'attempts')


@case('faults/controller-fails')
def _():
    answer = said('write ' + bvec((A, 600 * 1024)), *fault('controller.fatal', 2))
    devices = [request['device'] for request in answer['requests']]
    equal([device.get('stops', False) for device in devices], [False, True, False, False, False], 'the second fails')
    equal(names(answer['requests'][1]['unmap']['calls']), ['dma_unmap_phys'], 'a reset cancels it')
    equal((answer['violation_count'], answer['observation_count']), (0, 0), 'nothing is left')


@case('faults/doorbell-is-lost')
def _():
    options = 'write ' + bvec((A, 4096)), *fault('controller.doorbell')
    check(only(*options)['device']['stops'], 'the controller does nothing')
    check('the doorbell is lost' in program.expect(0, 'explain', '-r', *options).out, 'why')


@case('faults/queue-cannot-be-reached')
def _():
    """The command, its data, its completion: of three accesses the first and the last are of queues."""
    stops = []
    for nth in 1, 2, 3:
        options = 'write ' + bvec((A, 4096)), *fault('controller.translation', nth)
        answer = only(*options)
        stops.append((answer['device'].get('stops', False), answer['device'].get('nvme_status')))
        equal(names(answer['unmap']['calls'])[-1], 'dma_unmap_phys', f'access {nth}: unmapped in the end')
    equal(stops, [(True, None), (False, 4), (False, 0)], 'what comes of it')
    check('completion cannot be written' in program.expect(0, 'explain', '-r', *options).out, 'and why')


@case('faults/completion-is-lost')
def _():
    for loss, status, words in ('command', 7, 'an Abort gets it back'), ('interrupt', 0, 'no interrupt'), ('all', 0, 'no Abort'):
        options = *fault('controller.lost_completion'), '--set', f'nvme.lost-completion={loss}'
        request = only('write ' + bvec((A, 4096)), *options)
        equal((request['device']['nvme_status'], request['device']['completion_lost']), (status, True), loss)
        equal(names(request['unmap']['calls']), ['dma_unmap_phys'], 'unmapped in the end')
        check(words in program.expect(0, 'explain', '-r', 'write ' + bvec((A, 4096)), *options).out, words)


@case('faults/status-that-is-not-tried-again')
def _():
    for dnr, words in ('yes', 'not to be tried again'), ('no', 'tries again'):
        text = program.expect(0, 'explain', '-r', 'write ' + bvec((A, 4096)), *fault('controller.status'),
                              '--set', f'nvme.fault-dnr={dnr}').out
        check(words in text, words)


@case('faults/of-the-controller')
def _():
    for point in ('status', 'transfer_error', 'lost_completion', 'fatal', 'doorbell'):
        answer = said('write ' + bvec((A, 4096), (A + 0x5000, 4096)), *fault(f'controller.{point}', 1))['requests'][0]
        check(answer['device'], point)
        equal(names(answer['unmap']['calls']), ['dma_iova_destroy'], point)
    equal(said('write ' + bvec((A, 4096)), *fault('controller.transfer_error', 1))['requests'][0]['device']['nvme_status'],
          4, 'status')


@case('faults/idle-rule-is-told')
def _():
    result = program.expect(0, 'explain', '-r', 'flush', *fault('dma.link'))
    check('[fault one] never fired' in result.err, 'warning', result)


# ---- text ----

@case('text/request-named-by-what-it-has')
def _():
    for text, said_of in [('flush', ['flush, queue 1', 'request 1: no data']),
                          ('discard lba=8', ['discard at block 8, queue 1', 'request 1: a list of ranges']),
                          ('write-zeroes lba=8', ['write-zeroes at block 8, queue 1']),
                          ('passthrough queue=0 bvec=0x1000+4k', ['passthrough, 4 KiB, admin queue 0']),
                          ('read lba=3 bvec=0x1000+4k', ['read at block 3, 4 KiB, queue 1', 'request 1: 4 KiB'])]:
        lines = program.expect(0, 'explain', '-r', text).out.splitlines()
        for line in said_of:
            check(line in lines, line, lines)


@case('text/says-what-the-json-says')
def _():
    for text, *options in [('write ' + bvec(*[(A + i * 0x3000, 4096) for i in range(20)]),),
                           ('read ' + bvec((A + 512, 512), (A + 0x3000, 512)), '--set', 'iommu.mode=lazy'),
                           ('write bvec=0x100000000+200k', *NO_SGL)]:
        table = program.expect(0, 'explain', '--all', '-r', text, *options).out
        answer = said(text, *options)
        calls = [call for request in answer['requests'] for part in ('mapping', 'unmap') for call in request[part]['calls']]
        calls += answer.get('later', [])
        equal(re.findall(r'^ +\d+  (\S.*)$', table, re.M), [call['text'] for call in calls], 'calls')
        for fact in (fact for call in calls for fact in call['below']):
            check(f' {fact["text"]}\n' in table, fact['text'], table)
        check(not re.search(r' $', table, re.M), 'blanks at the end of a line', table)


@case('text/names-the-hardware')
def _():
    for hardware in 'intel', 'amd', 'arm-smmu-v3':
        options = '--set', f'iommu.hardware={hardware}'
        check(f', IOMMU {hardware} strict;' in program.expect(0, 'explain', '-r', 'flush', *options).out, hardware)
        equal(said('flush', *options)['machine']['hardware'], hardware, 'in the JSON')
    check(', IOMMU passthrough;' in program.expect(0, 'explain', '-r', 'flush', *DIRECT).out, 'none')


@case('text/many-calls-alike-are-left-out')
def _():
    text = 'write ' + bvec(*[(A + i * 0x3000, 4096) for i in range(20)])
    short, whole = (program.expect(0, 'explain', '-r', text, *more).out for more in ([], ['--all']))
    equal([len(re.findall('dma_iova_link', table)) for table in (short, whole)], [3, 20], 'links shown')
    check('17 more like these' in short and '13 more (--all' in short, 'said so', short)
    equal(len(only(text)['mapping']['calls']), 22, 'all in the JSON')


@case('text/same-twice')
def _():
    args = 'explain', '-r', 'read bvec=0x100000200+12k,0x200000000+4k'
    equal(program.expect(0, *args).out, program.expect(0, *args).out, 'output')


# ---- refused ----

REFUSED = {
    '': 'must begin with read', 'eat': '"eat"', 'write': 'needs its data', 'write bvec=': 'bvec=',
    'write bvec=0x1000': 'ADDR+LEN', 'write bvec=+4k': 'ADDR+LEN', 'write bvec=0x1000+': 'ADDR+LEN',
    'write bvec=0x1000+4k,': 'ADDR+LEN', 'write bvec=0x1000+4k/': 'empty bio', 'write bvec=/': 'empty bio',
    'write bvec=0x1000+0': '1 byte to 16 MiB', 'write bvec=0x1000+17M': '16 MiB', 'write bvec=0x1001+512': 'multiples of 4',
    'write bvec=0x1000+511': 'multiples of 4', 'write bvec=0x1000+256': 'logical block',
    'write bvec=0xffffffffffffffff+4k': '64 TiB', 'write bvec=0x400000000000+4k': '64 TiB',
    'write bvec=0x3fffffffff000+4k': '64 TiB', 'write bvec=0x3ffffffff000+8k': '64 TiB',
    'write bvec=18446744073709551616+4k': 'ADDR+LEN', 'write bvec=-1+4k': 'ADDR+LEN',
    'write bvec=0x1000+4k bvec=0x2000+4k': '"/"', 'write lba=1 lba=2 bvec=0x1000+4k': 'lba= twice',
    'write lba=-1 bvec=0x1000+4k': 'lba=-1', 'write lba=0x8000000000000 bvec=0x1000+4k': '2^50',
    'write lba bvec=0x1000+4k': '"lba"', 'write colour=red bvec=0x1000+4k': '"colour=red"', 'write =4 bvec=0x1000+4k': '"=4"',
    'flush bvec=0x1000+4k': 'no bvec', 'write-zeroes bvec=0x1000+4k': 'no bvec', 'discard bvec=0x1000+8k': 'range list',
    'discard bvec=0x1000+2k,0x2000+2k': 'range list', 'read dir=in bvec=0x1000+4k': 'dir=', 'passthrough dir=up': 'dir=up',
    'write queue=0 bvec=0x1000+4k': 'admin', 'write queue=2 bvec=0x1000+4k': '1 to 1', 'write queue=x bvec=0x1000+4k': 'queue=x',
    'write bvec=0x1000+4k meta=0x2000+8,0x3000+8': 'a request takes 1', 'write bvec=0x1000+4k meta=': 'meta',
    'write bvec=0x1000+8k meta=' + ','.join(['0x2000+1'] * 16): 'more than 15 pieces',
    'flush meta=0x1000+8': 'meta=', 'write bvec=0x1000+4k meta=0x2000+7': 'shared out', 'write meta=8 bvec=0x1000+4k': 'meta',
    'passthrough bvec=0x1000+256k': 'cannot be', 'write bvec=0x1000+4k/0x10000+256k': 'bio 2',
    'write bvec=0x10000+100k/0x100000+100k': 'not merged',
}


def refused(text, words, *options):
    line = program.refuses('explain', *options, '-r', text)
    check(words in line, f'"{words}" in the message', line)


for at, (text, words) in enumerate(REFUSED.items(), 1):
    cases.add(f'refused/{at}/{text.replace(" ", "_").replace("#", "")}', refused, text, words)


@case('refused/more-than-it-takes')
def _():
    refused('write ' + bvec(*[(A + i * PAGE, 512) for i in range(4097)]), '4096 vectors')
    refused('write ' + bvec((A, 9 << 20), (A << 1, 9 << 20)), '16 MiB')
    refused('write bvec=0x1000+1k/0x10000+1k', 'page boundary', *NO_SGL)
    program.expect(0, 'explain', '-r', 'write ' + bvec(*[(A + i * PAGE, 512) for i in range(4096)]))


@case('refused/options')
def _():
    check('--request' in program.refuses('explain'), 'needs a request')
    program.refuses('explain', '-r', 'flush', 'more')
    program.refuses('explain', '-r', 'flush', '--set', 'nvme.sgl=perhaps')
    program.refuses('explain', '-r', 'flush', '-c', 'nowhere.ini')
    program.refuses('explain', '-r', 'flush', '-f', 'nowhere.ini')
    write('machine.ini', '[nvme]\nsgl = no\n[iommu]\nmode = lazy\n')
    answer = said('flush', '-c', 'machine.ini', '--set', 'iommu.mode=strict')['machine']
    equal((answer['sgl'], answer['mode']), (False, 'strict'), 'machine')


cases.main()
