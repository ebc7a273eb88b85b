// mm's side of image-pipeline.ts: each step is a pass over the data set, in batches of training.
// image-pipeline-mm.ts SOURCE IMAGES BATCH CROP

import { ImageBatches } from '../../src/data/batches.ts';
import type { Crop } from '../../src/data/frame.ts';
import { Faults } from '../../src/data/sources/faults.ts';
import { readImages } from '../../src/data/sources/resolve.ts';
import { createLogger } from '../../src/util/logger.ts';
import { serve } from './in-turn.ts';

const [source = '', images = '', batch = '', crop = ''] = process.argv.slice(2);

await serve(async () => {
  const faults = new Faults(createLogger('error'));
  const list = await readImages(source, { captions: 'ignore', faults });
  return async (epoch) => {
    const batches = new ImageBatches(list, {
      ...{ size: 256, batch: Number(batch), seed: 0, crop: crop as Crop, cropScale: 0.4 },
      ...{ flip: crop === 'random', faults, position: { epoch, index: 0 } },
    })[Symbol.asyncIterator]();
    let seen = 0;
    while (seen < Number(images)) seen += (await batches.next()).value?.keys.length ?? 0;
    await batches.return();
    return seen;
  };
});
