// The training loop with a task of one number: stopped at every event, by Ctrl-C and by a crash, and resumed, it leaves
// what an uninterrupted run leaves.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { RunFolder } from '../../../src/report/run/folder.ts';
import { type LoopResult, trainLoop } from '../../../src/train/loop/loop.ts';
import type { ResumedState } from '../../../src/train/loop/resume.ts';
import type { LoopTask } from '../../../src/train/loop/task.ts';
import { DataError, InterruptedError } from '../../../src/util/errors.ts';
import { createLogger } from '../../../src/util/logger.ts';
import { prefetch } from '../../../src/util/prefetch.ts';
import { SILENT } from '../../../src/util/progress.ts';

/** Validation, checkpoints and the log fall on the same steps and on different ones. */
const SCHEDULE = { steps: 12, logEvery: 3, evaluateEvery: 4, saveEvery: 6 };

interface Batch {
  readonly value: number;
  readonly position: number;
}

interface Saved {
  readonly step: number;
  readonly x: number;
  readonly position: number | undefined;
  readonly metrics: Readonly<Record<string, number>>;
}

class Crash extends Error {}

let root: string;
let runs = 0;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'mm-loop-'));
});
after(() => rmSync(root, { recursive: true }));

async function* batchesFrom(position: number): AsyncGenerator<Batch, void> {
  for (let value = position; ; value++) yield { value, position: value + 1 };
}

/** A run in a new folder, in as many sessions as it takes. */
class Run {
  readonly path = join(root, String(runs++));
  readonly saves: Saved[] = [];
  #events = 0;
  #began = false;

  /** One session; `onEvent` is told the number of each event, counted over all sessions, before it happens. */
  async session(
    onEvent: (event: number, abort: () => void) => void = () => {},
    schedule = SCHEDULE,
  ): Promise<LoopResult> {
    const controller = new AbortController();
    const event = (): void => onEvent(this.#events++, () => controller.abort());
    const run = await RunFolder.open(this.path, { resume: this.#began, kind: 'dvae', config: {} });
    this.#began = true;
    const latest = this.saves.at(-1);
    await run.truncateAfter(latest?.step ?? -1);
    let x = latest?.x ?? 1;
    const task: LoopTask<Batch> = {
      update: async (_, { value }) => {
        event();
        x = Math.sin(x + value);
        return { loss: x, value };
      },
      evaluate: async (step) => {
        event();
        return { x, step };
      },
      sampleImage: async () => {
        event();
        return undefined;
      },
    };
    const resumed: ResumedState | undefined = latest && {
      checkpoint: `step-${latest.step}`,
      dataPosition: latest.position,
      ...latest,
    };
    try {
      return await trainLoop({
        label: 'test',
        task,
        batches: batchesFrom(latest?.position ?? 0),
        save: async (step, batch, metrics) => {
          event();
          this.saves.push({ step, x, position: batch?.position, metrics });
          return `step-${step}`;
        },
        schedule,
        resumed,
        run,
        progress: SILENT,
        log: createLogger('error'),
        signal: controller.signal,
      });
    } finally {
      run.close();
    }
  }

  get metrics(): string {
    return readFileSync(join(this.path, 'metrics.jsonl'), 'utf8');
  }
}

let whole: Run;
let events: number;
before(async () => {
  whole = new Run();
  await whole.session((event) => {
    events = event + 1;
  });
});

test('a step evaluates, samples an image, saves, then updates', () => {
  const steps = whole.metrics
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
  assert.deepEqual(
    steps.map(({ step, ...values }) => `${step} ${Object.keys(values)[0]}`),
    [
      '0 validation/x',
      '1 loss',
      '3 loss',
      '4 validation/x',
      '6 loss',
      '8 validation/x',
      '9 loss',
      '12 loss',
      '12 validation/x',
    ],
  );
  assert.deepEqual(
    whole.saves.map(({ step, position, metrics }) => ({ step, position, evaluated: metrics.step })),
    [
      { step: 6, position: 6, evaluated: 4 },
      { step: 12, position: 12, evaluated: 12 },
    ],
  );
});

describe('a resumed run equals an uninterrupted one, wherever it was stopped', () => {
  const compare = (run: Run, what: string): void => {
    assert.equal(run.metrics, whole.metrics, what);
    assert.deepEqual(run.saves.at(-1), whole.saves.at(-1), what);
  };

  test('when Ctrl-C stops it, which saves first', async () => {
    for (let stop = 0; stop < events; stop++) {
      const run = new Run();
      const session = run.session((event, abort) => event === stop && abort());
      const what = `Ctrl-C at event ${stop}`;
      const outcome = await session.then(
        () => 'finished',
        (error: InterruptedError) => error,
      );
      if (outcome === 'finished') {
        compare(run, what);
        continue;
      }
      assert.ok(outcome instanceof InterruptedError, what);
      assert.equal(outcome.code, 'E_INTERRUPTED', what);
      assert.equal(outcome.where, `step-${run.saves.at(-1)?.step}`, what);
      await run.session();
      compare(run, what);
    }
  });

  test('when a crash stops it, which saves nothing', async () => {
    for (let stop = 0; stop < events; stop++) {
      const run = new Run();
      const session = run.session((event) => {
        if (event === stop) throw new Crash();
      });
      await assert.rejects(session, Crash);
      await run.session();
      compare(run, `crash at event ${stop}`);
    }
  });

  test('when it is stopped again and again, at once after resuming and after one or two more events', async () => {
    for (const patience of [0, 1, 2]) {
      const run = new Run();
      for (let session = 0; ; session++) {
        assert.ok(session < 10 * events, 'it makes no progress');
        let seen = 0;
        // The signal is checked before each update, so a session makes at least one event.
        const outcome = await run
          .session((_, abort) => seen++ === patience && abort())
          .catch((error: unknown) => error);
        if (!(outcome instanceof InterruptedError)) break;
      }
      compare(run, `patience ${patience}`);
    }
  });
});

describe('a run that has made all its steps', () => {
  test('ends at once, changes nothing, and still returns its result', async () => {
    const run = new Run();
    const first = await run.session();
    const { metrics } = run;
    const again = await run.session(() => assert.fail('nothing is left to do'));
    assert.deepEqual(
      { ...again, seconds: 0 },
      { ...first, seconds: 0, firstLoss: undefined, lastLoss: undefined, dataWait: undefined },
    );
    assert.equal(run.metrics, metrics);
    assert.equal(run.saves.length, 2);
    assert.ok((first.dataWait as number) >= 0 && (first.dataWait as number) <= 1);
  });

  test('ends at once when its configuration asks for fewer', async () => {
    const run = new Run();
    await run.session();
    const { steps, checkpoint } = await run.session(() => assert.fail(), { ...SCHEDULE, steps: 5 });
    assert.deepEqual({ steps, checkpoint }, { steps: 12, checkpoint: 'step-12' });
  });

  test('continues when its configuration asks for more', async () => {
    const longer = { ...SCHEDULE, steps: 18 };
    const run = new Run();
    await run.session();
    await run.session(undefined, longer);
    const straight = new Run();
    await straight.session(undefined, longer);
    assert.deepEqual(run.saves.at(-1), straight.saves.at(-1));
    assert.equal(run.metrics, straight.metrics);
  });
});

test('a run that ends, however it ends, first awaits the batches in flight', async () => {
  for (const end of ['finished', 'failed'] as const) {
    const run = await RunFolder.open(join(root, `awaited-${end}`), {
      resume: false,
      kind: 'dvae',
      config: {},
    });
    let reading = 0;
    const batches = prefetch(Array(100).keys(), 3, async (value) => {
      reading++;
      await setTimeout(5);
      reading--;
      return { value, position: value };
    });
    const loop = trainLoop<Batch>({
      label: 'test',
      task: {
        update: async (step) => {
          if (end === 'failed' && step === 2) throw new Crash();
          return { loss: step };
        },
        evaluate: async () => ({}),
        sampleImage: async () => undefined,
      },
      save: async () => '',
      batches,
      schedule: { ...SCHEDULE, steps: 4 },
      resumed: undefined,
      run,
      progress: SILENT,
      log: createLogger('error'),
      signal: new AbortController().signal,
    });
    if (end === 'failed') await assert.rejects(loop, Crash);
    else assert.equal((await loop).steps, 4);
    assert.equal(reading, 0);
    run.close();
  }
});

test('a loss that is not finite ends the run, is named with its step, and is logged', async () => {
  const run = await RunFolder.open(join(root, 'diverging'), {
    resume: false,
    kind: 'dvae',
    config: {},
  });
  const saves: number[] = [];
  const loop = trainLoop<Batch>({
    label: 'test',
    task: {
      update: async (step) => ({ loss: step === 7 ? Number.NaN : step }),
      evaluate: async () => ({}),
      sampleImage: async () => undefined,
    },
    save: async (step) => {
      saves.push(step);
      return `step-${step}`;
    },
    batches: batchesFrom(0),
    schedule: SCHEDULE,
    resumed: undefined,
    run,
    progress: SILENT,
    log: createLogger('error'),
    signal: new AbortController().signal,
  });
  await assert.rejects(loop, (error: DataError) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.code, 'E_DIVERGED');
    assert.equal(error.where, run.path);
    assert.match(error.message, /\b8\b/);
    return true;
  });
  run.close();
  assert.deepEqual(saves, [6]);
  assert.match(readFileSync(join(run.path, 'metrics.jsonl'), 'utf8'), /\n\{"step":8,"loss":"NaN"\}\n$/);
});
