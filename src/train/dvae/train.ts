// A whole dVAE training run: its images, its warm start.

import { type DvaeConfig, dvaeSchema } from '../../config/dvae.ts';
import { ImageBatches } from '../../data/batches.ts';
import { decodeAll } from '../../data/decode-batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import type { BatchPosition } from '../../data/order.ts';
import { Faults } from '../../data/sources/faults.ts';
import { readImages } from '../../data/sources/resolve.ts';

import { splitExamples } from '../../data/split.ts';
import type { Validation } from '../../eval/dvae-validation.ts';
import { codeGrid } from '../../models/dvae/config.ts';
import type { DvaeSpec } from '../../models/dvae/model.ts';
import { DataError } from '../../util/errors.ts';
import type { LoopResult } from '../loop/loop.ts';
import type { ModelState } from '../loop/resume.ts';
import type { RunContext } from '../loop/run-context.ts';
import { checkRun, runTraining } from '../run.ts';
import { DvaeTask } from './task.ts';
import { warmStart } from './warm-start.ts';

/** Most held-out images looked at in one validation, and at a time. */
const VALIDATION_IMAGES = 256;
const VALIDATION_BATCH = 32;

/**
 * Trains a dVAE into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining` and the data do
 */
export async function trainDvae(config: DvaeConfig, context: RunContext): Promise<LoopResult> {
  const { path, log } = context;
  const { model, train } = config;
  await checkRun(dvaeSchema, config, context);
  const images = await readImages(config.data.path, { captions: 'ignore' });
  const { training, heldOut } = splitExamples(images, config.data.validation);
  if (training.length === 0) {
    throw new DataError('no image is left to train on', {
      where: config.data.path,
      fix: 'add images, or lower data.validation',
    });
  }
  const faults = new Faults(log);
  const validation = await decodeValidation(heldOut, config, faults);
  const batches = (seed: number, position?: BatchPosition) =>
    trainingBatches(training, config, faults, seed, position);
  return runTraining(
    {
      kind: 'dvae',
      config,
      faults,
      async build(runtime) {
        const task = new DvaeTask(runtime, config, validation, path, log);
        return {
          task,
          batches: (position) => batches(config.seed, position)[Symbol.asyncIterator](),
          async onStart() {
            if (!train.warmStart || model.architecture !== 'openai') return;
            const state = task.state as ModelState<DvaeSpec>;
            await warmStart(runtime, { ...config, model }, state, batches(config.seed + 1), context);
          },
        };
      },
    },
    context,
  );
}

function trainingBatches(
  images: readonly CaptionedImage[],
  { model, data, train }: DvaeConfig,
  faults: Faults,
  seed: number,
  position: BatchPosition | undefined,
): ImageBatches {
  return new ImageBatches(images, {
    size: model.imageSize,
    grid: codeGrid(model),
    batch: train.batch,
    seed,
    crop: data.crop,
    cropScale: data.cropScale,
    flip: data.flip,
    position,
    faults,
  });
}

/** The first held-out images that decode, in whole batches, each once: repeated ones would make a codebook seem poor. */
async function decodeValidation(
  heldOut: readonly CaptionedImage[],
  { model, data, train }: DvaeConfig,
  faults: Faults,
): Promise<Validation> {
  const crop = data.crop === 'none' ? 'none' : 'center';
  const size = { size: model.imageSize, grid: codeGrid(model), crop } as const;
  const { images, pixels } = await decodeAll(heldOut, size, faults, 'held-out', VALIDATION_IMAGES);
  const batch = Math.min(train.batch, VALIDATION_BATCH, images.length);
  const bytes = batch * model.imageSize ** 2 * 3;
  const count = Math.floor(images.length / batch);
  return {
    batches: Array.from({ length: count }, (_, b) => pixels.subarray(b * bytes, (b + 1) * bytes)),
    batch,
  };
}
