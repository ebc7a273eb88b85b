// What mm train-dalle needs, tiny, in a folder that is gone after the tests of a file.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { dumpConfig } from '../../src/config/load.ts';
import type { signalWhen } from './interruption.ts';
import { mm } from './mm.ts';
import { mmTogether } from './mm-each.ts';
import { dalleConfig, dalleDataIn, writeDalleData } from './tiny-runs.ts';

/**
 * A configuration, where its images, dVAE and tokenizer will be before the first test, and the command that trains so:
 * `train` beside the other commands of the file (`mmTogether`), `trainAlone` in a separate process.
 * @param prepare called once they are there: hooks of a file begin side by side
 */
export function tinyDalle(name: string, steps: number, prepare?: () => Promise<void>) {
  const root = mkdtempSync(join(tmpdir(), `mm-${name}-`));
  const data = dalleDataIn(root);
  const config = join(root, 'config.yaml');
  const rhythm = { steps, evaluateEvery: 10, saveEvery: 5 };
  writeFileSync(config, dumpConfig(dalleConfig(data, 3, rhythm)));
  before(async () => {
    await writeDalleData(root, 14);
    await prepare?.();
  });
  after(() => rmSync(root, { recursive: true }));
  const together = mmTogether();
  const command = (run: string, flags: readonly string[]): string[] => [
    ...['train-dalle', '--config', config, '--run', run],
    ...flags,
  ];
  const train = (run: string, flags: readonly string[] = []) => together(command(run, flags));
  const trainAlone = (
    run: string,
    flags: readonly string[] = [],
    watch?: ReturnType<typeof signalWhen>,
    env?: Readonly<Record<string, string>>,
  ) => mm(command(run, flags), watch, env);
  return { root, ...data, config, train, trainAlone };
}
