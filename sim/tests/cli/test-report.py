# SPDX-License-Identifier: MIT
"""report: the page without a browser. What is in it, that it is small and always the same, that text stays text, and that
damaged results are refused in one line and leave nothing behind. test-report.py IOMMUSIM"""
import base64
import hashlib
import html.parser
import json
import os
import re
import shutil
import sys

from tap import BOOT, FIXTURES, Cases, Program, check, equal, read, write

program = Program(sys.argv[1])
cases = Cases()
case = cases.case

VOID = {'meta', 'link', 'br', 'img', 'input', 'hr'}
HEADER = ('end_ns,ios,bytes,errors,in_flight,iova_live,mapped_bytes,page_table_pages,issued,latency_mean_ns,latency_max_ns,'
          'cpu_busy_ns,iotlb_misses,table_reads,invalidations,link_up_bytes,link_down_bytes,in_flight_max\n')
EVIL = '</script><img src=x onerror=alert(1)>"\'&{{data}}'


class Page(html.parser.HTMLParser):
    """The elements of a page, each with its text; complains of what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.elements = []  # (tag, attributes, [text])
        self.open = []
        self.feed(text)
        self.close()
        check(not self.open, 'everything is closed', str(self.open))

    def handle_starttag(self, tag, attrs):
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        check(self.open and self.open[-1][0] == tag, f'</{tag}> closes {self.open[-1][0] if self.open else "nothing"}')
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element[2].append(data)

    def all(self, tag, **attrs):
        return [(found, ''.join(text)) for name, found, text in self.elements
                if name == tag and all(found.get(key) == value for key, value in attrs.items())]

    def charts(self):
        return json.loads(self.all('script', id='data')[0][1])['charts']


def replay(folder, *more):
    program.run('replay', BOOT, '-o', folder, *more)
    check(os.path.exists(os.path.join(folder, 'run.json')), f'{folder} was replayed')


def broken(folder='run'):
    replay(folder, '-f', os.path.join(FIXTURES, 'faults', 'sync.ini'), '--set', 'behaviour.blkdma-rollback=old')


def report(*dirs, out='page.html'):
    program.expect(0, 'report', '-o', out, *dirs)
    return Page(read(out))


def digest(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@case('/report/one-run/everything-is-in-the-markup')
def one_run():
    broken()
    page = report('run')
    check(page.text.startswith('<!DOCTYPE html>'), 'HTML')
    canvases = [attrs['id'] for attrs, _ in page.all('canvas')]
    equal(canvases, [chart['id'] for chart in page.charts()], 'one canvas a chart, in order')
    for wanted in ('throughput', 'bandwidth', 'in-flight', 'percentiles', 'cpu', 'iova-live', 'mapped', 'tables', 'iova-cache',
                   'iotlb', 'events', 'leaks'):
        check('chart-' + wanted in canvases, f'chart {wanted}', str(canvases))
    identifiers = [attrs['id'] for _, attrs, _ in page.elements if 'id' in attrs]
    equal(len(identifiers), len(set(identifiers)), 'ids')
    for attrs, _ in page.all('canvas'):
        for names in (attrs['aria-labelledby'], attrs['aria-describedby']):
            check(names in identifiers, f'{names} exists')
    for attrs, _ in page.all('a'):
        check(attrs['href'][1:] in identifiers, f'{attrs["href"]} leads somewhere')
    equal(len(page.all('figure')), len(canvases), 'figures')
    check(all(attrs['scope'] for attrs, _ in page.all('th')), 'each header says of what')
    for _, attrs, _ in page.elements:
        check('src' not in attrs and attrs.get('href', '#').startswith(('#', 'data:,')), 'nothing is loaded')


@case('/report/one-run/values-are-those-of-run-json')
def values():
    broken()
    page = report('run')
    run = json.loads(read('run', 'run.json'))
    said = [(attrs, text) for tag in ('data', 'span') for attrs, text in page.all(tag) if 'data-key' in attrs]
    check(len(said) > 150, f'{len(said)} values')
    for attrs, text in said:
        node = run
        for key in attrs['data-key'].split('.'):
            node = node[int(key)] if isinstance(node, list) else node[key]
        equal(attrs.get('value', text), str(node), attrs['data-key'])
    check('16384 of them still mapped' in page.text and 'dma_iova_try_alloc' in page.text, 'the leak, and who took it')
    check('iommusim replay -c run/machine.ini --faults=' in page.text, 'how to repeat it')
    check(f'{BOOT}, --mode=open, on Linux 7.0, IOMMU intel, strict</p>' in page.text, 'what was run')


SCALES = {'': 1, 'k': 1e3, 'M': 1e6, 'G': 1e9, 'ns': 1, 'us': 1e3, 'ms': 1e6, 's': 1e9, '%': 1, 'B': 1, 'KiB': 2 ** 10,
          'MiB': 2 ** 20, 'GiB': 2 ** 30, 'TiB': 2 ** 40, '/s': 1, 'k/s': 1e3, 'M/s': 1e6, 'G/s': 1e9, 'B/s': 1, 'kB/s': 1e3,
          'MB/s': 1e6, 'GB/s': 1e9}


@case('/report/one-run/numbers-read-as-what-they-are')
def numbers():
    """What a person reads is the value for programs beside it, to three digits; also of larger numbers."""
    broken()
    run = json.loads(read('run', 'run.json'))
    for pages in (7, 6969, 12345, 24568, 999600, 12345678, 98765432100):
        run['iommu']['table_reads'] = pages * run['replay']['ios'] + 1
        write('run/run.json', json.dumps(run))
        read_back = 0
        for attrs, text in report('run').all('data'):
            if attrs.get('data-key', '').endswith('_thousandths'):
                continue
            digits, _, unit = text.replace(',', '').partition(' ')
            value, told = float(attrs['value']), float(digits) * SCALES[unit]
            # "0.00" stands for less than half of its last digit
            check(abs(told - value) <= max(0.0051 * abs(value), 0.005 * SCALES[unit]), f'{text!r} is {attrs["value"]}')
            read_back += 1
        check(read_back > 500, f'{read_back} numbers')


@case('/report/one-run/in-flight-is-the-most-within-a-stretch')
def in_flight():
    broken()
    chart, = (chart for chart in report('run').charts() if chart['id'] == 'chart-in-flight')
    equal(max(value for value in chart['series'][0]['values'] if value is not None),
          json.loads(read('run', 'run.json'))['replay']['max_in_flight'], 'in flight at most')


@case('/report/asap/says-what-it-has-not')
def asap():
    replay('asap', '--mode=asap')
    page = report('asap')
    drawn = {chart['id'] for chart in page.charts()}
    for name, title in (('latency-time', 'Latency'), ('link', 'PCIe link'), ('walks', 'Misses and walks')):
        check('chart-' + name not in drawn, f'{name} is left out')
        check(f'{title}: left out, it is 0 all the time (--mode=asap has no device and no latencies).' in page.text, title)
    replay('open')
    both = {chart['id'] for chart in report('open', 'asap').charts()}
    check({'chart-link-a', 'chart-link-b'} < both, 'beside a run that has it, nothing is drawn, too')


@case('/report/one-run/headers-stand-above-their-numbers')
def headers():
    broken()
    page = report('run')
    tables = re.findall(r'<table>.*?</table>', page.text, re.S)
    seen = 0
    for table in tables:
        rows = [re.findall(r'<t[hd]([^>]*)>', row) for row in table.split('<tr>')[1:]]
        for column, head in enumerate(rows[0]):
            right = {'class="n"' in row[column] or 'class="t"' in row[column] for row in rows[1:]}
            if len(right) == 1:
                equal('class="n"' in head, right.pop(), f'column {column} of {table[:200]}')
                seen += 1
    check(seen > 100, f'{seen} columns')


@case('/report/one-run/every-key-says-what-it-is')
def keys():
    broken()
    page = report('run')
    rows = re.findall(r'<th scope="row">([^<]*)</th><td>[^<]*</td><td class="words">([^<]*)</td>', page.text)
    check(len(rows) > 120, f'{len(rows)} keys')
    equal([key for key, words in rows if not words], [], 'keys without a word')


@case('/report/one-run/the-command-that-repeats-it-does')
def repeats():
    broken()
    command = report('run').all('code')[-1][1]
    words = command.split()
    equal(words[:2], ['iommusim', 'replay'], 'command')
    program.run(*words[1:])
    for name in ('timeline.csv', 'end.snap', 'teardown.snap'):
        equal(read('again', name), read('run', name), name)


@case('/report/one-run/times-add-up')
def times_add_up():
    broken()
    page = report('run')
    run = json.loads(read('run', 'run.json'))
    chart, = (chart for chart in page.charts() if chart['id'] == 'chart-throughput')
    equal(sum(chart['series'][0]['values']), run['replay']['ios'], 'I/Os of all stretches')


@case('/report/two-runs/differences-come-first')
def two_runs():
    broken('a')
    replay('b', '--set', 'iommu.mode=lazy')
    page = report('a', 'b')
    equal(page.all('h2')[0][1], 'Differences', 'the first section')
    canvases = [attrs['id'] for attrs, _ in page.all('canvas')]
    for name in ('throughput', 'in-flight', 'percentiles', 'mapped', 'events'):
        check(f'chart-{name}-a' in canvases and f'chart-{name}-b' in canvases, f'{name} of both')
    for name in ('cpu', 'iotlb', 'stale', 'iova-cache'):
        check(f'chart-{name}' in canvases, f'{name} with both')
    ends = {chart['id']: (chart['from_ns'], chart['to_ns'], chart['most']) for chart in page.charts()
            if chart['kind'] == 'time'}
    for name, end in ends.items():
        if name.endswith('-a'):
            equal(end, ends[name[:-1] + 'b'], f'scales of {name}')
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th><td>([^<]*)</td><td>([^<]*)</td></tr>', page.text)
    equal(dict((key, (a, b)) for key, a, b in rows), {'iommu.mode': ('strict', 'lazy'),
                                                      'behaviour.blkdma-rollback': ('old', 'fixed')}, 'configuration')


@case('/report/two-runs/options-that-differ-are-told')
def options():
    replay('a')
    replay('b', '-f', os.path.join(FIXTURES, 'faults', 'sync.ini'))
    page = report('a', 'b')
    check('the same configuration' not in page.text and 'Both runs have the same machine.ini.' in page.text, 'not the same')
    rows = re.findall(r'<th scope="row">([AB])</th><td>([^<]*)</td>', page.text)
    equal(rows, [('A', '\u2013'), ('B', '--faults=' + os.path.join(FIXTURES, 'faults', 'sync.ini'))], 'options')


@case('/report/two-runs/alike-differ-in-nothing')
def alike():
    broken('a')
    broken('b')
    page = report('a', 'b')
    check('No number of the two runs differs.' in page.text, 'no difference')
    check('Both runs have the same configuration.' in page.text, 'the same configuration')


@case('/report/two-runs/changes-are-told-in-their-unit')
def changes():
    broken('a')
    shutil.copytree('a', 'b')
    run = json.loads(read('a', 'run.json'))
    for folder, hits, errors, faults, end_ns in (('a', 500, 0, 100, 1000000), ('b', 250, 3, 1000, 1000100)):
        run['iova'].update(cache_hits=hits, cache_misses=1000 - hits)
        run['replay'].update(errors=errors, end_ns=end_ns)
        run['iommu']['page_faults'] = faults
        write(f'{folder}/run.json', json.dumps(run))
    rows = dict(re.findall(r'<th scope="row">([^<]*)</th>(?:<td class="n"><data[^>]*>[^<]*</data></td>){2}<td[^>]*>([^<]*)</td>',
                           report('a', 'b').text))
    equal([rows[name] for name in ('IOVAs from a magazine', 'Ended with an error', 'Device accesses that faulted', 'Simulated time',
                                   'I/Os replayed')],
          ['-25.0 points', 'from 0', '\u00d7 10.0', 'up, less than 0.1 %', 'same'], 'changes')


@case('/report/policy-allows-what-is-in-the-page-alone')
def policy():
    broken()
    page = report('run')
    content = page.all('meta', **{'http-equiv': 'Content-Security-Policy'})[0][0]['content']
    rules = dict(rule.strip().split(' ', 1) for rule in content.split(';'))
    equal(rules['default-src'], "'none'", 'default')
    scripts = [text for attrs, text in page.all('script') if 'type' not in attrs]
    equal(rules['script-src'].split(), [digest(text) for text in scripts], 'scripts')
    equal(rules['style-src'], digest(page.all('style')[0][1]), 'style')
    check(not any('style' in attrs or any(key.startswith('on') for key in attrs) for _, attrs, _ in page.elements),
          'no style and no handler in an element')


@case('/report/names/stay-text')
def names():
    broken()
    run = json.loads(read('run', 'run.json'))
    run['trace']['name'] = run['violations'][0]['text'] = run['firings'][0]['point'] = EVIL
    run['machine'][EVIL] = run['locks'][0]['name'] = run['cpu']['work_kinds'][0]['name'] = EVIL
    run[EVIL] = {EVIL: EVIL}
    write('run/run.json', json.dumps(run))
    folder = 'x<img src=y onerror=alert(2)>'
    shutil.copytree('run', folder)
    clean, page = report('run'), report(folder)
    for one in (clean, page):
        equal(len(one.all('img')), 0, 'images')
        equal(len(one.all('script')), 3, 'scripts')
        check(not any(key.startswith('on') for _, attrs, _ in one.elements for key in attrs), 'no handlers')
        check(one.text.count(EVIL) == 0, 'never as it is')
    check(any('onerror=alert(1)' in text for _, text in page.all('code')), 'but shown')
    equal([chart for chart in page.charts() if chart['id'] == 'chart-events'][0]['series'][2]['points'][0][1], EVIL, 'a chart')


@case('/report/long-time-line/is-merged-and-small')
def long_run():
    """A time line as ten million I/Os at 100 a row would leave it, on both sides of a comparison."""
    broken('a')
    rows = 100000
    with open('a/timeline.csv', 'w', encoding='utf-8') as file:
        file.write(HEADER)
        for row in range(1, rows + 1):
            file.write(f'{row * 10000000},100,{100 * 131072},1,{row % 64},{row % 9999},{row * 4096},{row // 100},101,'
                       f'{100000 + row},{900000 + row},1000000,{row % 777},{row % 888},100,13107200,13107200,{1 + row % 9}\n')
    run = json.loads(read('a', 'run.json'))
    run['firings'] = run['firings'] * 5000
    run['violations'] = run['violations'] * 5000
    write('a/run.json', json.dumps(run))
    shutil.copytree('a', 'b')
    page = report('a', 'b')
    check(os.path.getsize('page.html') < 2 << 20, f'{os.path.getsize("page.html")} bytes')
    chart, = (chart for chart in page.charts() if chart['id'] == 'chart-throughput-a')
    check(160 <= len(chart['series'][0]['values']) <= 320, f'{len(chart["series"][0]["values"])} stretches')
    equal(sum(chart['series'][0]['values']), 100 * rows, 'no I/O is lost')
    mapped, = (chart for chart in page.charts() if chart['id'] == 'chart-mapped-a')
    equal(max(mapped['series'][0]['values']), rows * 4096, 'nor the most')
    latency, = (chart for chart in page.charts() if chart['id'] == 'chart-latency-time-a')
    width = chart['bin_ns'] // 10000000
    equal(latency['series'][0]['values'][0], 100000 + (1 + width) // 2, 'the mean of the first stretch')
    equal(latency['series'][1]['values'][0], 900000 + width, 'its most')


@case('/report/output/is-the-same-each-time')
def same():
    broken()
    for locale in ('C', 'de_DE.UTF-8'):
        program.expect(0, 'report', '-o', f'{locale}.html', 'run', env={'LC_ALL': locale, 'TZ': 'Asia/Tokyo'})
    equal(read('C.html'), read('de_DE.UTF-8.html'), 'page')
    run = json.loads(read('run', 'run.json'))
    run['host'] = {'elapsed_us': 99}
    write('run/run.json', json.dumps(run))
    equal(report('run').text, read('C.html'), 'what the host was does not show')


@case('/report/output/goes-where-it-is-told')
def output():
    broken()
    text = program.expect(0, 'report', '-o', '-', 'run').out
    report('run')
    equal(text, read('page.html'), 'standard output')
    said = json.loads(program.expect(0, 'report', '--json', '-o', 'page.html', 'run').out)
    equal(said, {'page': 'page.html', 'page_bytes': os.path.getsize('page.html')}, '--json')


@case('/report/lacking/says-so')
def lacking():
    broken()
    os.remove('run/timeline.csv')
    os.remove('run/machine.ini')
    page = report('run')
    check('there is no timeline.csv' in page.text and 'there is no machine.ini' in page.text, 'sentences')
    write('run/run.json', '{}')
    page = report('run')
    equal(page.charts(), [], 'no charts')
    write('run/timeline.csv', HEADER)
    check('timeline.csv has no rows' in report('run').text, 'a header alone')
    write('run/timeline.csv', 'end_ns,ios\n10,1\n')
    check('timeline.csv has no column bytes' in report('run').text, 'a column less')
    write('run/timeline.csv', 'end_ns\n')
    shutil.copytree('run', 'other')
    report('run', 'other')


@case('/report/no-latency/is-no-point')
def no_latency():
    broken('run')
    write('run/timeline.csv', HEADER + ''.join(f'{row}0000000,1,4096,0,1,1,4096,1,1,{latency},0,0,0,0,0,0,1\n'
                                               for row, latency in ((1, '500,700'), (2, ','), (3, '100,100'))))
    chart, = (chart for chart in report('run').charts() if chart['id'].startswith('chart-latency-time'))
    equal([series['values'] for series in chart['series']], [[500, None, 100], [700, None, 100]], 'mean and longest')


@case('/report/use/is-refused-in-one-line')
def use():
    broken()
    equal(program.refuses('report', 'run'), 'report: say where the page goes: -o FILE.html', 'no -o')
    for dirs in ((), ('run', 'run', 'run')):
        program.refuses('report', '-o', 'page.html', *dirs)
    check('no run.json' in program.refuses('report', '-o', 'page.html', FIXTURES), 'not a run')
    check('no run.json' in program.refuses('report', '-o', 'page.html', 'run', 'nowhere'), 'the second is not there')
    program.refuses('report', '-o', 'nowhere/page.html', 'run')
    check(not os.path.exists('page.html'), 'no page')


def refuse(name, content, place):
    """NAME of a run holds CONTENT: refused at PLACE, no page, and what was there stays."""
    broken()
    write('page.html', 'before')
    write(os.path.join('run', name), content)
    line = program.refuses('report', '-o', 'page.html', 'run')
    check(re.fullmatch(rf'run/{re.escape(name)}{place}: .+', line), f'complains of {name}{place}', line)
    equal(read('page.html'), 'before', 'page')
    equal([entry for entry in os.listdir('.') if entry not in ('run', 'page.html')], [], 'no other file')


HOSTILE_RUN = {
    'empty': ('', ':1'),
    'cut': ('{\n "replay" : {\n  "ios" : 69', ':3'),
    'cut-in-a-text': ('{"machine":{"iommu":"int', ':1'),
    'nothing-after-a-colon': ('{\n"replay":}\n', ':2'),
    'a-list': ('[]', ':1'),
    'nested-deep': ('{"a":' + '[' * 200000, ':1'),
    'brackets-cross': ('{\n"a":[}\n]', ':2'),
    'closes-twice': ('{}\n}', ':2'),
    'two-documents': ('{}\n{}', ':2'),
    'a-comment': ('{}\n/* [[[ */', ':2'),
    'not-utf-8': (b'{"a":"\xff"}', '@6'),
    'a-nul': (b'{"a":\n\x00}', '@6'),
    'a-newline-in-a-text': ('{"a":"b\nc"}', ':1'),
    'count-is-a-text': ('{"replay":{\n"ios":"many"}}', ':2'),
    'count-is-negative': ('{"replay":{"ios":1},\n"violation_count":-1}', ':2'),
    'count-is-a-list': ('{\n\n"violation_count":[]}', ':3'),
    'name-is-a-number': ('{"trace":{\n"name":7}}', ':2'),
    'list-is-a-number': ('{\n"violations":7}', ':2'),
    'time-is-a-text': ('{"firings":[\n{"point":"a","time_ns":"b"}]}', ':2'),
    'option-is-an-object': ('{"options":[\n{}]}', ':2'),
}
for name, (content, place) in HOSTILE_RUN.items():
    cases.add(f'/report/hostile-run/{name}', refuse, 'run.json', content, place)

HOSTILE_TIMELINE = {
    'empty': ('', ':1'),
    'no-end': ('ios,bytes\n1,2\n', ':1'),
    'column-twice': ('end_ns,ios,ios\n1,2,3\n', ':1'),
    'end-twice': ('end_ns,end_ns\n1,2\n', ':1'),
    'columns-without-end': ('end_ns' + ',a' * 100 + '\n', ':1'),
    'cut-in-a-number': ('end_ns,ios\n10,5\n20,6', ':3'),
    'cut-in-the-header': ('end_ns,io', ':1'),
    'a-column-less': ('end_ns,ios\n10\n', ':2'),
    'a-column-more': ('end_ns,ios\n10,1,2\n', ':2'),
    'not-a-number': ('end_ns,ios\n10,1\n20,x\n', ':3'),
    'negative': ('end_ns,ios\n10,-1\n', ':2'),
    'too-large': ('end_ns,ios\n10,18446744073709551616\n', ':2'),
    'sum-too-large': ('end_ns,ios\n10,18446744073709551615\n20,1\n', ':3'),
    'time-stands': ('end_ns,ios\n10,1\n10,1\n', ':3'),
    'time-goes-back': ('end_ns,ios\n10,1\n20,1\n19,1\n', ':4'),
    'time-zero': ('end_ns,ios\n0,1\n', ':2'),
    'a-nul': (b'end_ns,ios\n1\x000,1\n', ':2'),
    'not-utf-8': (b'end_ns,ios\n1,\xff\n', ':2'),
    'a-line-too-long': ('end_ns\n' + '1' * 70000 + '\n', ':2'),
}
for name, (content, place) in HOSTILE_TIMELINE.items():
    cases.add(f'/report/hostile-time-line/{name}', refuse, 'timeline.csv', content, place)

HOSTILE_MACHINE = {
    'key-twice': ('[a]\nb = 1\nb = 2\n', ':3'),
    'no-group': ('b = 1\n', ':1'),
    'no-time': ('[machine]\ntimeline = soon\n', ':2'),
    'time-zero': ('[machine]\ntimeline = 0\n', ':2'),
}
for name, (content, place) in HOSTILE_MACHINE.items():
    cases.add(f'/report/hostile-machine/{name}', refuse, 'machine.ini', content, place)


@case('/report/hostile-time-line/end-of-time')
def end_of_time():
    broken()
    write('run/timeline.csv', 'end_ns,ios\n1,1\n18446744073709551615,18446744073709551614\n')
    chart, = (chart for chart in report('run').charts() if chart['id'] == 'chart-throughput')
    equal(len(chart['series'][0]['values']) <= 320, True, 'stretches')


@case('/report/hostile-run/cut-anywhere')
def cut():
    """Wherever run.json ends too early: one line, no page."""
    broken()
    text = read('run', 'run.json').rstrip()
    for end in range(0, len(text), 397):
        write('run/run.json', text[:end])
        line = program.refuses('report', '-o', 'page.html', 'run')
        check(re.match(r'run/run\.json[:@]\d+: ', line), f'cut at {end}', line)
    check(not os.path.exists('page.html'), 'no page')


cases.main()
