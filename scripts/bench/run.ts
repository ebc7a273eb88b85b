// `npm run bench`: every trainer and every drawing against the programs of the field, the sides of each in turn.
//
//   npm run bench -- [NAME…] [--quick] [--isa avx2|avx512] [--json FILE] [--list]
//       NAME chooses the benches whose names begin with it; --quick takes two rounds of one step each: a look, not a
//       figure; --isa holds oneDNN, XLA, MKL and PyTorch's own kernels to an instruction set
//
// Python with the peers is that of the virtual environment MM_PEERS, ~/.cache/mm-peers by default. On an idle machine.

import { parseArgs } from 'node:util';
import { UsageError } from '../../src/util/errors.ts';
import { peakFlops } from './ceilings.ts';
import { CLIP_BENCHES } from './clip-benches.ts';
import { DRAWING_BENCHES } from './drawing-benches.ts';
import { DVAE_BENCHES } from './dvae-benches.ts';
import { LIMITS, machine } from './machine.ts';
import { measureAll } from './measure.ts';
import { assertPeers, runScript } from './script.ts';
import { TRANSFORMER_BENCHES } from './transformer-benches.ts';

const BENCHES = [...DVAE_BENCHES, ...TRANSFORMER_BENCHES, ...CLIP_BENCHES, ...DRAWING_BENCHES];
const QUICK = { rounds: 2, steps: 1, warmup: 1 };

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      isa: { type: 'string' },
      json: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  });
  const chosen = BENCHES.filter(
    ({ name }) => positionals.length === 0 || positionals.some((start) => name.startsWith(start)),
  );
  const unknown = positionals.find((start) => !BENCHES.some(({ name }) => name.startsWith(start)));
  if (unknown !== undefined)
    throw new UsageError(`there is no bench ${unknown}`, {
      code: 'E_ARGUMENT',
      fix: `choose from ${BENCHES.map(({ name }) => name).join(', ')}`,
    });
  if (values.list) {
    for (const { name, about } of chosen) console.log(`${name.padEnd(22)} ${about}`);
    return;
  }
  assertPeers('torch, open_clip_torch, dalle-pytorch and dall_e');
  const limits = values.isa === undefined ? {} : LIMITS[values.isa];
  if (!limits)
    throw new UsageError(`--isa must be one of ${Object.keys(LIMITS).join(', ')}`, { code: 'E_ARGUMENT' });
  Object.assign(process.env, limits);
  const here = machine(values.isa);
  const { processor, cores, instructions = 'unknown instructions', heldTo } = here;
  console.log(`${processor}; ${cores} cores; ${instructions}${heldTo ? `, held to ${heldTo}` : ''}\n`);
  const needsPeak = chosen.some(({ flops }) => flops);
  const peak = needsPeak ? await peakFlops() : undefined;
  if (peak) console.log(`peak of products: ${(peak / 1e9).toFixed(0)} GFLOP/s\n`);
  for (const { name, lacks } of chosen) if (lacks?.()) console.log(`${name} is left out: ${lacks()}\n`);
  const able = chosen.filter(({ lacks }) => !lacks?.());
  const benches = values.quick ? able.map((bench) => ({ ...bench, ...QUICK })) : able;
  await measureAll(benches, { file: values.json, machine: here, quick: values.quick, peakFlops: peak });
}

await runScript(main);
