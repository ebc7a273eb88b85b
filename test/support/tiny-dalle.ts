// What mm train-dalle needs, tiny, in a folder that is gone after the tests of a file.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { dumpConfig } from '../../src/config/load.ts';
import type { signalWhen } from './interruption.ts';
import { mm } from './mm.ts';
import { dalleConfig, dalleDataIn, writeDalleData } from './tiny-runs.ts';

/** Where images, dVAE, tokenizer and configuration will be before the first test, and the command that trains with them. */
export function tinyDalle(name: string, steps: number) {
  const root = mkdtempSync(join(tmpdir(), `mm-${name}-`));
  const data = dalleDataIn(root);
  const config = join(root, 'config.yaml');
  before(async () => {
    await writeDalleData(root, 14);
    const rhythm = { steps, evaluateEvery: 10, saveEvery: 5 };
    writeFileSync(config, dumpConfig(dalleConfig(data, 3, rhythm)));
  });
  after(() => rmSync(root, { recursive: true }));
  const train = (
    run: string,
    flags: readonly string[] = [],
    watch?: ReturnType<typeof signalWhen>,
    env?: Readonly<Record<string, string>>,
  ) => mm(['train-dalle', '--config', config, '--run', run, ...flags], watch, env);
  return { root, ...data, config, train };
}
