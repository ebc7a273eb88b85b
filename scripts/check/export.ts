// Exports small models with random weights to every format, opens the files with the programs that they are for, and
// compares what those compute with what mm does. PYTHON has torch, transformers, open_clip, dalle_pytorch, dall_e,
// taming-transformers-rom1504, diffusers and tokenizers; PYTHON-TF has tensorflow.
//
//   node --import tsx scripts/check/export.ts PYTHON PYTHON-TF [NAME…]

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { exportModel } from '../../src/export/export.ts';
import { UsageError } from '../../src/util/errors.ts';
import { runScript } from '../bench/script.ts';
import { FIGURES } from './export-figures.ts';
import { MODELS, type Model, TEXTS, writeModel } from './export-models.ts';

const PEER = fileURLToPath(new URL('export_peer.py', import.meta.url));

await runScript(async () => {
  const [python, pythonTf, ...named] = process.argv.slice(2);
  if (python === undefined || pythonTf === undefined)
    throw new UsageError('give the Python of the peers, and that of TensorFlow', {
      code: 'E_ARGUMENT_MISSING',
    });
  const find =
    'import os, open_clip; print(os.path.join(os.path.dirname(open_clip.__file__), "bpe_simple_vocab_16e6.txt.gz"))';
  const merges = execFileSync(python, ['-c', find], { stdio: ['ignore', 'pipe', 'ignore'] })
    .toString()
    .trim();
  const folder = await mkdtemp(join(tmpdir(), 'mm-check-export-'));
  try {
    for (const name of named.length > 0 ? named : Object.keys(MODELS)) {
      const { kind, to } = MODELS[name] as Model;
      const path = join(folder, name.replaceAll(/\W+/g, '-'));
      const checkpoint = await writeModel(path, name, folder, merges);
      const runtime = new Runtime();
      const figures = await FIGURES[kind](runtime, checkpoint).finally(() => runtime.close());
      const expected = `${path}-expected.safetensors`;
      await writeSafetensors(expected, Object.entries(figures) as never, { texts: JSON.stringify(TEXTS) });
      for (const format of to) {
        const out = `${path}-${format}${format === 'tokenizer' ? '.json' : ''}`;
        const { notes } = await exportModel(path, {
          to: format,
          out,
          withoutCleaning: true,
          warn: console.warn,
        });
        const program = format === 'saved-model' ? pythonTf : python;
        try {
          const said = execFileSync(program, [PEER, format, kind, out, expected], {
            stdio: ['ignore', 'pipe', 'pipe'],
          });
          console.log(`${name} → ${format}: ${said.toString().trim().split('\n').at(-1)}`);
        } catch (error) {
          process.exitCode = 1;
          const { stderr, message } = error as Error & { stderr?: Buffer | null };
          console.log(
            `${name} → ${format}: FAILED\n${(stderr?.toString() ?? message).trim().split('\n').slice(-12).join('\n')}`,
          );
        }
        for (const note of notes) console.log(`  ${note}`);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
