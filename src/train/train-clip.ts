// A whole CLIP training run: data, runtime, resumption, the loop.

import { Checkpoint } from '../checkpoint/read.ts';
import { readState } from '../checkpoint/state.ts';
import { type ClipConfig, clipSchema } from '../config/clip.ts';
import { dumpConfig } from '../config/load.ts';
import type { PictureFile } from '../data/decode.ts';
import { chunks, decodeBatches } from '../data/decode-batches.ts';
import { Faults } from '../data/faults.ts';
import { readClasses, readLabels } from '../data/labelled.ts';
import type { BatchPosition } from '../data/order.ts';
import { readPictures } from '../data/pictures.ts';
import type { Picture } from '../data/source.ts';
import { isValidation } from '../data/split.ts';
import { Runtime } from '../engine/runtime.ts';
import { checkClassifier } from '../eval/classifier.ts';
import { textIds } from '../models/clip/text.ts';
import { RunFolder } from '../report/run.ts';
import { loadTokenizer } from '../tokenizers/load.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { DataError, UsageError } from '../util/errors.ts';
import { alsoLogTo } from '../util/logger.ts';
import { ClipTrainee, type ClipValidation, type ZeroShot } from './clip.ts';
import { checkCaptions, clipBatches } from './clip-batches.ts';
import { type LoopResult, trainLoop } from './loop.ts';
import type { RunContext } from './run-context.ts';
import { initialize, refuseChanges, resumeRun } from './state.ts';

/** Most held-out pairs, and most labelled pictures, looked at in one validation. */
const VALIDATION_PAIRS = 512;
const ZERO_SHOT_PICTURES = 1024;
const DECODED_AT_ONCE = 32;

/**
 * Trains CLIP into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `trainLoop` and the data do
 */
export async function trainClip(config: ClipConfig, context: RunContext): Promise<LoopResult> {
  const { path, resume, log, progress, signal } = context;
  const tokenizer = await loadTokenizer(config.data.tokenizer);
  checkVocabulary(config, tokenizer);
  if (resume) refuseChanges(clipSchema, path, config);
  const faults = new Faults(log);
  const pictures = await readPictures(config.data.path, { captions: 'required', faults });
  const cut = checkCaptions(pictures, tokenizer, config);
  if (cut > 0) log.warn(`${cut} captions are longer than ${config.model.text.length} tokens and will be cut`);
  const share = config.data.validation;
  const training = pictures.filter(({ key }) => !isValidation(key, share));
  const heldOut = pictures.filter(({ key }) => isValidation(key, share));
  const { batch, chunk = batch } = config.train;
  if (training.length < batch) {
    throw new DataError(`${training.length} captioned pictures are fewer than one batch of ${batch}`, {
      where: config.data.path,
      fix: 'add pictures, or lower train.batch',
    });
  }
  const validation = await decodeValidation(heldOut.length > 0 ? heldOut : training, config, faults);
  const zeroShot = config.data.zeroShot && (await decodeZeroShot(config, config.data.zeroShot, faults));
  log.info(
    `each picture against ${batch - 1} other texts${chunk < batch ? `, ${chunk} pictures in memory at a time` : ''}`,
  );
  const runtime = new Runtime();
  try {
    const run = await RunFolder.open(path, { resume, config: dumpConfig(config) });
    const endLog = alsoLogTo(log, run.logFile);
    try {
      const trainee = new ClipTrainee(runtime, config, { tokenizer, validation, zeroShot, run: path });
      const resumed = resume ? await resumeRun(run, 'clip', trainee.state, log) : undefined;
      if (resumed) await refuseOtherTokenizer(resumed.checkpoint, tokenizer, config);
      else await initialize(runtime, trainee.state, config.seed);
      return await trainLoop({
        label: 'train-clip',
        trainee,
        batches: clipBatches(
          { pictures: training, tokenizer, faults },
          config,
          (resumed?.position ?? undefined) as BatchPosition | undefined,
        ),
        rhythm: config.train,
        resumed,
        run,
        progress,
        log,
        signal,
      });
    } finally {
      endLog();
      run.close();
    }
  } finally {
    faults.summarize();
    await runtime.close();
  }
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

/** Pixels of those that decode, and which they are. */
async function decode<P extends PictureFile>(
  pictures: readonly P[],
  config: ClipConfig,
  faults: Faults,
  what: string,
): Promise<{ pixels: Uint8Array; decoded: P[] }> {
  const parts: Uint8Array[] = [];
  const decoded: P[] = [];
  for await (const part of decodeBatches(
    chunks(pictures, DECODED_AT_ONCE),
    { size: config.model.image.size, preprocessing: 'clip' },
    faults,
  )) {
    parts.push(part.pixels);
    decoded.push(...part.pictures);
  }
  if (decoded.length > 0) return { pixels: Buffer.concat(parts), decoded };
  throw new DataError(`none of the ${what} pictures can be read`, {
    where: pictures[0]?.path ?? config.data.path,
    fix: 'mm data check lists what is wrong',
  });
}

async function decodeValidation(
  pictures: readonly Picture[],
  config: ClipConfig,
  faults: Faults,
): Promise<ClipValidation> {
  const { pixels, decoded } = await decode(pictures.slice(0, VALIDATION_PAIRS), config, faults, 'held-out');
  return { pixels, captions: decoded.map(({ caption }) => caption as string) };
}

async function decodeZeroShot(
  config: ClipConfig,
  { pictures, labels: file, templates }: NonNullable<ClipConfig['data']['zeroShot']>,
  faults: Faults,
): Promise<ZeroShot> {
  const all = await readClasses(pictures);
  const labels = file === undefined ? [...new Set(all.map(({ label }) => label))] : await readLabels(file);
  checkClassifier(labels, templates, file ?? pictures);
  const stranger = all.find(({ label }) => !labels.includes(label));
  if (stranger) {
    throw new DataError(`${stranger.label} is not among the labels`, {
      where: stranger.path,
      fix: `add it to ${file ?? 'the folders'}, or name the folder as a label`,
    });
  }
  // Evenly from all classes, whatever their order.
  const stride = Math.max(1, Math.ceil(all.length / ZERO_SHOT_PICTURES));
  const { pixels, decoded } = await decode(
    all.filter((_, i) => i % stride === 0),
    config,
    faults,
    'labelled',
  );
  return { pixels, truth: decoded.map(({ label }) => labels.indexOf(label)), labels, templates };
}

/** Text ids have to mean what they meant when the run began. */
async function refuseOtherTokenizer(path: string, tokenizer: Tokenizer, { data }: ClipConfig): Promise<void> {
  const checkpoint = new Checkpoint(path, await readState(path));
  if (JSON.stringify(await loadTokenizer(checkpoint.tokenizerFile)) === JSON.stringify(tokenizer)) return;
  throw new UsageError('the run that is resumed has another tokenizer', {
    where: data.tokenizer,
    fix: 'name the tokenizer that the run began with, or begin a new run in another folder',
  });
}
