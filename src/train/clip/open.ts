// Opens a training run of CLIP: reads its pairs and its labelled images, and checks them.

import type { Cluster } from '../../cluster/cluster.ts';
import type { ClipConfig } from '../../config/clip.ts';
import { clipInput } from '../../data/clip-input.ts';
import { decodeAll } from '../../data/decode-batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { readClasses, readLabels } from '../../data/sources/labelled.ts';
import { openTrainingImages } from '../../data/training-images.ts';
import { countOf } from '../../engine/session/devices.ts';
import type { HeldOutPairs, LabelledImages } from '../../eval/clip-validation.ts';
import { checkClassifier } from '../../inference/clip/classifier.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { counted } from '../../util/counted.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { assertSameData, imagesOf } from '../distributed/agreement.ts';
import { assertDivisible } from '../distributed/replicas.ts';
import { assertEnoughImages } from '../enough-images.ts';
import type { OpenContext } from '../loop/run-context.ts';
import { planClip } from '../plan/clip.ts';
import { withRecompute } from '../recompute.ts';
import { assertClipCaptionsFit } from './batches.ts';
import { ClipTask } from './task.ts';

/** Only worker 0 evaluates. */
const NO_PAIRS: HeldOutPairs = { pixels: Buffer.alloc(0), captions: [] };
/** Held-out pairs, and labelled images, in one validation. */
const MAX_VALIDATION_PAIRS = 512;
const MAX_LABELLED_IMAGES = 1024;

/** @throws UsageError, DataError, EngineError when the data or the engine cannot be used */
export async function openClip(
  given: ClipConfig,
  tokenizer: Tokenizer,
  context: OpenContext,
): Promise<ClipTask> {
  const { data, model, train } = given;
  const { batch, gradCacheChunk = batch } = train;
  const { log, faults, engine, cluster } = context;
  assertChunks(given, countOf(context.devices) ?? 1, cluster);
  const opened = await openTrainingImages(data, {
    ...context,
    captions: 'required',
    batch,
    maxHeldOut: MAX_VALIDATION_PAIRS,
  });
  const { training, heldOut, all } = opened;
  if (!all) assertTruncating(given);
  const cut = assertClipCaptionsFit(all ?? heldOut, tokenizer, given);
  if (cut > 0) {
    const of = all ? '' : ` of the first ${heldOut.length}`;
    log.warn(`${counted(cut, 'caption')}${of} longer than ${model.text.length} tokens will be cut`);
  }
  assertEnoughImages(training.count, batch, data.path);
  if (cluster) await assertSameData(cluster, [imagesOf(opened), tokenizer], data.path);
  const isPrimary = cluster?.isPrimary ?? true;
  const pairs = isPrimary ? await decodePairs(heldOut, given, faults) : NO_PAIRS;
  const labelled =
    isPrimary && data.zeroShot ? await decodeLabelled(given, data.zeroShot, faults) : undefined;
  const inMemory = gradCacheChunk < batch ? `, ${counted(gradCacheChunk, 'image')} in memory at a time` : '';
  log.info(`each image against ${batch - 1} other texts${inMemory}`);
  const runtime = await engine.start();
  assertChunks(given, runtime.replicas.names.length, cluster);
  const config = await withRecompute('clip', given, runtime, context, (planning, recompute) =>
    planClip(planning, given, recompute),
  );
  return new ClipTask(runtime, config, {
    data: { images: training, tokenizer, faults },
    heldOut: pairs,
    labelled,
    cluster,
  });
}

/** Throws UsageError unless the devices' chunks fill a batch. */
function assertChunks(
  { train: { batch, gradCacheChunk = batch } }: ClipConfig,
  devices: number,
  { workers }: Pick<Cluster, 'workers'> = { workers: 1 },
): void {
  const isCached = gradCacheChunk < batch / (workers * devices);
  const accumulateSteps = isCached ? gradCacheChunk : 1;
  assertDivisible(batch, { workers, devices, accumulateSteps }, 'train.gradCacheChunk');
}

/** Captions that are only seen in their turn cannot be checked before training. */
function assertTruncating({ data }: ClipConfig): void {
  if (data.truncateCaptions) return;
  throw new UsageError('the captions of so many images are not checked before training', {
    code: 'E_CAPTIONS_NOT_CHECKED',
    where: data.path,
    fix: 'set data.truncateCaptions, so that one that is too long is cut; mm data check counts them',
  });
}

const sizeOf = ({ model }: ClipConfig) => clipInput(model.image);

async function decodePairs(
  heldOut: readonly CaptionedImage[],
  config: ClipConfig,
  faults: Faults,
): Promise<HeldOutPairs> {
  const { images, pixels } = await decodeAll(
    heldOut,
    sizeOf(config),
    faults,
    'held-out',
    MAX_VALIDATION_PAIRS,
  );
  return { pixels, captions: images.map(({ captions: [caption] }) => caption as string) };
}

async function decodeLabelled(
  config: ClipConfig,
  { images, labels: file, templates }: NonNullable<ClipConfig['data']['zeroShot']>,
  faults: Faults,
): Promise<LabelledImages> {
  const all = await readClasses(images, faults);
  const labels = file === undefined ? [...new Set(all.map(({ label }) => label))] : await readLabels(file);
  checkClassifier(labels, templates, file ?? images);
  const unlisted = all.find(({ label }) => !labels.includes(label));
  if (unlisted) {
    throw new DataError(`${unlisted.label} is not among the labels`, {
      code: 'E_UNKNOWN_LABEL',
      where: unlisted.path,
      fix: `add it to ${file ?? 'the folders'}, or name the folder by a label`,
    });
  }
  // The same share of every class, whatever their order.
  const stride = Math.max(1, Math.ceil(all.length / MAX_LABELLED_IMAGES));
  const spread = all.filter((_, i) => i % stride === 0);
  const decoded = await decodeAll(spread, sizeOf(config), faults, 'labelled');
  const truth = decoded.images.map(({ label }) => labels.indexOf(label));
  return { pixels: decoded.pixels, truth, labels, templates };
}
