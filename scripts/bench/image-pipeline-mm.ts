// mm's side of image-pipeline.ts: each step is a pass over the data set, in batches of training.
// image-pipeline-mm.ts SOURCE IMAGES BATCH CROP

import { ImageBatches } from '../../src/data/batches.ts';
import type { Crop } from '../../src/data/frame.ts';
import { type ImageSet, type ImageTurn, imageList } from '../../src/data/image-set.ts';
import { Faults } from '../../src/data/sources/faults.ts';
import { readImages } from '../../src/data/sources/resolve.ts';
import { createLogger } from '../../src/util/logger.ts';
import { serve } from './in-turn.ts';

const [source = '', images = '', batch = '', crop = ''] = process.argv.slice(2);

await serve(async () => {
  const faults = new Faults(createLogger('error'));
  const set = imageList(await readImages(source, { captions: 'ignore', faults }));
  /** One pass: batches that are decoded ahead would otherwise be those of the next one, which no pass uses. */
  const pass: ImageSet = {
    ...set,
    *turns(seed, position) {
      let left = Number(images);
      for (const turn of set.turns(seed, position) as Iterable<ImageTurn>) {
        yield turn;
        if (--left === 0) return;
      }
    },
  };
  return async (epoch) => {
    const batches = new ImageBatches(pass, {
      ...{ size: 256, batch: Number(batch), seed: 0, crop: crop as Crop, cropScale: 0.4 },
      ...{ flip: crop === 'random', faults, position: { epoch, index: 0 } },
    });
    let seen = 0;
    for await (const { keys } of batches) seen += keys.length;
    return seen;
  };
});
