import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { encodePng } from '../../../../src/report/images/png.ts';
import { RunFolder } from '../../../../src/report/run/folder.ts';
import { readMetrics } from '../../../../src/report/run/metrics.ts';
import { DataError, UsageError } from '../../../../src/util/errors.ts';
import { programFile, TYPESCRIPT } from '../../../support/typescript.ts';

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'mm-run-'));
  path = join(root, 'run');
});
afterEach(() => rm(root, { recursive: true }));

const metricsFile = (): string => join(path, 'metrics.jsonl');
const loss = (step: number): number => 1 / (step + 1);

test('a run leaves its kind and configuration, metrics, events and samples', async () => {
  const run = await RunFolder.open(path, { resume: false, kind: 'dvae', config: { seed: 0 } });
  run.log(10, { loss: 1.25, 'learning rate': 1e-4 });
  run.log(20, { loss: Number.NaN, norm: Number.POSITIVE_INFINITY, other: Number.NEGATIVE_INFINITY });
  const png = await encodePng(new Uint8Array(12), 2, 2);
  assert.equal(await run.image(20, 'samples', png), join(path, 'samples', 'step-20.png'));
  assert.equal(await run.image(20, 'originals', png), join(path, 'samples', 'step-20-originals.png'));
  run.close();

  assert.equal(await readFile(join(path, 'config.yaml'), 'utf8'), 'kind: dvae\nversion: 2\nseed: 0\n');
  assert.equal(
    await readFile(metricsFile(), 'utf8'),
    '{"step":10,"loss":1.25,"learning rate":0.0001}\n' +
      '{"step":20,"loss":"NaN","norm":"Infinity","other":"-Infinity"}\n',
  );
  assert.deepEqual((await readMetrics(metricsFile()))[1]?.values, {
    loss: Number.NaN,
    norm: Number.POSITIVE_INFINITY,
    other: Number.NEGATIVE_INFINITY,
  });
  assert.deepEqual(await readFile(join(path, 'samples', 'step-20.png')), png);
  assert.equal((await readdir(join(path, 'events'))).length, 1);
  assert.equal(run.checkpoints.path(7), join(path, 'checkpoints', 'step-7'));
  assert.equal(run.logFile, join(path, 'log.jsonl'));
});

test('a new run never mixes with another, and resuming needs one', async () => {
  const fresh = { resume: false, kind: 'dvae', config: {} } as const;
  const missing = { name: 'UsageError', code: 'E_NO_RUN_TO_RESUME', where: path };
  await assert.rejects(RunFolder.open(path, { ...fresh, resume: true }), missing);
  await mkdir(path);
  await assert.rejects(RunFolder.open(path, { ...fresh, resume: true }), missing);
  (await RunFolder.open(path, fresh)).close();
  await assert.rejects(RunFolder.open(path, fresh), (error: unknown) => {
    assert.ok(error instanceof UsageError);
    assert.equal(error.code, 'E_RUN_FOLDER_NOT_EMPTY');
    assert.equal(error.where, path);
    assert.match(error.fix ?? '', /`resume`/);
    return true;
  });
  const file = join(root, 'file');
  await writeFile(file, '');
  await assert.rejects(RunFolder.open(file, fresh), {
    name: 'UsageError',
    code: 'E_RUN_FOLDER_IS_FILE',
    where: file,
  });
});

test('a run interrupted and resumed leaves the metrics of one that ran through', async () => {
  const whole = await RunFolder.open(join(root, 'whole'), { resume: false, kind: 'dvae', config: {} });
  for (let step = 1; step <= 50; step++) whole.log(step, { loss: loss(step) });
  whole.close();

  const first = await RunFolder.open(path, { resume: false, kind: 'dvae', config: { steps: 1 } });
  for (let step = 1; step <= 34; step++) first.log(step, { loss: loss(step) });
  first.close();
  await appendFile(metricsFile(), '{"step":35,"lo');

  const second = await RunFolder.open(path, { resume: true, kind: 'dvae', config: { steps: 2 } });
  await second.truncateAfter(30);
  for (let step = 31; step <= 50; step++) second.log(step, { loss: loss(step) });
  second.close();

  assert.equal(
    await readFile(metricsFile(), 'utf8'),
    await readFile(join(root, 'whole', 'metrics.jsonl'), 'utf8'),
  );
  assert.equal(await readFile(join(path, 'config.yaml'), 'utf8'), 'kind: dvae\nversion: 2\nsteps: 2\n');
});

test('resuming without truncating appends after the last whole line', async () => {
  const first = await RunFolder.open(path, { resume: false, kind: 'dvae', config: {} });
  first.log(1, { loss: 1 });
  first.close();
  await appendFile(metricsFile(), '{"step":2,"loss":0.5}'); // whole, but its end is missing: it may be 0.55
  const second = await RunFolder.open(path, { resume: true, kind: 'dvae', config: {} });
  second.log(2, { loss: 0.25 });
  second.close();
  assert.deepEqual(await readMetrics(metricsFile()), [
    { step: 1, values: { loss: 1 } },
    { step: 2, values: { loss: 0.25 } },
  ]);
});

test('lines are with the system when log returns, so that a kill loses none', async () => {
  const source = new URL('../../../../src/report/run/folder.ts', import.meta.url);
  const script = `
    import { RunFolder } from ${JSON.stringify(pathToFileURL(programFile(source)).href)};
    const run = await RunFolder.open(${JSON.stringify(path)}, { resume: false, kind: 'dvae', config: {} });
    for (let step = 1; step <= 100; step++) run.log(step, { loss: step });
    process.kill(process.pid, 'SIGKILL');`;
  const child = spawnSync(process.execPath, [...TYPESCRIPT, '--input-type=module', '--eval', script]);
  assert.equal(child.signal, 'SIGKILL', String(child.stderr));
  assert.equal((await readMetrics(metricsFile())).length, 100);
});

test('a damaged line that is not the last is an error at that line', async () => {
  const run = await RunFolder.open(path, { resume: false, kind: 'dvae', config: {} });
  run.close();
  for (const line of ['{"step":2,', '{"loss":1}', '[]', 'null']) {
    await writeFile(metricsFile(), `{"step":1,"loss":1}\n${line}\n{"step":3,"loss":1}\n`);
    await assert.rejects(
      RunFolder.open(path, { resume: true, kind: 'dvae', config: {} }),
      (error: unknown) => {
        assert.ok(error instanceof DataError, line);
        assert.equal(error.code, 'E_METRICS_LINE', line);
        assert.equal(error.where, `${metricsFile()}:2`);
        return true;
      },
    );
  }
});
