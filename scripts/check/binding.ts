// How well a joint Transformer trained on the shapes binds words to objects: for images of two objects in a relation,
// does the right caption give the image a higher probability than the same caption with its objects, their colours or
// their shapes exchanged? Nothing is sampled, so that short runs can be compared. The scenes are of the kinds that
// training shows, drawn by another random stream; none is held out.
//
//   node --import tsx scripts/check/binding.ts runs/dalle [COUNT]
//
// `right` is the share of the images whose right caption is the most likely of the four (chance 0.25), `nats` the cross
// entropy of the choice (chance 1.386), `ahead` the nats by which the image is more likely with the right caption than
// with the objects, the colours or the shapes exchanged (chance 0).
//   B captions, T text positions, I image tokens, V vocabulary

import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { dalleCheckpointSchema } from '../../src/config/dalle.ts';
import { wordings } from '../../src/data/shapes/caption.ts';
import { randomScene } from '../../src/data/shapes/random-scene.ts';
import { renderScenes } from '../../src/data/shapes/render.ts';
import type { Scene, SceneObject } from '../../src/data/shapes/scene.ts';
import { RELATIONS, type Relation } from '../../src/data/shapes/vocabulary.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { DvaeCodec } from '../../src/inference/dvae/codec.ts';
import { padCaption } from '../../src/models/dalle/config.ts';
import { dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { sparseCrossEntropy } from '../../src/nn/functional/cross-entropy.ts';
import { Weights } from '../../src/nn/weights.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { RandomStream } from '../../src/util/random.ts';

/** Objects whose colours differ, and whose shapes differ, in a relation; each relation as often. */
function relationScene(random: RandomStream): Scene {
  for (;;) {
    const scene = randomScene(random);
    const [a, b] = scene.objects as [SceneObject, SceneObject];
    if (scene.relation && a.colour !== b.colour && a.shape !== b.shape)
      return { ...scene, relation: random.choice(RELATIONS) };
  }
}

/** The right caption first, then one with the objects, their colours and their shapes exchanged. */
function captions(scene: Scene, random: RandomStream): string[] {
  const [a, b] = scene.objects as [SceneObject, SceneObject];
  const exchanged: [SceneObject, SceneObject][] = [
    [a, b],
    [b, a],
    [
      { ...a, colour: b.colour },
      { ...b, colour: a.colour },
    ],
    [
      { ...a, shape: b.shape },
      { ...b, shape: a.shape },
    ],
  ];
  const wording = random.integer(wordings(scene).length);
  return exchanged.map((objects) => wordings({ ...scene, objects })[wording] as string);
}

async function main(path: string, count: number): Promise<void> {
  const runtime = new Runtime();
  try {
    const checkpoint = await readCheckpoint(path, { kind: 'dalle', warn: console.error });
    const { model } = checkpoint.config(dalleCheckpointSchema);
    const codec = await DvaeCodec.open(runtime, await checkpoint.dvae());
    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const weights = new Weights(runtime, 'dalle', dalleSpec(model));
    await weights.loadEach(checkpoint.tensors(checkpoint.bestPart, { expected: weights.expected() }));
    const losses = runtime.compile('losses', ({ text, image }: Record<'text' | 'image', Tensor>) => {
      const { image_BIV } = logits(weights.read(), text as Tensor2D, image as Tensor2D, model);
      const [B, I, V] = image_BIV.shape;
      const each = sparseCrossEntropy(
        tf.reshape(image_BIV, [B * I, V]) as Tensor2D,
        tf.reshape(image, [B * I]),
      );
      return { losses: tf.sum(tf.reshape(each, [B, I]), 1) };
    });

    const scenes = Array.from({ length: count }, (_, i) => relationScene(new RandomStream('binding', i)));
    const drawings = scenes.map((scene, i) => ({ scene, key: ['binding', i] }));
    const pixels = await renderScenes(drawings, codec.config.imageSize);
    const codes = await codec.encode(Buffer.concat(pixels));
    const length = codec.grid ** 2;
    let [right, nats, imageLoss] = [0, 0, 0];
    const ahead = { objects: 0, colours: 0, shapes: 0 };
    const byRelation = new Map(RELATIONS.map((relation) => [relation, { count: 0, ahead: 0 }]));
    for (const [i, scene] of scenes.entries()) {
      const four = captions(scene, new RandomStream('binding caption', i));
      const text = Int32Array.from(
        four.flatMap((caption) => [...padCaption(tokenizer.encode(caption), model)]),
      );
      const ids = [...codes.subarray(i * length, (i + 1) * length)];
      const image = Int32Array.from(four.flatMap(() => ids));
      const results = await losses({
        text: { dtype: 'int32', shape: [four.length, model.textLength], data: text },
        image: { dtype: 'int32', shape: [four.length, length], data: image },
      });
      const [best, ...others] = Array.from(results.losses.data as Float32Array) as [number, ...number[]];
      nats += Math.log(1 + others.reduce((sum, other) => sum + Math.exp(best - other), 0));
      imageLoss += best / length;
      if (others.every((other) => best < other)) right++;
      const own = byRelation.get(scene.relation as Relation)!;
      own.count++;
      own.ahead += (others[0] as number) - best;
      for (const [k, kind] of (['objects', 'colours', 'shapes'] as const).entries())
        ahead[kind] += (others[k] as number) - best;
    }
    const share = (value: number): number => Number((value / count).toFixed(4));
    console.log(
      JSON.stringify({
        images: count,
        right: share(right),
        nats: share(nats),
        imageLoss: share(imageLoss),
        byRelation: Object.fromEntries(
          [...byRelation].map(([name, own]) => [name, Number((own.ahead / own.count).toFixed(2))]),
        ),
        ahead: { objects: share(ahead.objects), colours: share(ahead.colours), shapes: share(ahead.shapes) },
      }),
    );
  } finally {
    await runtime.close();
  }
}

const [path, count = '256'] = process.argv.slice(2);
if (!path) throw new Error('usage: binding.ts DALLE [COUNT]');
await main(path, Number(count));
