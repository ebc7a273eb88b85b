// How many images of a joint Transformer that was trained on the shapes are right, for the demo's held-out prompts and
// without its CLIP: for comparing recipes on the same tokens.
//
//   node --import tsx scripts/check/held-out.ts runs/dalle [CANDIDATES [TEMPERATURE [GUIDANCE [SEED [PROMPTS]]]]]
//
// Prints right images by kind, and what is wrong in the others: colours, shapes, how many objects there are and where.

import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { heldOutPrompts } from '../../src/data/shapes/heldout.ts';
import { measureScene } from '../../src/data/shapes/measure/measure.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { openPipeline } from '../../src/inference/open-pipeline.ts';

const [path, ...numbers] = process.argv.slice(2);
if (!path) throw new Error('usage: held-out.ts DALLE [CANDIDATES [TEMPERATURE [GUIDANCE [SEED [PROMPTS]]]]]');
const [candidates = 2, temperature = 0.4, guidance = 1.5, seed = 0, prompts = 64] = numbers.map(Number);
const runtime = new Runtime();
try {
  const checkpoint = await readCheckpoint(path, { kind: 'dalle', warn: console.error });
  const pipeline = await openPipeline(runtime, checkpoint);
  const result: Record<string, unknown> = { candidates, temperature, guidance, seed };
  for (const [k, kind] of (['scenes', 'pairs'] as const).entries()) {
    const heldOut = heldOutPrompts(kind, prompts, seed);
    const requests = heldOut.flatMap(({ prompt }, i) =>
      Array.from({ length: candidates }, (_, j) => ({
        prompt,
        captionTokens: pipeline.encode(prompt).tokens,
        seed: seed + (k * prompts + i) * candidates + j,
      })),
    );
    const wrong = { colour: 0, shape: 0, place: 0, binding: 0 };
    const relations: Record<string, string> = {};
    const byRelation = new Map<string, [right: number, all: number]>();
    let [right, i] = [0, 0];
    const generated = pipeline.generate(requests, { temperature, guidance }, { batch: 64 });
    for await (const { pixels, size } of generated) {
      const { scene } = heldOut[Math.floor(i++ / candidates)] as (typeof heldOut)[number];
      const { colour, shape, place, isCorrect } = measureScene(pixels, size, scene);
      const own = byRelation.get(scene.relation ?? 'alone') ?? [0, 0];
      byRelation.set(scene.relation ?? 'alone', [own[0] + Number(isCorrect), own[1] + 1]);
      right += Number(isCorrect);
      if (!isCorrect) wrong[!colour ? 'colour' : !shape ? 'shape' : !place ? 'place' : 'binding']++;
    }
    for (const [name, [good, all]] of byRelation) relations[name] = `${good}/${all}`;
    result[kind] = { right, of: requests.length, wrong, relations };
  }
  console.log(JSON.stringify(result));
} finally {
  await runtime.close();
}
