// mm report on the run of a real, tiny dVAE, and on what is no run.

import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EXIT } from '../../src/util/errors.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { testRefusals } from '../support/refusal.ts';
import { writeImages } from '../support/tiny-dvae.ts';
import { dvaeConfig, dvaeSession, lasting } from '../support/tiny-runs.ts';

const mm = mmTogether();
const root = mkdtempSync(join(tmpdir(), 'mm-report-'));
const run = join(root, 'run <1>');
before(async () => {
  const data = join(root, 'images');
  await writeImages(data, 14);
  await dvaeSession(dvaeConfig(data))(run);
});
after(() => rmSync(root, { recursive: true }));

test('a run becomes one page of figures, curves, images, times and configuration; nothing else changes', async () => {
  const before = lasting(run);
  const { code, stdout, stderr } = await mmAlone(['report', run, '--json']);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout);
  const out = join(run, 'report.html');
  assert.deepEqual(
    [result.out, result.kind, result.steps, result.logged, result.checkpoints],
    [out, 'dvae', 10, 10, [6, 10]],
  );
  const { 'report.html': _page, ...rest } = lasting(run);
  assert.deepEqual(rest, before);

  const html = readFileSync(out, 'utf8');
  assert.match(html, /<title>run &lt;1&gt;<\/title>/);
  assert.match(html, /Discrete VAE: 10 of 10 steps, newest checkpoint at step 10/);
  for (const title of ['Loss', 'KL', 'PSNR', 'Codes in use', 'Learning rate'])
    assert.match(html, new RegExp(`<figcaption>${title}`));
  assert.equal(html.match(/src="data:image\/png/g)?.length, 4); // steps 0, 4, 8, 10
  assert.match(html, /<td>0 to 10<\/td>/);
  assert.match(html, /imageSize: 16/);
  assert.doesNotMatch(html, /<script|https?:(?!\/\/www\.w3\.org)|undefined|NaN/);
  // What the page says of the loss is what was logged.
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const losses = lines.map((line) => JSON.parse(line).loss).filter((loss) => loss !== undefined);
  const [, first, last] = /training (-?[\d.]+) → (-?[\d.]+)/.exec(html) ?? [];
  for (const [said, logged] of [
    [first, losses[0]],
    [last, losses.at(-1)],
  ])
    assert.ok(Math.abs(Number(said) - logged) <= 0.001 * Math.abs(logged), `${said} is not ${logged}`);
});

test('a run that was killed in the middle of a line, and one that has just begun', async () => {
  appendFileSync(join(run, 'metrics.jsonl'), '{"step":11,"loss":"NaN"}\n{"step":12,"lo');
  appendFileSync(join(run, 'log.jsonl'), '{"level":40,"time":1,"msg":"a <b>warning</b>"}\n{"lev');
  const out = join(root, 'pages', 'page.html');
  const { code, stdout, stderr } = await mm(['report', run, '--out', out]);
  assert.deepEqual([code, stdout], [0, `${out}\n`], stderr);
  const html = readFileSync(out, 'utf8');
  assert.match(html, /training, step 11: NaN/);
  assert.match(html, /a &lt;b&gt;warning&lt;\/b&gt;/);

  const fresh = join(root, 'fresh');
  mkdirSync(fresh);
  writeFileSync(join(fresh, 'config.yaml'), readFileSync(join(run, 'config.yaml')));
  assert.equal((await mm(['report', fresh])).code, 0);
  assert.match(readFileSync(join(fresh, 'report.html'), 'utf8'), /Nothing has been logged yet/);
});

describe('mistakes', () => {
  const at = (name: string): string => join(root, name);
  before(() => {
    for (const name of ['empty', 'damaged', 'other']) mkdirSync(at(name));
    writeFileSync(at('damaged/config.yaml'), 'data: {path: x}\n');
    writeFileSync(at('damaged/metrics.jsonl'), 'loss 3\n');
    writeFileSync(at('other/config.yaml'), 'just words');
  });
  testRefusals({
    'no such folder': {
      flags: ['report', at('nowhere')],
      exit: EXIT.data,
      code: 'E_NO_RUN',
      at: 'nowhere',
    },
    'another folder': { flags: ['report', at('empty')], exit: EXIT.data, code: 'E_NO_RUN', at: 'empty' },
    'metrics that are none': {
      flags: ['report', at('damaged')],
      exit: EXIT.data,
      code: 'E_METRICS_LINE',
      at: 'metrics.jsonl:1',
    },
    'a configuration that is none': {
      flags: ['report', at('other')],
      exit: EXIT.data,
      code: 'E_RUN_CONFIG',
      at: /other/,
    },
    'no run named': { flags: ['report'], exit: EXIT.usage, code: 'E_ARGUMENT_MISSING', says: [/: run\n/] },
  });
});
