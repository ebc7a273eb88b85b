// A whole dVAE training run: data, runtime, warm start or resumption, the loop.

import { type DvaeConfig, dvaeSchema } from '../config/dvae.ts';
import { dumpConfig } from '../config/load.ts';
import { type BatchPosition, PictureBatches } from '../data/batches.ts';
import { decodePicture } from '../data/decode.ts';
import { Faults } from '../data/faults.ts';
import { readPictures } from '../data/pictures.ts';
import type { Picture } from '../data/source.ts';
import { isValidation } from '../data/split.ts';
import { Runtime } from '../engine/runtime.ts';
import type { Validation } from '../eval/dvae-validation.ts';
import { codeGrid } from '../models/dvae/config.ts';
import type { DvaeSpec } from '../models/dvae/model.ts';
import { RunFolder } from '../report/run.ts';
import { DataError } from '../util/errors.ts';
import { alsoLogTo } from '../util/logger.ts';
import { DvaeTrainee } from './dvae.ts';
import { type LoopResult, trainLoop } from './loop.ts';
import type { RunContext } from './run-context.ts';
import { initialize, type ModelState, refuseChanges, resumeRun } from './state.ts';
import { warmStart } from './warm-start.ts';

/** Most held-out pictures looked at in one validation. */
const VALIDATION_PICTURES = 256;

/**
 * Trains a dVAE into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `trainLoop` and the data do
 */
export async function trainDvae(config: DvaeConfig, context: RunContext): Promise<LoopResult> {
  const { path, resume, log, progress, signal } = context;
  codeGrid(config.model); // refuses sizes that do not fit before anything is read or written
  const pictures = await readPictures(config.data.path, { captions: 'ignore' });
  const faults = new Faults(log);
  const { training, heldOut } = split(pictures, config);
  const validation = await decodeValidation(heldOut, config, faults);
  if (resume) refuseChanges(dvaeSchema, path, config);
  const runtime = new Runtime();
  try {
    const run = await RunFolder.open(path, { resume, config: dumpConfig(config) });
    const endLog = alsoLogTo(log, run.logFile);
    try {
      const trainee = new DvaeTrainee(runtime, config, validation, path, log);
      const resumed = resume ? await resumeRun(run, 'dvae', trainee.state, log) : undefined;
      const batches = (seed: number, position?: BatchPosition) =>
        new PictureBatches(training, {
          size: config.model.imageSize,
          grid: codeGrid(config.model),
          batch: config.train.batch,
          seed,
          crop: config.data.crop,
          cropScale: config.data.cropScale,
          flip: config.data.flip,
          position,
          faults,
        });
      if (!resumed) {
        await initialize(runtime, trainee.state, config.seed);
        const { model } = config;
        if (config.train.warmStart && model.architecture === 'openai') {
          const state = trainee.state as ModelState<DvaeSpec>;
          await warmStart(runtime, { ...config, model }, state, batches(config.seed + 1), context);
        }
      }
      return await trainLoop({
        label: 'train-dvae',
        trainee,
        batches: batches(config.seed, resumed?.position as BatchPosition | undefined)[Symbol.asyncIterator](),
        rhythm: config.train,
        resumed,
        run,
        progress,
        log,
        signal,
      });
    } finally {
      faults.summarize();
      endLog();
      run.close();
    }
  } finally {
    await runtime.close();
  }
}

function split(
  pictures: readonly Picture[],
  config: DvaeConfig,
): { training: Picture[]; heldOut: Picture[] } {
  const share = config.data.validation;
  const heldOut = pictures.filter(({ key }) => isValidation(key, share));
  const training = pictures.filter(({ key }) => !isValidation(key, share));
  if (training.length === 0) {
    throw new DataError('no picture is left to train on', {
      where: config.data.path,
      fix: 'add pictures, or lower data.validation',
    });
  }
  // A handful of pictures may leave none held out: then the reconstructions shown are of training pictures.
  return { training, heldOut: heldOut.length > 0 ? heldOut : training };
}

/** The first held-out pictures that decode, in whole batches; repeated when there are fewer than one batch. */
async function decodeValidation(
  pictures: readonly Picture[],
  config: DvaeConfig,
  faults: Faults,
): Promise<Validation> {
  const size = config.model.imageSize;
  const batch = Math.min(config.train.batch, 32);
  const decoded: Uint8Array[] = [];
  for (const picture of pictures) {
    if (decoded.length === VALIDATION_PICTURES) break;
    const crop = config.data.crop === 'none' ? 'none' : 'center';
    const pixels = await faults.guard(picture, () =>
      decodePicture(picture, { size, grid: codeGrid(config.model), crop }),
    );
    if (pixels) decoded.push(pixels);
  }
  if (decoded.length === 0) {
    throw new DataError('none of the held-out pictures can be read', {
      where: config.data.path,
      fix: 'mm data check lists what is wrong',
    });
  }
  const count = Math.max(1, Math.floor(decoded.length / batch));
  const batches = Array.from({ length: count }, (_, b) => {
    const pixels = new Uint8Array(batch * size * size * 3);
    for (let i = 0; i < batch; i++)
      pixels.set(decoded[(b * batch + i) % decoded.length] as Uint8Array, i * size * size * 3);
    return pixels;
  });
  return { batches, batch };
}
