// mm's side of dvae-benches.ts, as `mm train-dvae` and `mm tokenize` do it.
// dvae-mm.ts train|tokenize SIZES FOLDER
// A train step's value is its loss; a tokenize step, over all images of the folder, gives the share of the time in which
// the graph was at work.

import { chunks, decodeBatches } from '../../src/data/decode-batches.ts';
import { Faults } from '../../src/data/sources/faults.ts';
import { readImages } from '../../src/data/sources/resolve.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { dvaeArchitecture } from '../../src/models/dvae/architecture.ts';
import { DvaeTask } from '../../src/train/dvae/task.ts';
import { initialize } from '../../src/train/loop/state.ts';
import { createLogger } from '../../src/util/logger.ts';
import { SILENT } from '../../src/util/progress.ts';
import { RandomStream } from '../../src/util/random.ts';
import { type DvaeSizes, dvaeConfig } from './dvae-config.ts';
import { serve } from './in-turn.ts';

const [what, given = '{}', folder = ''] = process.argv.slice(2);
const sizes: DvaeSizes = JSON.parse(given);
const { size: imageSize, batch } = sizes;
const log = createLogger('silent');
const config = dvaeConfig(sizes, folder);

await serve(async () => {
  const runtime = new Runtime();
  const task = new DvaeTask(runtime, config, {
    path: 'none',
    images: [],
    validation: { batches: [], batch: 1 },
    faults: new Faults(log),
    log,
    progress: SILENT,
    signal: new AbortController().signal,
  });
  await initialize(runtime, task.state, 0);
  return what === 'train' ? trainStep(task) : tokenizeStep(runtime, task);
});

function trainStep(task: DvaeTask) {
  return async (step: number): Promise<number> => {
    const random = new RandomStream('bench', step);
    const pixels = Uint8Array.from({ length: batch * imageSize ** 2 * 3 }, () => random.integer(256));
    const keys = Array.from({ length: batch }, (_, i) => String(i));
    const position = { epoch: 0, index: 0 };
    return (await task.update(step, { pixels, keys, captions: [], position })).loss as number;
  };
}

async function tokenizeStep(runtime: Runtime, { state }: DvaeTask) {
  const architecture = dvaeArchitecture(config.model);
  const encode = runtime.compile('encode', ({ pixels }: { pixels: Tensor }) => ({
    codes: tf.argMax(architecture.encode(state.weights.read(), tf.div(pixels, 255) as Tensor4D), -1),
  }));
  const images = await readImages(folder, { captions: 'ignore' });
  return async (): Promise<number> => {
    const start = performance.now();
    let busy = 0;
    const faults = new Faults(log);
    const sizes = { size: imageSize, grid: architecture.grid };
    for await (const { pixels, images: read } of decodeBatches(chunks(images, batch), sizes, faults)) {
      const began = performance.now();
      await encode({
        pixels: { dtype: 'uint8', shape: [read.length, imageSize, imageSize, 3], data: pixels },
      });
      busy += performance.now() - began;
    }
    return busy / (performance.now() - start);
  };
}
