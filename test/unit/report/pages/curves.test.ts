// Charts of metrics: positions of points, scales, thinning, values that are not finite.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CurvePoint,
  linearTicks,
  logTicks,
  scaleOf,
  thin,
} from '../../../../src/report/pages/curve-scales.ts';
import { chartSvg, shortNumber } from '../../../../src/report/pages/curves.ts';
import { runCharts } from '../../../../src/report/pages/run-charts.ts';

const points = (values: readonly number[], every = 10): CurvePoint[] =>
  values.map((value, i) => ({ step: i * every, value }));

test('positive values of a wide range get a logarithmic scale, others a linear one', () => {
  const far = scaleOf(points([100, 1, 0.1]), 20, false);
  assert.equal(far.isLog, true);
  assert.deepEqual([far.share(0.1), far.share(100)], [0, 1]);
  assert.ok(Math.abs(far.share(1) - 1 / 3) < 1e-12);
  for (const values of [
    [3, 2, 1],
    [100, 1, -1],
    [100, 1, 0],
  ])
    assert.equal(scaleOf(points(values), 20, false).isLog, false, String(values));
  assert.equal(scaleOf(points([100, 1]), 10, true).isLog, false);
});

test('a large first value does not set the range of a linear scale', () => {
  const values = [900, ...Array.from({ length: 100 }, (_, i) => -1 - i / 100)];
  const { low, high } = scaleOf(points(values, 1), 100, false);
  assert.ok(high < 0 && low > -3, `${low} … ${high}`);
  const flat = scaleOf(points([2, 2]), 10, false);
  assert.ok(flat.low < 2 && flat.high > 2);
});

test('ticks are round and inside the range', () => {
  assert.deepEqual(linearTicks(0, 3500, 6), [0, 1000, 2000, 3000]);
  assert.deepEqual(linearTicks(-0.31, 0.27, 5), [-0.2, 0, 0.2]);
  assert.deepEqual(logTicks(0.04, 6), [0.1, 0.3, 1, 3]);
  assert.ok(logTicks(1e-9, 1e9).length <= 7);
  for (const [low, high] of [
    [3, 3.0001],
    [-1e6, 1e6],
    [0, 1],
  ] as const) {
    const ticks = linearTicks(low, high, 5);
    assert.ok(ticks.length >= 2 && ticks.length <= 7, String(ticks));
  }
});

test('many points become the mean, minimum and maximum of bins', () => {
  const many = points(
    Array.from({ length: 6000 }, (_, i) => (i % 2 === 0 ? 1 : 3)),
    1,
  );
  const { mean, min, max } = thin(many);
  assert.equal(mean.length, 120);
  assert.ok(mean.every(({ value }) => value === 2));
  assert.ok(min.every(({ value }) => value === 1) && max.every(({ value }) => value === 3));
  assert.ok(mean.every(({ step }, i) => i === 0 || step > (mean[i - 1] as CurvePoint).step));
  assert.equal(thin(many.slice(0, 50)).mean.length, 50);
});

test('points are at their steps and values; values that are not finite are marked', () => {
  const svg = chartSvg({
    title: 'Loss',
    isLinear: true,
    series: [{ name: 'training', colour: 0, isSparse: true, points: points([0, 1, Number.NaN, 1]) }],
  });
  const dots = [...svg.matchAll(/cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);
  assert.deepEqual(
    dots.map(([x]) => x),
    [66, 224.7, 542],
  );
  assert.ok(dots[0]![1]! > 190 && dots[1]![1]! < 28 && dots[1]![1] === dots[2]![1]);
  assert.match(svg, /class="broken" d="M383\.3 .*<title>training, step 20: NaN<\/title>/);
  assert.equal(svg.match(/class="line/g)?.length, 2);
  assert.doesNotMatch(svg, /NaN [\d]|"NaN|Infinity/);
});

test('a single point of a line is marked, and ticks are at whole steps', () => {
  const one = { name: 'training', colour: 0, isSparse: false, points: points([0.5]) };
  const svg = chartSvg({ title: 'Loss', series: [one] });
  assert.equal(svg.match(/<circle/g)?.length, 1);
  assert.doesNotMatch(svg, />0\.2</);
  assert.doesNotMatch(chartSvg({ title: 'Loss', series: [{ ...one, points: points([1, 2]) }] }), /<circle/);
});

test('validation and training values of a metric share a chart; unknown metrics have charts too', () => {
  const groups = runCharts([
    { step: 0, values: { 'validation/loss': 3, 'validation/codesUsed': 5, 'validation/deadCodes': 1 } },
    { step: 1, values: { loss: 2, learningRate: 1e-3, novelty: 1 } },
  ]);
  const titles = groups.map(({ title, charts }) => [title, charts.map(({ title }) => title)]);
  assert.deepEqual(titles, [
    ['Learning', ['Loss']],
    ['Codebook', ['Codes in use']],
    ['Schedules and gradients', ['Learning rate', 'novelty']],
  ]);
  assert.deepEqual(
    groups[0]?.charts[0]?.series.map(({ name, points }) => [name, points]),
    [
      ['training', [{ step: 1, value: 2 }]],
      ['held out', [{ step: 0, value: 3 }]],
    ],
  );
});

test('numbers have at most four digits', () => {
  assert.deepEqual([0, 12, 0.25, 1234, 12_345, 3_500_000, 0.00032, 1e-7, -2.279075].map(shortNumber), [
    '0',
    '12',
    '0.25',
    '1234',
    '12.3k',
    '3.5M',
    '3.2e-4',
    '1e-7',
    '-2.279',
  ]);
});
