// A whole DALL·E training run: tokens, runtime, resumption, the loop.

import { Checkpoint, hashOf, readCheckpoint } from '../checkpoint/read.ts';
import { readState } from '../checkpoint/state.ts';
import { type DalleConfig, dalleSchema } from '../config/dalle.ts';
import { dumpConfig } from '../config/load.ts';
import type { BatchPosition } from '../data/order.ts';
import { isValidation } from '../data/split.ts';
import { checkDvae } from '../data/tokens/check.ts';
import { readTokenFolder } from '../data/tokens/read.ts';
import { Runtime } from '../engine/runtime.ts';
import { DvaeCodec } from '../models/dvae/codec.ts';
import { RunFolder } from '../report/run.ts';
import { BpeTokenizer } from '../tokenizers/bpe.ts';
import { DataError, UsageError } from '../util/errors.ts';
import { alsoLogTo } from '../util/logger.ts';
import { codebookStart } from './codebook-start.ts';
import { DalleTrainee } from './dalle.ts';
import { encodeFolder } from './encode-folder.ts';
import { beginWith } from './fine-tune.ts';
import { type LoopResult, trainLoop } from './loop.ts';
import type { RunContext } from './run-context.ts';
import { initialize, refuseChanges, resumeRun, startAverage } from './state.ts';
import { type CaptionedCodes, checkCaptions, trainingBatches, validationBatches } from './token-batches.ts';

/** Most batches looked at in one validation. */
const VALIDATION_BATCHES = 8;

/**
 * Trains the joint Transformer into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `trainLoop` and the data do
 */
export async function trainDalle(config: DalleConfig, context: RunContext): Promise<LoopResult> {
  const { path, resume, log, progress, signal } = context;
  const warn = (message: string): void => log.warn(message);
  const dvae = await readCheckpoint(config.data.dvae, { kind: 'dvae', warn });
  const tokenizer = await BpeTokenizer.load(config.data.tokenizer);
  checkVocabularies(config, tokenizer);
  if (resume) refuseChanges(dalleSchema, path, config);
  const { from } = config.train;
  const origin =
    from === undefined || resume ? undefined : await readCheckpoint(from, { kind: 'dalle', warn });
  const runtime = new Runtime();
  try {
    const codec = await DvaeCodec.open(runtime, dvae);
    checkCodec(config, codec);
    const all = await readTokens(config, codec, dvae, context);
    const cut = checkCaptions(all, tokenizer, config);
    if (cut > 0)
      log.warn(`${cut} captions are longer than ${config.model.textLength} tokens and will be cut`);
    const share = config.data.validation;
    const training = select(all, (key) => !isValidation(key, share));
    const heldOut = select(all, (key) => isValidation(key, share));
    if (training.captions.length < config.train.batch) {
      throw new DataError(
        `${training.captions.length} captioned pictures are fewer than one batch of ${config.train.batch}`,
        {
          where: config.data.tokens ?? config.data.path ?? '',
          fix: 'add pictures, or lower train.batch',
        },
      );
    }
    const shown = heldOut.captions.length > 0 ? heldOut : training;
    const prompts = samplePrompts(config, shown, tokenizer);
    const trainee = new DalleTrainee(runtime, config, {
      codec,
      dvae,
      tokenizer,
      validation: validationBatches(shown, tokenizer, config, VALIDATION_BATCHES),
      prompts,
      run: path,
    });
    const run = await RunFolder.open(path, { resume, config: dumpConfig(config) });
    const endLog = alsoLogTo(log, run.logFile);
    try {
      const resumed = resume ? await resumeRun(run, 'dalle', trainee.state, log) : undefined;
      if (resumed) {
        await refuseOtherParts(resumed.checkpoint, codec, tokenizer, config);
        trainee.resume(resumed.evaluation);
      } else {
        await initialize(runtime, trainee.state, config.seed);
        if (config.train.codebookStart)
          await codebookStart(runtime, trainee.state.weights, await codec.codeVectors(), config);
        if (origin) await beginWith(trainee.state.weights, origin, config.model);
        if (origin || config.train.codebookStart) await startAverage(runtime, trainee.state);
      }
      return await trainLoop({
        label: 'train-dalle',
        trainee,
        batches: trainingBatches(training, tokenizer, config, resumed?.position as BatchPosition | undefined),
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
    await runtime.close();
  }
}

/** From shards, or from pictures tokenized on the way. */
async function readTokens(
  config: DalleConfig,
  codec: DvaeCodec,
  dvae: Checkpoint,
  context: RunContext,
): Promise<CaptionedCodes> {
  const { tokens, path } = config.data;
  if (tokens !== undefined) {
    const set = await readTokenFolder(tokens);
    checkDvae(set, codec.hash, dvae.path);
    return captioned(set, tokens);
  }
  if (path !== undefined) return encodeFolder(path, codec, context);
  throw new UsageError('there is nothing to train on', {
    where: 'data',
    fix: 'set data.tokens (from mm tokenize) or data.path',
  });
}

function captioned(
  set: { keys: readonly string[]; captions: readonly (string | undefined)[]; codes: Uint16Array },
  where: string,
): CaptionedCodes {
  const missing = set.captions.indexOf(undefined);
  if (missing >= 0) {
    throw new DataError('a picture has no caption', {
      where: `${where}: ${set.keys[missing]}`,
      fix: 'add the .txt beside it and tokenize again',
    });
  }
  return set as CaptionedCodes;
}

function select(data: CaptionedCodes, keep: (key: string) => boolean): CaptionedCodes {
  const length = data.codes.length / data.keys.length;
  const indices = data.keys.flatMap((key, i) => (keep(key) ? [i] : []));
  const codes = new Uint16Array(indices.length * length);
  for (const [to, from] of indices.entries())
    codes.set(data.codes.subarray(from * length, (from + 1) * length), to * length);
  return {
    keys: indices.map((i) => data.keys[i] as string),
    captions: indices.map((i) => data.captions[i] as string),
    codes,
  };
}

/** The captions to sample while training: those of the configuration, or the first of the data. */
function samplePrompts(
  config: DalleConfig,
  shown: CaptionedCodes,
  tokenizer: BpeTokenizer,
): readonly string[] {
  const { prompts, count } = config.train.samples;
  checkCaptions(
    { keys: prompts.map((_, i) => `train.samples.prompts.${i}`), captions: prompts },
    tokenizer,
    config,
  );
  return prompts.length > 0 ? prompts : shown.captions.slice(0, count);
}

/** Codes and text ids have to mean what they meant when the run began. */
async function refuseOtherParts(
  path: string,
  codec: DvaeCodec,
  tokenizer: BpeTokenizer,
  { data }: DalleConfig,
): Promise<void> {
  const checkpoint = new Checkpoint(path, await readState(path));
  const isSame = {
    dVAE: hashOf(await checkpoint.dvae()) === codec.hash,
    tokenizer:
      JSON.stringify(await BpeTokenizer.load(checkpoint.tokenizerFile)) === JSON.stringify(tokenizer),
  };
  for (const [part, where] of [
    ['dVAE', data.dvae],
    ['tokenizer', data.tokenizer],
  ] as const) {
    if (isSame[part]) continue;
    throw new UsageError(`the run that is resumed has another ${part}`, {
      where,
      fix: `name the ${part} that the run began with, or begin a new run in another folder`,
    });
  }
}

function checkVocabularies({ model, data }: DalleConfig, tokenizer: BpeTokenizer): void {
  if (tokenizer.vocabularySize > model.textVocabulary) {
    throw new UsageError(
      `the tokenizer has ${tokenizer.vocabularySize} entries, model.textVocabulary is ${model.textVocabulary}`,
      {
        where: data.tokenizer,
        fix: `set model.textVocabulary to at least ${tokenizer.vocabularySize}`,
      },
    );
  }
}

function checkCodec({ model, data }: DalleConfig, codec: DvaeCodec): void {
  for (const [key, ours, theirs] of [
    ['grid', model.grid, codec.grid],
    ['imageVocabulary', model.imageVocabulary, codec.config.vocabulary],
  ] as const) {
    if (ours !== theirs) {
      throw new UsageError(`model.${key} is ${ours}, the dVAE's is ${theirs}`, {
        where: data.dvae,
        fix: `set model.${key} to ${theirs}`,
      });
    }
  }
}
