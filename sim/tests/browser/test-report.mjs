/* SPDX-License-Identifier: MIT */
/*
 * The report as a person meets it, in headless Chromium: it loads nothing and complains of nothing, every chart is drawn and
 * says what its table says, tables say what run.json says, it fits a phone, its labels and contrasts hold, all of it is reached
 * with the keyboard, and what a file calls itself does not become part of the page. Results in the Test Anything Protocol;
 * screenshots stay in SCREENSHOTS. test-report.mjs IOMMUSIM MODULES SCREENSHOTS [PART-OF-A-NAME]
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [program, modules, screenshots] = process.argv.slice(2, 5).map(name => path.resolve(name));
const require = createRequire(path.join(modules, 'package.json'));
const { chromium } = require('playwright-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const trace = path.join(process.env.FIXTURES, 'traces', 'v7.0-strict-ext4.trace.txt.zst');
const faults = path.join(process.env.FIXTURES, 'faults', 'sync.ini');
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'iommusim-browser-'));
const evil = '</script><img src=x onerror=alert(1)>"\'&{{data}}';

/* ---- runs and their pages ---- */

function iommusim(...args) {
	const done = spawnSync(program, args, { cwd: home, encoding: 'utf8' });
	assert.ok(done.status === 0 || done.status === 1, `${args.join(' ')}\n${done.stderr}`);
}

function makePages() {
	iommusim('replay', trace, '-o', 'old', '-f', faults, '--set', 'behaviour.blkdma-rollback=old');
	iommusim('replay', trace, '-o', 'lazy', '--set', 'iommu.mode=lazy');
	iommusim('replay', trace, '-o', 'asap', '--mode=asap', '--set', 'iommu.mode=passthrough');
	fs.cpSync(path.join(home, 'old'), path.join(home, 'evil'), { recursive: true });
	const run = JSON.parse(fs.readFileSync(path.join(home, 'evil', 'run.json'), 'utf8'));
	run.trace.name = evil;
	run.machine[evil] = evil;
	run.firings.push({ ...run.firings[0], point: 'controller.lost_completion' });
	run.violations[0].kind = run.violations[0].text = run.firings[0].point = run.locks[0].name = evil;
	run[evil] = { [evil]: evil };
	fs.writeFileSync(path.join(home, 'evil', 'run.json'), JSON.stringify(run));
	fs.appendFileSync(path.join(home, 'evil', 'machine.ini'), `\n[${evil.replace('{{data}}', '')}]\n# ${evil}\nkey = ${evil}\n`);
	fs.cpSync(path.join(home, 'lazy'), path.join(home, 'large'), { recursive: true });
	const table = path.join(home, 'large', 'timeline.csv');
	const [head, ...rows] = fs.readFileSync(table, 'utf8').split('\n');
	const many = head.split(',').map((name, field) => /^(in_flight_max|iova_live|page_table_pages)$/.test(name) ? field : -1);
	fs.writeFileSync(table, [head, ...rows.map(row => row.split(',').map((value, field) =>
		many.includes(field) ? String(value * 1234) : value).join(','))].join('\n'));
	return [['one', ['old']], ['two', ['old', 'lazy']], ['large', ['large']], ['no-time', ['asap']], ['evil', ['evil', 'old']]].map(([name, dirs]) => {
		iommusim('report', '-o', `${name}.html`, ...dirs);
		return {
			name,
			url: pathToFileURL(path.join(home, `${name}.html`)).href,
			runs: dirs.map(dir => JSON.parse(fs.readFileSync(path.join(home, dir, 'run.json'), 'utf8'))),
		};
	});
}

/* ---- cases ---- */

const cases = [];
const sizes = {
	wide: { viewport: { width: 1280, height: 900 } },
	dark: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
	phone: { viewport: { width: 400, height: 800 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

/** Opens REPORT; whatever it complains of or asks for is put into .trouble. */
async function open(browser, report, options = sizes.wide) {
	const context = await browser.newContext(options);
	const page = await context.newPage();
	page.trouble = [];
	page.on('console', message => page.trouble.push(`${message.type()}: ${message.text()}`));
	page.on('pageerror', error => page.trouble.push(`error: ${error}`));
	page.on('dialog', dialog => { page.trouble.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
	page.on('request', request => {
		if (request.url() !== report.url && !request.url().startsWith('data:'))
			page.trouble.push(`asks for ${request.url()}`);
	});
	await page.goto(report.url);
	return page;
}

async function quiet(browser, report) {
	for (const [size, options] of Object.entries(sizes)) {
		const page = await open(browser, report, options);
		await page.screenshot({ path: path.join(screenshots, `${report.name}-${size}.png`), fullPage: true });
		assert.deepEqual(page.trouble, []);
		await page.context().close();
	}
}

/** Every canvas: as the script and as the table below it have it. */
function readCharts() {
	const number = cell => cell.querySelector('data') ? Number(cell.querySelector('data').value) : cell.textContent;
	return [...document.querySelectorAll('canvas')].map(canvas => {
		const chart = Chart.getChart(canvas);
		const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
		const colours = new Set();
		let painted = 0;
		for (let i = 0; i < pixels.length; i += 4) {
			if (pixels[i + 3] < 128)
				continue;
			painted++;
			colours.add(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
		}
		const rows = [...canvas.closest('figure').querySelectorAll('tr')].map(row => [...row.cells].map(number));
		return {
			id: canvas.id,
			kind: chart.config.type,
			named: canvas.getAttribute('aria-labelledby').split(' ').every(id => document.getElementById(id).textContent),
			labels: chart.data.labels,
			datasets: chart.data.datasets.map(({ label, data, type }) => ({ label, data, type })),
			ticks: Object.values(chart.scales).filter(scale => scale.type !== 'category').map(scale => ({
				seconds: scale.axis === 'x' && scale.type === 'linear' && chart.config.type !== 'bar',
				marks: scale.ticks.map(({ value, label }) => [value, label]),
			})),
			painted,
			colours: colours.size,
			rows,
		};
	});
}

function near(a, b) {
	return typeof a === 'number' && typeof b === 'number' && Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b), 1e-9);
}

const scales = {
	'': 1, k: 1e3, M: 1e6, G: 1e9, ns: 1, us: 1e3, ms: 1e6, s: 1e9, '%': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30,
	TiB: 2 ** 40, '/s': 1, 'k/s': 1e3, 'M/s': 1e6, 'G/s': 1e9, 'B/s': 1, 'kB/s': 1e3, 'MB/s': 1e6, 'GB/s': 1e9,
};

/** The words at the axes are their values, and no two of an axis are the same. */
function sameAtTheAxes(chart) {
	for (const { seconds, marks } of chart.ticks) {
		const said = marks.filter(([, label]) => label);
		for (const [value, label] of said) {
			const [digits, unit = ''] = label.split(' ');
			const real = seconds ? value * 1e9 : value, told = Number(digits) * scales[unit];
			assert.ok(Math.abs(told - real) <= 0.0051 * Math.abs(real), `${chart.id}: "${label}" stands at ${real}`);
		}
		assert.equal(new Set(said.map(([, label]) => label)).size, said.length, `${chart.id}: ${said}`);
		assert.ok(said.length > 1, `${chart.id}: ${said.length} marks`);
	}
	if (['chart-in-flight', 'chart-iova-live', 'chart-tables', 'chart-leaks'].includes(chart.id.replace(/-[ab]$/, '')))
		assert.ok(chart.ticks.at(-1).marks.every(([value, label]) => !label.includes('.')), `${chart.id} counts in whole numbers`);
}

/** Each row of the table of a chart over time has a point, with the same value. */
function sameOverTime(chart) {
	const known = chart.rows.slice(1);
	const bin = chart.datasets[0].data.length > 1 ? chart.datasets[0].data[1].x - chart.datasets[0].data[0].x : 0;
	for (const [index, set] of chart.datasets.entries()) {
		let compared = 0;
		for (const row of known) {
			const at = bin ? Math.round((row[0] / 1e9 + bin / 2 - set.data[0].x) / bin) : 0;
			const value = set.data[at].y;
			if (typeof row[1 + index] === 'number' && value !== null) {
				assert.ok(near(value, row[1 + index]), `${chart.id}, ${set.label}, at ${row[0]} ns: ${value}, not ${row[1 + index]}`);
				compared++;
			} else {
				assert.ok(value === null && (row[1 + index] === '–' || row[1 + index] === 0), `${chart.id}: ${value} and ${row[1 + index]}`);
			}
		}
		assert.ok(compared > 0, `${chart.id}, ${set.label}: no numbers`);
	}
}

function sameByLabel(chart) {
	assert.deepEqual(chart.rows[0].slice(1), chart.datasets.map(set => set.label), chart.id);
	for (const [index, row] of chart.rows.slice(1).entries()) {
		assert.equal(row[0].slice(0, 60), chart.labels[index]);
		for (const [series, set] of chart.datasets.entries())
			assert.ok(set.data[index] === null ? row[1 + series] === '–' : near(set.data[index], row[1 + series]),
				`${chart.id}, ${row[0]}: ${set.data[index]}, not ${row[1 + series]}`);
	}
}

async function drawn(browser, report) {
	const page = await open(browser, report);
	const charts = await page.evaluate(readCharts);
	const told = await page.evaluate(() => JSON.parse(document.getElementById('data').textContent).charts.map(chart => chart.id));
	assert.deepEqual(charts.map(chart => chart.id), told);
	assert.ok(charts.length >= (report.name === 'no-time' ? 3 : 10), `${charts.length} charts`);
	for (const chart of charts) {
		const points = chart.datasets.flatMap(set => set.data).filter(point => point !== null && point?.y !== null);
		assert.ok(points.length > 0, `${chart.id} has no points`);
		assert.ok(chart.painted > 500 && chart.colours > 3, `${chart.id} is blank: ${chart.painted} pixels, ${chart.colours} colours`);
		assert.ok(chart.named, `${chart.id} has no name`);
		assert.ok(chart.rows.length > 1, `${chart.id} has no table`);
		sameAtTheAxes(chart);
		if (chart.labels?.length)
			sameByLabel(chart);
		else if (chart.kind === 'line')
			sameOverTime(chart);
	}
	await page.context().close();
}

const follow = (root, keys) => keys.reduce((node, key) => node?.[key], root);

/** What is said with its source is what stands there. */
async function matches(browser, report) {
	const page = await open(browser, report);
	const said = await page.evaluate(() => [...document.querySelectorAll('[data-key]')].map(element => ({
		key: element.dataset.key,
		run: Number(element.dataset.run),
		value: element.tagName === 'DATA' ? element.value : null,
		text: element.textContent,
	})));
	const seen = report.runs.map(() => new Set());
	for (const { key, run, value, text } of said) {
		const found = follow(report.runs[run], key.split('.'));
		seen[run].add(key);
		assert.equal(value ?? text, typeof found === 'boolean' ? (found ? 'yes' : 'no') : String(found), `${key} of run ${run}`);
	}
	for (const [run, root] of report.runs.entries())
		assert.deepEqual(values(root).filter(key => !seen[run].has(key)), [], `of run ${run}, not on the page`);
	await page.context().close();
}

/** The paths of all values that a section or the rest shows. */
function values(node, at = '') {
	if (typeof node !== 'object')
		return /^(host|options|violation_count|observation_count)\b|\.histogram\./.test(at) ? [] : [at];
	return Object.entries(node).flatMap(([key, value]) => values(value, at ? `${at}.${key}` : key));
}

async function fits(browser, report) {
	const page = await open(browser, report, sizes.phone);
	for (const opened of [false, true]) {
		await page.evaluate(on => document.querySelectorAll('details').forEach(part => { part.open = on; }), opened);
		assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 400, opened ? 'all open' : 'closed');
	}
	const small = await page.evaluate(() => [...document.querySelectorAll('canvas')].filter(canvas =>
		canvas.getBoundingClientRect().right > innerWidth || canvas.getBoundingClientRect().height < 60).map(canvas => canvas.id));
	assert.deepEqual(small, []);
	const cut = await page.evaluate(() => [...document.querySelectorAll('canvas')].flatMap(canvas => {
		const chart = Chart.getChart(canvas);
		return Object.values(chart.scales).filter(scale => scale.type === 'category' && scale.axis !== 'x' && scale.isHorizontal() === false)
			.flatMap(scale => scale.ticks.flatMap(tick => tick.label).filter(line => {
				chart.ctx.font = Chart.defaults.font.size + 'px ' + Chart.defaults.font.family;
				return chart.ctx.measureText(line).width > scale.width;
			})).map(line => `${canvas.id}: ${line}`);
	}));
	assert.deepEqual(cut, [], 'names beside the charts');
	await page.context().close();
}

async function accessible(browser, report) {
	for (const options of Object.values(sizes)) {
		const page = await open(browser, report, options);
		await page.evaluate(() => document.querySelectorAll('details').forEach(part => { part.open = true; }));
		await page.evaluate(axe);
		const { violations, passes } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
		assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
		assert.ok(passes.some(({ id }) => id === 'color-contrast'), 'contrast was checked');
		await page.context().close();
	}
}

/** Tab alone reaches what can be opened, followed or scrolled. */
async function keyboard(browser, report) {
	const page = await open(browser, report);
	const wanted = await page.evaluate(() => {
		const all = [...document.querySelectorAll('a, summary, [tabindex="0"]')].filter(element => element.checkVisibility());
		all.forEach((element, index) => { element.dataset.stop = index; });
		return all.length;
	});
	const reached = new Set();
	for (let i = 0; i < wanted + 5; i++) {
		await page.keyboard.press('Tab');
		reached.add(await page.evaluate(() => document.activeElement.dataset.stop));
	}
	reached.delete(undefined);
	assert.equal(reached.size, wanted);
	await page.locator('summary').first().focus();
	await page.keyboard.press('Enter');
	assert.equal(await page.evaluate(() => document.querySelector('details').open), true);
	await page.context().close();
}

async function prints(browser, report) {
	const page = await open(browser, report, sizes.dark);
	await page.pdf({ path: path.join(screenshots, `${report.name}.pdf`), format: 'A4' });
	await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
	const paper = await page.evaluate(() => ({
		back: getComputedStyle(document.body).backgroundColor,
		closed: document.querySelectorAll('details:not([open], .long)').length,
		wide: [...document.querySelectorAll('canvas')].filter(canvas => canvas.getBoundingClientRect().width > 720).length,
	}));
	assert.deepEqual(paper, { back: 'rgb(255, 255, 255)', closed: 0, wide: 0 });
	await page.evaluate(() => dispatchEvent(new Event('afterprint')));
	assert.equal(await page.evaluate(() => document.querySelectorAll('details[open]').length), 0);
	assert.deepEqual(page.trouble, []);
	await page.context().close();
}

async function harmless(browser, report) {
	const page = await open(browser, report);
	assert.equal(await page.locator('img').count(), 0);
	assert.equal(await page.locator('script').count(), 3);
	assert.ok((await page.locator('pre').first().textContent()).includes('onerror=alert(1)'), 'the name is shown');
	assert.deepEqual(page.trouble, []);
	await page.context().close();
}

/** Nothing runs that is not ours: not even what gets into the page later. */
async function guarded(browser, report) {
	const page = await open(browser, report);
	await page.evaluate(() => {
		const script = document.createElement('script');
		script.textContent = 'window.intruder = true';
		document.body.append(script);
	});
	assert.equal(await page.evaluate(() => window.intruder), undefined);
	assert.ok(page.trouble.some(text => text.includes('Content Security Policy')), page.trouble.join());
	await page.context().close();
}

/** Without script all numbers are there. */
async function scriptless(browser, report) {
	const page = await open(browser, report, { ...sizes.wide, javaScriptEnabled: false });
	assert.ok(await page.locator('canvas').count() > 5);
	assert.ok(await page.locator('figure table').count() === await page.locator('canvas').count());
	assert.ok(await page.locator('noscript').isVisible());
	await page.context().close();
}

/* ---- all of them ---- */

fs.mkdirSync(screenshots, { recursive: true });
const reports = makePages();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium' });
const checks = {
	'loads-nothing-and-complains-of-nothing': quiet,
	'every-chart-is-drawn-and-says-what-its-table-says': drawn,
	'tables-say-what-run-json-says': matches,
	'fits-a-phone': fits,
	'labels-and-contrast-hold': accessible,
	'everything-is-reached-with-the-keyboard': keyboard,
	'prints-white-and-whole': prints,
	'works-without-script': scriptless,
};

for (const report of reports)
	for (const [name, check] of Object.entries(checks))
		if (report.name !== 'no-time' || check !== scriptless)
			cases.push([`/report/${report.name}/${name}`, () => check(browser, report)]);
cases.push(['/report/evil/names-stay-text', () => harmless(browser, reports.find(report => report.name === 'evil'))]);
cases.push(['/report/one/no-other-script-runs', () => guarded(browser, reports[0])]);

const wanted = cases.filter(([name]) => name.includes(process.argv[5] ?? ''));
console.log(`1..${wanted.length}`);
for (const [index, [name, run]] of wanted.entries()) {
	try {
		await run();
		console.log(`ok ${index + 1} ${name}`);
	} catch (error) {
		console.log(`not ok ${index + 1} ${name}`);
		console.log(String(error.stack).replace(/^/gm, '# '));
		process.exitCode = 1;
	}
}
await browser.close();
fs.rmSync(home, { recursive: true });
