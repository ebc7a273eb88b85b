// Opens a training run of a dVAE: reads its images, decodes those for validation.

import type { DvaeConfig } from '../../config/dvae.ts';
import { decodeAll } from '../../data/decode-batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { openTrainingImages } from '../../data/training-images.ts';
import { countOf } from '../../engine/session/devices.ts';
import type { HeldOutImages } from '../../eval/dvae-validation.ts';
import { codeGrid } from '../../models/dvae/config.ts';
import { DataError } from '../../util/errors.ts';
import { assertSameData, imagesOf } from '../distributed/agreement.ts';
import { assertDivisible } from '../distributed/replicas.ts';
import type { OpenContext } from '../loop/run-context.ts';
import { DvaeTask } from './task.ts';

/** Held-out images in one validation, and in one of its batches. */
const MAX_VALIDATION_IMAGES = 256;
const MAX_VALIDATION_BATCH = 32;

/** @throws UsageError, DataError, EngineError when the data or the engine cannot be used */
export async function openDvae(config: DvaeConfig, context: OpenContext): Promise<DvaeTask> {
  const { faults, cluster } = context;
  const { data, train } = config;
  const { batch, accumulateSteps } = train;
  const parts = { workers: cluster?.workers ?? 1, accumulateSteps };
  assertDivisible(batch, { ...parts, devices: countOf(context.devices) ?? 1 });
  const images = await openTrainingImages(data, {
    ...context,
    captions: 'ignore',
    batch: train.batch,
    maxHeldOut: MAX_VALIDATION_IMAGES,
  });
  const { training, heldOut } = images;
  if (training.count === 0) {
    throw new DataError('no image is left to train on', {
      code: 'E_NO_TRAINING_IMAGES',
      where: data.path,
      fix: 'add images, or lower data.validation',
    });
  }
  if (cluster) await assertSameData(cluster, [imagesOf(images)], data.path);
  const validation =
    (cluster?.isPrimary ?? true)
      ? await decodeValidation(heldOut, config, faults)
      : { batches: [], batch: 1 };
  const runtime = await context.engine.start();
  assertDivisible(batch, { ...parts, devices: runtime.replicas.names.length });
  return new DvaeTask(runtime, config, { ...context, images: training, validation });
}

/** The first held-out images that decode, in whole batches, each once: repeated ones would lower the codebook's use. */
async function decodeValidation(
  heldOut: readonly CaptionedImage[],
  { model, data, train }: DvaeConfig,
  faults: Faults,
): Promise<HeldOutImages> {
  const crop = data.crop === 'none' ? 'none' : 'center';
  const size = { size: model.imageSize, grid: codeGrid(model), crop } as const;
  const { images, pixels } = await decodeAll(heldOut, size, faults, 'held-out', MAX_VALIDATION_IMAGES);
  const batch = Math.min(train.batch, MAX_VALIDATION_BATCH, images.length);
  const bytes = batch * model.imageSize ** 2 * 3;
  const count = Math.floor(images.length / batch);
  return {
    batches: Array.from({ length: count }, (_, b) => pixels.subarray(b * bytes, (b + 1) * bytes)),
    batch,
  };
}
