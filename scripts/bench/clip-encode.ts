// Encodes 32 images with ViT-B/32: mm against open_clip on the same processor, in turn, from the same random weights.
// Python is that of the virtual environment MM_PEERS, ~/.cache/mm-peers by default, with torch and open_clip.
//
//   node --import tsx scripts/bench/clip-encode.ts [--rounds 8] [--steps 3] [--model ViT-B-32-quickgelu]

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { inTurn, ratio, spread, type Turn } from './in-turn.ts';
import { peersPython, runProgram, runScript } from './script.ts';

const BATCH = 32;
const WARMUP = 3;
const TOLERANCE = 1e-4;
const PEER = fileURLToPath(new URL('open_clip_peer.py', import.meta.url));

function describe(name: string, turns: readonly Turn[]): string {
  const { median, min, max } = spread(turns.slice(1).flatMap(({ milliseconds }) => milliseconds));
  const perSecond = ((BATCH / median) * 1000).toFixed(1);
  return `${name.padEnd(10)} ${perSecond} images/s, ${median.toFixed(0)} (${min.toFixed(0)} to ${max.toFixed(0)}) ms for ${BATCH}`;
}

await runScript(async () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '8' },
      steps: { type: 'string', default: '3' },
      model: { type: 'string', default: 'ViT-B-32-quickgelu' },
    },
  });
  const python = peersPython();
  const folder = await mkdtemp(join(tmpdir(), 'mm-clip-encode-'));
  try {
    await runProgram(python, [PEER, 'write', values.model, folder]);
    const { mm, open_clip: peer } = await inTurn(
      [
        { name: 'mm', module: new URL('clip-encode-mm.ts', import.meta.url), args: [folder] },
        {
          name: 'open_clip',
          module: new URL('clip-encode-open-clip.ts', import.meta.url),
          args: [python, PEER, values.model, folder],
        },
      ],
      {
        rounds: Number(values.rounds),
        steps: Number(values.steps),
        warmup: WARMUP,
        onTurn: (name, round, { milliseconds }) =>
          console.error(`round ${round} ${name}: ${milliseconds.map((ms) => ms.toFixed(0)).join(' ')} ms`),
      },
    );
    const apart = Math.abs((mm[0]?.values[0] as number) - (peer[0]?.values[0] as number));
    if (!(apart < TOLERANCE)) throw new Error(`the two sides do not encode alike: apart by ${apart}`);
    console.log(describe('mm', mm));
    console.log(describe('open_clip', peer));
    const { median, min, max } = ratio(peer, mm);
    console.log(
      `open_clip takes ${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)}) times as long as mm`,
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});
