// What a CLIP trained on the shapes can tell of them:
//
//   node --import tsx scripts/check/clip-shapes.ts runs/clip [COUNT]

import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { measureOnShapes } from './shapes-figures.ts';

const [path, count = '256'] = process.argv.slice(2);
if (!path) throw new Error('usage: clip-shapes.ts CLIP [COUNT]');
const runtime = new Runtime();
try {
  const clip = await ClipPipeline.open(
    runtime,
    await readCheckpoint(path, { kind: 'clip', warn: console.error }),
  );
  console.log(JSON.stringify(await measureOnShapes(clip, Number(count), 1), null, 2));
} finally {
  await runtime.close();
}
