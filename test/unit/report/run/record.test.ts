// A run folder read back: its kind, and its sessions from the log of this format and of format 1.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type RunHistory, readRun } from '../../../../src/report/run/record.ts';

let run: string;
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'mm-record-'));
});
afterEach(() => rmSync(run, { recursive: true }));

const CONFIG = 'data: { path: images }\nmodel: { layers: 2 }\ntrain: { steps: 9 }\n';

async function read(config: string, log: readonly object[] = []): Promise<RunHistory> {
  writeFileSync(join(run, 'config.yaml'), config);
  const lines = log.map((entry, i) => JSON.stringify({ level: 20, time: 1000 * i, ...entry }));
  writeFileSync(join(run, 'log.jsonl'), lines.join('\n'));
  return readRun(run);
}

const spans = ({ sessions }: RunHistory) => sessions.map(({ from, to, seconds }) => ({ from, to, seconds }));
const SPANS = [
  { from: 0, to: 4, seconds: 1 },
  { from: 4, to: 9, seconds: 2 },
];

test('the kind is that of config.yaml', async () => {
  const { kind, steps } = await read(`kind: clip\nversion: 2\n${CONFIG}`);
  assert.deepEqual({ kind, steps }, { kind: 'clip', steps: 9 });
});

test('the kind of a run of format 1 is that of its newest readable checkpoint, or follows from its model', async () => {
  assert.equal((await read(CONFIG)).kind, 'dalle');
  const state = (step: number, text: string): void => {
    mkdirSync(join(run, 'checkpoints', `step-${step}`), { recursive: true });
    writeFileSync(join(run, 'checkpoints', `step-${step}`, 'state.json'), text);
  };
  const whole = { format: 'mm-checkpoint', version: 1, kind: 'dvae', step: 2, seed: 0 };
  state(2, JSON.stringify({ ...whole, dataPosition: null, metrics: {}, files: {} }));
  state(10, '{');
  const { kind, checkpoints } = await read(CONFIG);
  assert.deepEqual({ kind, checkpoints }, { kind: 'dvae', checkpoints: [2, 10] });
});

test('sessions are told apart by the events of the log', async () => {
  const history = await read(CONFIG, [
    { event: 'session', from: 0, msg: 'session' },
    { event: 'validation', step: 0, msg: 'validation' },
    { event: 'validation', step: 4, msg: 'validation' },
    { msg: 'going on from here is no event' },
    { event: 'session', from: 4, msg: 'session' },
    { event: 'validation', step: 4, msg: 'validation' },
    { level: 40, msg: 'a warning' },
    { event: 'validation', step: 9, msg: 'validation' },
  ]);
  assert.deepEqual(spans(history), SPANS);
  assert.deepEqual(history.warnings, ['a warning']);
});

test('sessions of format 1 are told apart by the messages of its log', async () => {
  const history = await read(CONFIG, [
    { step: 0, msg: 'validation' },
    { step: 4, msg: 'validation' },
    { msg: 'going on from step 4' },
    { step: 4, msg: 'validation' },
    { msg: 'something else' },
    { step: 9, msg: 'validation' },
  ]);
  assert.deepEqual(spans(history), SPANS);
});

test('metrics of format 1 have the names of this format', async () => {
  writeFileSync(join(run, 'metrics.jsonl'), '{"step":1,"leastGradientScale":8,"loss":2}\n');
  const { metrics } = await read(CONFIG);
  assert.deepEqual(metrics, [{ step: 1, values: { minBlockLossScale: 8, loss: 2 } }]);
});
