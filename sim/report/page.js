/* SPDX-License-Identifier: MIT */
/* Makes charts of what the page says in #data. Everything it draws also stands in a table: without this nothing is lost. */
'use strict';
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
const charts = [];
let colours = {};

/* ---- numbers for people, as the tables have them ---- */

const steps = {
	count: [[1e9, ' G'], [1e6, ' M'], [1e3, ' k'], [1, '']],
	ns: [[1e9, ' s'], [1e6, ' ms'], [1e3, ' us'], [1, ' ns']],
	bytes: [[2 ** 40, ' TiB'], [2 ** 30, ' GiB'], [2 ** 20, ' MiB'], [2 ** 10, ' KiB'], [1, ' B']],
	percent: [[1, ' %']],
	per_s: [[1e9, ' G/s'], [1e6, ' M/s'], [1e3, ' k/s'], [1, ' /s']],
	bytes_per_s: [[1e9, ' GB/s'], [1e6, ' MB/s'], [1e3, ' kB/s'], [1, ' B/s']],
};

function words(unit, value) {
	const [factor, name] = steps[unit].find(([size]) => Math.abs(value) >= size * 0.9995) || steps[unit].at(-1);
	return Number((value / factor).toPrecision(3)) + name;
}

/* ---- looks ---- */

function look() {
	const style = getComputedStyle(document.documentElement);
	const names = ['text', 'soft', 'grid', 'shade', 's0', 's1', 's2', 's3', 's4', 's5'];
	colours = Object.fromEntries(names.map(name => [name, style.getPropertyValue('--' + name).trim()]));
	Chart.defaults.color = colours.text;
	Chart.defaults.borderColor = colours.grid;
}

const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 4], [12, 4]];
const shapes = ['circle', 'rect', 'triangle', 'rectRot', 'star', 'cross'];
const colour = index => colours['s' + index % 6];

/* A round step: of bytes, a power of two. */
function step(spec) {
	if (spec.unit !== 'bytes' || !spec.most)
		return undefined;
	return 2 ** Math.ceil(Math.log2(spec.most / 5));
}

/* Between two things that are counted there is nothing. */
function whole(spec) {
	return spec.unit === 'count' && spec.series.every(({ values }) => values.every(value => value === null || Number.isInteger(value)));
}

function axis(spec, log) {
	return {
		type: log ? 'logarithmic' : 'linear',
		beginAtZero: true,
		suggestedMax: spec.most || undefined,
		ticks: {
			maxTicksLimit: 7,
			stepSize: step(spec),
			precision: whole(spec) ? 0 : undefined,
			callback: value => words(spec.unit, value),
		},
	};
}

function seconds(spec) {
	return {
		type: 'linear',
		min: spec.from_ns / 1e9,
		max: spec.to_ns / 1e9,
		ticks: { maxTicksLimit: 7, maxRotation: 0, callback: value => words('ns', value * 1e9) },
	};
}

/* A name beside the chart; where there is little room, in short lines. */
function name(value) {
	const label = this.getLabelForValue(value);
	if (this.chart.width >= 600)
		return label;
	const lines = [''];
	for (const part of label.split(/(?<=[._ -])/)) {
		if (lines.at(-1) && lines.at(-1).length + part.length > 12)
			lines.push('');
		lines[lines.length - 1] += part;
	}
	return lines.map(line => line.trim()).map(line => line.length > 12 ? line.slice(0, 11) + '\u2026' : line);
}

function options(spec, scales, title) {
	return {
		animation: false,
		responsive: true,
		maintainAspectRatio: false,
		scales,
		interaction: { mode: 'index', intersect: false },
		plugins: {
			legend: { display: spec.series.length > 1, position: 'bottom', labels: { usePointStyle: true, boxHeight: 8 } },
			tooltip: {
				callbacks: {
					title,
					label: item => `${item.dataset.label}: ${words(spec.unit, item.parsed[item.chart.options.indexAxis === 'y' ? 'x' : 'y'])}`,
				},
			},
		},
	};
}

/* ---- kinds of charts ---- */

function overTime(spec) {
	const scale = spec.rate ? 1e9 / spec.bin_ns : 1;
	const few = spec.series[0].values.filter(value => value !== null).length < 60;
	return {
		type: 'line',
		data: {
			datasets: spec.series.map((series, index) => ({
				label: series.label,
				data: series.values.map((value, bin) => ({
					x: (spec.begin_ns + (bin + 0.5) * spec.bin_ns) / 1e9,
					y: value === null || spec.log && value === 0 ? null : value * scale,
				})),
				borderColor: colour(index),
				backgroundColor: colour(index),
				borderDash: dashes[index],
				borderWidth: 1.5,
				pointStyle: shapes[index],
				pointRadius: few ? 2.5 : 1,
				stepped: series.holds ? 'before' : false,
				spanGaps: series.holds,
			})),
		},
		options: options(spec, { x: seconds(spec), y: axis(spec, spec.log) },
			items => items.length ? 'at ' + words('ns', items[0].parsed.x * 1e9) : ''),
	};
}

function bars(spec) {
	const both = {
		type: 'bar',
		data: {
			labels: spec.labels,
			datasets: spec.series.map((series, index) => ({
				label: series.label,
				data: series.values,
				backgroundColor: colour(index),
				borderColor: colour(index),
				maxBarThickness: 22,
				minBarLength: 2,
			})),
		},
		options: options(spec, { x: axis(spec, spec.log), y: { type: 'category', ticks: { autoSkip: false, callback: name } } }),
	};
	both.options.indexAxis = 'y';
	return both;
}

function lines(spec) {
	return {
		type: 'line',
		data: {
			labels: spec.labels,
			datasets: spec.series.map((series, index) => ({
				label: series.label,
				data: series.values,
				borderColor: colour(index),
				backgroundColor: colour(index),
				borderDash: dashes[index],
				borderWidth: 2,
				pointStyle: shapes[index],
				pointRadius: 4,
				spanGaps: true,
			})),
		},
		options: options(spec, { x: { type: 'category' }, y: axis(spec, spec.log) }),
	};
}

function events(spec) {
	const kinds = [...new Set(spec.series.flatMap(series => series.points.map(point => point[1])))];
	const backdrop = {
		type: 'line',
		label: 'I/Os a second',
		yAxisID: 'rate',
		order: 1,
		data: spec.values.map((value, bin) => ({
			x: (spec.begin_ns + (bin + 0.5) * spec.bin_ns) / 1e9,
			y: value * 1e9 / spec.bin_ns,
		})),
		borderColor: colours.shade,
		backgroundColor: colours.grid,
		borderWidth: 1,
		pointRadius: 0,
		fill: 'origin',
	};
	const marks = spec.series.map((series, index) => ({
		type: 'scatter',
		label: series.label,
		yAxisID: 'kind',
		order: 0,
		data: series.points.map(([ns, kind]) => ({ x: ns / 1e9, y: kind })),
		pointStyle: ['rectRot', 'circle', 'triangle'][index],
		pointRadius: 6,
		clip: false,
		borderColor: colours.text,
		backgroundColor: colour([4, 3, 1][index]),
	})).filter(series => series.data.length);
	const chart = {
		type: 'scatter',
		data: { datasets: [...marks, backdrop] },
		options: options({ ...spec, unit: 'per_s' }, {
			x: seconds(spec),
			rate: { position: 'right', beginAtZero: true, grid: { display: false },
				ticks: { maxTicksLimit: 5, callback: value => words('per_s', value) } },
		}, items => items.length ? 'at ' + words('ns', items[0].parsed.x * 1e9) : ''),
	};
	if (kinds.length)
		chart.options.scales.kind = {
			type: 'category', labels: kinds, offset: true, position: 'left', ticks: { autoSkip: false, callback: name },
		};
	chart.options.interaction = { mode: 'nearest', intersect: false };
	chart.options.plugins.legend.display = true;
	chart.options.plugins.tooltip.callbacks.label = item => item.dataset.type === 'scatter' ?
		`${item.dataset.label}: ${item.raw.y}` : `${item.dataset.label}: ${words('per_s', item.parsed.y)}`;
	return chart;
}

const makers = { time: overTime, bar: bars, line: lines, events };

/* ---- drawing ---- */

function draw() {
	for (const chart of charts.splice(0))
		chart.destroy();
	look();
	for (const spec of data.charts) {
		const canvas = document.getElementById(spec.id);
		if (spec.kind === 'bar')
			canvas.parentElement.style.height = `${4 + spec.labels.length * (0.8 + spec.series.length)}rem`;
		charts.push(new Chart(canvas, makers[spec.kind](spec)));
	}
}

/* Paper is white and narrow, whatever the screen is, and nothing on it can be opened. */
function paper(on) {
	document.documentElement.classList.toggle('paper', on);
	for (const part of document.querySelectorAll(on ? 'details:not([open], .long)' : 'details[data-paper]')) {
		part.open = on;
		part.toggleAttribute('data-paper', on);
	}
	draw();
}

draw();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
addEventListener('beforeprint', () => paper(true));
addEventListener('afterprint', () => paper(false));
})();
