// Trains and uses a tiny model of every kind, each with another set of options, and takes the figures of all of it.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Figures, ofCodes, ofImages, ofJsonLines, ofTensors } from './figures.ts';
import { mm } from './program.ts';

const config = (name: string): string => fileURLToPath(new URL(`${name}.yaml`, import.meta.url));

const DATA = ['--data', 'shapes/images'];
const CAPTIONED = [...DATA, '--tokenizer', 'tokenizer.json'];
const DVAE = ['--dvae', 'dvae'];

/** Runs by the name of their configuration, in an order in which each finds what it needs. */
const RUNS: readonly (readonly [name: string, command: string, flags: readonly string[]])[] = [
  ['dvae', 'train-dvae', DATA],
  ['dvae-dalle-pytorch', 'train-dvae', DATA],
  ['clip', 'train-clip', CAPTIONED],
  ['clip-resnet', 'train-clip', CAPTIONED],
  ['dalle-float16', 'train-dalle', [...CAPTIONED, ...DVAE]],
  ['dalle-float32', 'train-dalle', [...CAPTIONED, ...DVAE]],
  ['dalle-variants', 'train-dalle', [...CAPTIONED, ...DVAE]],
];

/** Eight images of the first, by both ways of sampling; four of each other model. */
const SAMPLES: readonly (readonly [name: string, run: string, flags: readonly string[]])[] = [
  ['plain', 'dalle-float16', []],
  ['guided', 'dalle-float16', ['--guidance', '1.5', '--top-k', '12', '--temperature', '0.9']],
  ['float32', 'dalle-float32', ['--top-p', '0.9']],
  ['variants', 'dalle-variants', []],
];

/** The last checkpoint of a run. */
function lastCheckpoint(run: string): string {
  const steps = readdirSync(join(run, 'checkpoints')).map((name) => Number(/^step-(\d+)$/.exec(name)?.[1]));
  return join(run, 'checkpoints', `step-${Math.max(...steps)}`);
}

/** Figures by what they are of. `say` is told what comes next. */
export async function record(say: (what: string) => void): Promise<Record<string, Figures>> {
  const root = mkdtempSync(join(tmpdir(), 'mm-loss-identity-'));
  const run = (...flags: string[]): Promise<string> => {
    say(flags.slice(0, flags[0] === 'data' ? 2 : 1).join(' '));
    return mm(root, flags);
  };
  const all: Record<string, Figures> = {};
  try {
    await run('data', 'make-shapes', '--out', 'shapes', '--count', '64', '--size', '16');
    const made = await run(
      ...['train-bpe', ...DATA, '--out', 'tokenizer.json'],
      ...['--vocabulary', '300', '--json'],
    );
    all['train-bpe'] = ofJsonLines(made);
    for (const [name, command, flags] of RUNS) {
      await run(command, '--config', config(name), ...flags, '--run', name);
      all[`${name}: metrics`] = ofJsonLines(readFileSync(join(root, name, 'metrics.jsonl'), 'utf8'));
      all[`${name}: tensors`] = ofTensors(lastCheckpoint(join(root, name)));
    }
    for (const dvae of ['dvae', 'dvae-dalle-pytorch']) {
      await run('tokenize', ...DATA, '--dvae', dvae, '--out', `${dvae}-tokens`);
      all[`${dvae}: codes`] = await ofCodes(join(root, `${dvae}-tokens`));
    }
    const reconstructed = await run('reconstruct', 'shapes/images', ...DVAE, '--json');
    all['dvae: reconstruct'] = ofJsonLines(reconstructed);
    for (const [name, dalle, flags] of SAMPLES) {
      const prompt = ['--prompt', 'a red circle', '--count', '4', '--seed', '5', '--no-grid'];
      await run('sample', '--dalle', dalle, ...prompt, ...flags, '--out', `samples/${name}`);
      all[`samples: ${name}`] = await ofImages(join(root, 'samples', name));
    }
    for (const clip of ['clip', 'clip-resnet']) {
      const prompt = ['--prompt', 'a red circle', '--prompt', 'a blue square'];
      const ranked = await run('rank', 'shapes/images', '--clip', clip, ...prompt, '--no-cache', '--json');
      all[`${clip}: rank`] = ofJsonLines(ranked);
    }
    return all;
  } finally {
    rmSync(root, { recursive: true });
  }
}
