// A whole CLIP training run: its pairs, its labelled images.

import { type ClipConfig, clipSchema } from '../../config/clip.ts';
import { decodeAll } from '../../data/decode-batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import { Faults } from '../../data/sources/faults.ts';
import { readClasses, readLabels } from '../../data/sources/labelled.ts';
import { readImages } from '../../data/sources/resolve.ts';

import { splitExamples } from '../../data/split.ts';
import { checkClassifier } from '../../inference/clip/classifier.ts';
import { textIds } from '../../models/clip/text.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { LoopResult } from '../loop/loop.ts';
import { assertSameTokenizer, openCarriedParts } from '../loop/resume-checks.ts';
import type { RunContext } from '../loop/run-context.ts';
import { assertEnoughImages, checkRun, runTraining } from '../run.ts';
import { assertClipCaptionsFit, clipBatches } from './batches.ts';
import { ClipTask, type ClipValidation, type ZeroShot } from './task.ts';

/** Most held-out pairs, and most labelled images, looked at in one validation. */
const VALIDATION_PAIRS = 512;
const ZERO_SHOT_IMAGES = 1024;

/**
 * Trains CLIP into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining` and the data do
 */
export async function trainClip(config: ClipConfig, context: RunContext): Promise<LoopResult> {
  const { path, log } = context;
  const { data, model } = config;
  const { batch, gradCacheChunk: chunk = batch } = config.train;
  await checkRun(clipSchema, config, context);
  const tokenizer = await loadTokenizer(data.tokenizer);
  checkVocabulary(config, tokenizer);
  const faults = new Faults(log);
  const images = await readImages(data.path, { captions: 'required', faults });
  const cut = assertClipCaptionsFit(images, tokenizer, config);
  if (cut > 0) log.warn(`${cut} captions are longer than ${model.text.length} tokens and will be cut`);
  const { training, heldOut } = splitExamples(images, data.validation);
  assertEnoughImages(training.length, batch, data.path);
  const validation = await decodeValidation(heldOut, config, faults);
  const zeroShot = data.zeroShot && (await decodeZeroShot(config, data.zeroShot, faults));
  const inMemory = chunk < batch ? `, ${chunk} images in memory at a time` : '';
  log.info(`each image against ${batch - 1} other texts${inMemory}`);
  return runTraining(
    {
      kind: 'clip',
      config,
      faults,
      async build(runtime) {
        return {
          task: new ClipTask(runtime, config, { tokenizer, validation, zeroShot, run: path }),
          batches: (position) => clipBatches({ images: training, tokenizer, faults }, config, position),
          async onResume({ checkpoint }) {
            await assertSameTokenizer(await openCarriedParts(checkpoint), tokenizer, data.tokenizer);
          },
        };
      },
    },
    context,
  );
}

function checkVocabulary({ model, data }: ClipConfig, tokenizer: Tokenizer): void {
  const most = textIds(model);
  if (tokenizer.vocabularySize <= most) return;
  const own = model.text.vocabulary - most;
  throw new UsageError(
    `the tokenizer has ${tokenizer.vocabularySize} entries, model.text.vocabulary is ${model.text.vocabulary}${own > 0 ? `, ${own} of them its own` : ''}`,
    { where: data.tokenizer, fix: `set model.text.vocabulary to at least ${tokenizer.vocabularySize + own}` },
  );
}

const modelSize = ({ model }: ClipConfig) => ({ size: model.image.size, preprocessing: 'clip' }) as const;

async function decodeValidation(
  heldOut: readonly CaptionedImage[],
  config: ClipConfig,
  faults: Faults,
): Promise<ClipValidation> {
  const { images, pixels } = await decodeAll(
    heldOut,
    modelSize(config),
    faults,
    'held-out',
    VALIDATION_PAIRS,
  );
  return { pixels, captions: images.map(({ captions: [caption] }) => caption as string) };
}

async function decodeZeroShot(
  config: ClipConfig,
  { images, labels: file, templates }: NonNullable<ClipConfig['data']['zeroShot']>,
  faults: Faults,
): Promise<ZeroShot> {
  const all = await readClasses(images);
  const labels = file === undefined ? [...new Set(all.map(({ label }) => label))] : await readLabels(file);
  checkClassifier(labels, templates, file ?? images);
  const stranger = all.find(({ label }) => !labels.includes(label));
  if (stranger) {
    throw new DataError(`${stranger.label} is not among the labels`, {
      where: stranger.path,
      fix: `add it to ${file ?? 'the folders'}, or name the folder as a label`,
    });
  }
  // Evenly from all classes, whatever their order.
  const stride = Math.max(1, Math.ceil(all.length / ZERO_SHOT_IMAGES));
  const spread = all.filter((_, i) => i % stride === 0);
  const decoded = await decodeAll(spread, modelSize(config), faults, 'labelled');
  const truth = decoded.images.map(({ label }) => labels.indexOf(label));
  return { pixels: decoded.pixels, truth, labels, templates };
}
