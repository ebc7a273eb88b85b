// Every configuration of open_clip, and transformers' CLIPModel: converted and compared with the library at reduced depth
// and vocabulary, with random weights; or refused by name. Prints a table and the counts.
// PYTHON has torch, open_clip and transformers.
//
//   node --import tsx scripts/check/open-clip-configs.ts PYTHON [NAME …]

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { UsageError, UserError } from '../../src/util/errors.ts';
import { runScript } from '../bench/script.ts';
import { compareConverted, TOLERANCE } from './open-clip-compare.ts';

const PEER = fileURLToPath(new URL('./open-clip-configs.py', import.meta.url));
const TRANSFORMERS = 'transformers CLIPModel';

interface Listed {
  readonly name: string;
  readonly family: string;
  readonly config: { readonly text_cfg?: { readonly hf_tokenizer_name?: string } };
}
const python = (program: string, ...args: string[]) =>
  promisify(execFile)(program, [PEER, ...args], { maxBuffer: 2 ** 26 });

/** The refusal of a folder with this configuration, whose weights are not looked at. */
async function refusal(folder: string, config: object): Promise<string | undefined> {
  await writeFile(join(folder, 'open_clip_config.json'), JSON.stringify({ model_cfg: config }));
  const weights = { dtype: 'float32', shape: [1], data: new Float32Array(1) } as const;
  await writeSafetensors(join(folder, 'open_clip_model.safetensors'), [['weight', weights]]);
  try {
    await convertWeights([folder], join(folder, 'converted'), {});
    return undefined;
  } catch (error) {
    if (error instanceof UserError && error.code === 'E_CLIP_UNSUPPORTED') return error.message;
    throw error;
  }
}

await runScript(async () => {
  const [program, ...named] = process.argv.slice(2);
  if (program === undefined)
    throw new UsageError('give the Python that has torch and open_clip', { code: 'E_ARGUMENT_MISSING' });
  const all: Listed[] = JSON.parse((await python(program, 'list')).stdout);
  const listed = [...all, { name: TRANSFORMERS, family: 'native', config: {} }];
  const chosen = named.length > 0 ? listed.filter(({ name }) => named.includes(name)) : listed;
  const counts = { compared: 0, refused: 0, failed: 0 };
  for (const { name, family, config } of chosen) {
    const folder = await mkdtemp(join(tmpdir(), 'mm-open-clip-'));
    try {
      await mkdir(folder, { recursive: true });
      const refused =
        name === TRANSFORMERS ? undefined : family === 'native' ? undefined : await refusal(folder, config);
      if (refused !== undefined) {
        counts.refused++;
        console.log(`${name}: refused: ${refused}`);
        continue;
      }
      if (family !== 'native') throw new Error(`${name}, ${family}, was not refused`);
      if (name === TRANSFORMERS) await python(program, 'transformers', folder);
      else await python(program, 'write', name, folder);
      const to = join(folder, 'converted');
      await convertWeights([folder], to, {});
      const { line, holds } = await compareConverted(to, join(folder, 'expected.json'));
      counts[holds ? 'compared' : 'failed']++;
      console.log(`${name}: ${holds ? '' : 'FAILS: '}${line}`);
    } catch (error) {
      const isRefused = error instanceof UserError && error.code === 'E_CLIP_UNSUPPORTED';
      counts[isRefused ? 'refused' : 'failed']++;
      console.log(`${name}: ${isRefused ? 'refused' : 'FAILS'}: ${(error as Error).message.split('\n')[0]}`);
    } finally {
      await rm(folder, { recursive: true });
    }
  }
  console.log(
    `${chosen.length} configurations: ${counts.compared} converted and equal within ${TOLERANCE}, ${counts.refused} refused by name, ${counts.failed} failed`,
  );
  if (counts.failed > 0) process.exitCode = 1;
});
