// Files of format 1, as commit 83d4198 wrote them, are opened and used by this version: runs are resumed, images sampled
// again, shards, classifiers and cached features read. scripts/fixtures/format-1.ts made them.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { cacheFolder } from '../../src/engine/library/locate.ts';
import type { Outcome } from '../support/mm.ts';
import { mmEach } from '../support/mm-each.ts';
import {
  type Expected,
  type Figures,
  jsonLines,
  PROMPTS,
  RUN_NAMES,
  SAMPLED,
  STEPS,
  USES,
  WITH_FIGURES,
} from './format-1-commands.ts';

const FIXTURE = fileURLToPath(new URL('fixtures/format-1', import.meta.url));
const EXPECTED = JSON.parse(readFileSync(join(FIXTURE, 'expected.json'), 'utf8')) as Expected;
/** Names of metrics and of values in JSON lines, by their names in format 1. */
const RENAMED: Readonly<Record<string, string>> = {
  leastGradientScale: 'minBlockLossScale',
  pictures: 'images',
};
/** Flags that are spelled otherwise now: configurations are renamed in files of format 1, not on the command line. */
const RENAMED_FLAGS: Readonly<Record<string, string>> = {
  'train.accumulate=1': 'train.accumulateSteps=1',
  'train.recompute=false': 'train.recompute=light',
};

/** Relative differences between processors: in float32, and in the 16-bit types that some runs train in. */
const TOLERANCE = 1e-3;
const TOLERANCES: Readonly<Record<string, number>> = {
  clip: TOLERANCE,
  dvae: 0.02,
  'dvae-dalle-pytorch': 0.02,
  dalle: 0.02,
  'dalle-variants': 0.02,
  'from-tokens': TOLERANCE,
};

/** Images whose features change places in the cache, to see that they are read. */
const EXCHANGED = ['pictures/000003.png', 'pictures/000010.png'] as const;

const folder = mkdtempSync(join(tmpdir(), 'mm-format-1-'));
const features = join(folder, 'cache', 'features');
const outcomes = new Map<string, Outcome>();
after(() => rmSync(folder, { recursive: true }));
before(async () => {
  cpSync(FIXTURE, folder, { recursive: true });
  // libtensorflow is in the same cache folder.
  const own = cacheFolder();
  for (const name of readdirSync(own).filter((name) => name !== 'features'))
    symlinkSync(join(own, name), join(folder, 'cache', name));
  exchangeFeatures();
  const env = { MM_CACHE: join(folder, 'cache') };
  const commands = Object.values(USES).map((flags) => flags.map((flag) => RENAMED_FLAGS[flag] ?? flag));
  const all = await mmEach(commands, { folder, env });
  for (const [i, name] of Object.keys(USES).entries()) outcomes.set(name, all[i] as Outcome);
});

/** Records of the cache are an image's SHA-256 and its eight features. */
function exchangeFeatures(): void {
  const path = join(features, readdirSync(features)[0] as string);
  const bytes = readFileSync(path);
  const [hashBytes, size] = [32, 32 + 4 * 8];
  const place = (image: string): number => {
    const hash = createHash('sha256')
      .update(readFileSync(join(folder, image)))
      .digest();
    const places = Array.from({ length: bytes.length / size }, (_, i) => i * size);
    const found = places.find((at) => bytes.subarray(at, at + hashBytes).equals(hash));
    assert.notEqual(found, undefined);
    return (found as number) + hashBytes;
  };
  const [a, b] = [place(EXCHANGED[0]), place(EXCHANGED[1])];
  const first = Buffer.from(bytes.subarray(a, a + size - hashBytes));
  bytes.copy(bytes, a, b, b + size - hashBytes);
  first.copy(bytes, b);
  writeFileSync(path, bytes);
}

const outcome = (name: string): Outcome => outcomes.get(name) as Outcome;

/** Compares every value of `before`, at any depth, with its value now. */
function assertClose(now: unknown, before: unknown, tolerance: number, where: string): void {
  if (typeof before === 'number') {
    assert.equal(typeof now, 'number', where);
    const bound = tolerance * Math.abs(before) + 1e-4;
    assert.ok(Math.abs((now as number) - before) <= bound, `${where}: ${now} instead of ${before}`);
  } else if (typeof before === 'object' && before !== null) {
    for (const [key, value] of Object.entries(before)) {
      const name = RENAMED[key] ?? key;
      assertClose((now as Record<string, unknown>)?.[name], value, tolerance, `${where}.${name}`);
    }
  } else assert.equal(now, before, where);
}

describe('every use of the files', () => {
  for (const name of Object.keys(USES)) {
    test(`${name} succeeds without a warning`, () => {
      const { code, stderr } = outcome(name);
      assert.equal(code, 0, stderr);
      // Another processor may give other last bits; the pixels are compared below.
      const warnings = stderr.split('\n').filter((line) => /^(warning|error): /.test(line));
      assert.deepEqual(
        warnings.filter((line) => name !== 'like' || !/ differs from /.test(line)),
        [],
      );
    });
  }
});

describe('results equal those of the version that wrote the files', () => {
  for (const name of WITH_FIGURES) {
    test(name, () => {
      // In the order of the files: similar images may change ranks.
      const sorted = (lines: readonly Figures[]) =>
        lines
          .map(({ rank: _rank, ...line }) => line)
          .sort((a, b) => (`${a.prompt} ${a.file}` < `${b.prompt} ${b.file}` ? -1 : 1));
      const now = sorted(jsonLines(outcome(name).stdout));
      const before = sorted(EXPECTED.figures[name] as Figures[]);
      assert.equal(now.length, before.length);
      assertClose(now, before, TOLERANCE, name);
    });
  }

  test('cached features are read: those of two images that changed places', () => {
    const similarities = (name: string) =>
      new Map(
        jsonLines(outcome(name).stdout).map(({ prompt, file, similarity }) => [
          `${prompt} ${file}`,
          similarity,
        ]),
      );
    const [computed, cached] = [similarities('rank'), similarities('rank, cached')];
    assert.equal(cached.size, computed.size);
    for (const prompt of PROMPTS) {
      const [a, b] = EXCHANGED.map((file) => `${prompt} ${file}`) as [string, string];
      const apart = Math.abs((computed.get(a) as number) - (computed.get(b) as number));
      assert.ok(apart > 3e-3, `they can be told apart, and are ${apart}`);
      assertClose(cached.get(a), computed.get(b), TOLERANCE, a);
      assertClose(cached.get(b), computed.get(a), TOLERANCE, b);
    }
    assert.equal(readdirSync(features).length, 1);
  });
});

describe('a resumed run', () => {
  const added = (run: string, after: number): Figures[] =>
    jsonLines(readFileSync(join(folder, run, 'metrics.jsonl'), 'utf8')).filter(
      ({ step }) => (step as number) > after,
    );

  for (const run of [...RUN_NAMES, 'from-tokens']) {
    test(`continues with the metrics of before: ${run}`, () => {
      const isResumed = run !== 'from-tokens';
      const before = EXPECTED.metrics[run] as Figures[];
      const now = added(run, isResumed ? STEPS.saved : -1);
      assert.equal(now.length, before.length);
      assertClose(now, before, TOLERANCES[run] as number, run);
      if (isResumed) assert.match(outcome(`resume ${run}`).stderr, /resuming from step 4$/m);
      assert.ok(existsSync(join(folder, run, 'checkpoints', `step-${isResumed ? STEPS.resumed : 2}`)));
    });
  }

  test('keeps its earlier metrics', () => {
    for (const run of RUN_NAMES) {
      const before = Object.entries(RENAMED).reduce(
        (text, [old, now]) => text.replaceAll(`"${old}"`, `"${now}"`),
        readFileSync(join(FIXTURE, run, 'metrics.jsonl'), 'utf8'),
      );
      assert.ok(readFileSync(join(folder, run, 'metrics.jsonl'), 'utf8').startsWith(before), run);
    }
  });

  test('is of format 2 from then on', () => {
    for (const run of RUN_NAMES) {
      const kind = /^[a-z]+/.exec(run)?.[0];
      const checkpoint = join(run, 'checkpoints', `step-${STEPS.resumed}`);
      for (const place of [run, checkpoint]) {
        const config = readFileSync(join(folder, place, 'config.yaml'), 'utf8');
        assert.ok(config.startsWith(`kind: ${kind}\nversion: 2\nseed: `), place);
        assert.doesNotMatch(
          config,
          /^ *((averaging|accumulate|gradientScale|chunk|convolution|hidden):|recompute: (true|false))/m,
          place,
        );
      }
      const state = (place: string) => JSON.parse(readFileSync(join(folder, place, 'state.json'), 'utf8'));
      assert.equal(state(checkpoint).version, 2);
      if (kind !== 'dalle') continue;
      const dvae = join(checkpoint, 'dvae');
      assert.equal(state(dvae).version, 2);
      assert.match(readFileSync(join(folder, dvae, 'config.yaml'), 'utf8'), /^kind: dvae\nversion: 2\n/);
    }
  });

  test('has a report', () => {
    for (const run of RUN_NAMES) {
      const [line] = jsonLines(outcome(`report ${run}`).stdout) as [Figures];
      assertClose(
        line,
        { kind: /^[a-z]+/.exec(run)?.[0], steps: STEPS.resumed, logged: STEPS.resumed },
        0,
        run,
      );
      assert.match(readFileSync(join(folder, run, 'report.html'), 'utf8'), /<svg/);
    }
  });
});

describe('images', () => {
  const texts = async (path: string) =>
    Object.fromEntries(((await sharp(path).metadata()).comments ?? []).map((c) => [c.keyword, c.text]));
  const pixels = (path: string) => sharp(path).removeAlpha().raw().toBuffer();

  for (const [name, path, sampled] of [
    ['are sampled again', SAMPLED, `again/${SAMPLED}`],
    [
      'are sampled again, the second too',
      SAMPLED.replace('0000', '0001'),
      `again/${SAMPLED.replace('0000', '0001')}`,
    ],
    ['are repeated by --like, which finds the model', SAMPLED, `alike/${SAMPLED}`],
  ] as const) {
    test(name, async () => {
      const [before, now] = [join(FIXTURE, 'samples', path), join(folder, sampled)];
      const { Software: _by, ...wanted } = await texts(before);
      const { Software: _now, ...made } = await texts(now);
      assert.deepEqual(Object.keys(wanted).sort(), [
        'checkpoint',
        'dvae',
        'model',
        'negative',
        'prompt',
        'seed',
        'settings',
      ]);
      assert.deepEqual(made, wanted);
      const [a, b] = [await pixels(before), await pixels(now)];
      assert.equal(a.length, b.length);
      const distance = a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] as number)), 0) / a.length;
      assert.ok(distance < 2, `${distance} levels of 255 apart in the mean`);
    });
  }
});
