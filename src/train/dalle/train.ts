// A whole DALL·E training run: its parts, its tokens, what its weights begin with.

import { createHash } from 'node:crypto';
import { hashOf, readCheckpoint } from '../../checkpoint/read.ts';
import { type DalleConfig, dalleSchema } from '../../config/dalle.ts';
import { textLines } from '../../data/sources/captions.ts';
import { Faults } from '../../data/sources/faults.ts';
import { DvaeCodec } from '../../inference/dvae/codec.ts';
import { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { LoopResult } from '../loop/loop.ts';
import { startEma } from '../loop/resume.ts';
import { assertSamePart, assertSameTokenizer, openCarriedParts } from '../loop/resume-checks.ts';
import type { RunContext } from '../loop/run-context.ts';
import { assertEnoughImages, checkRun, runTraining } from '../run.ts';
import { assertCaptionsFit, firstCaption, trainingBatches, validationBatches } from './batches.ts';
import { codebookInit } from './codebook-init.ts';
import { openDataset, splitDataset, type TokenizedDataset } from './dataset.ts';
import { initFrom } from './fine-tune.ts';
import { DalleTask } from './task.ts';

/** Most batches looked at in one validation. */
const VALIDATION_BATCHES = 8;

/**
 * Trains the joint Transformer into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining` and the data do
 */
export async function trainDalle(config: DalleConfig, context: RunContext): Promise<LoopResult> {
  const { path, resume, log, cluster } = context;
  const { data, model } = config;
  const leads = cluster?.isPrimary ?? true;
  const train = ofWorker(config.train, leads);
  const warn = (message: string): void => log.warn(message);
  await cluster?.assertSame('configuration', whatIsTrained(config));
  assertDivisible(config, cluster?.workers ?? 1);
  await checkRun(dalleSchema, config, context);
  if (train.compression && !cluster) warn('train.compression is for several workers; one sends nothing');
  const dvae = await readCheckpoint(data.dvae, { kind: 'dvae', warn });
  const tokenizer = await BpeTokenizer.load(data.tokenizer);
  checkVocabularies(config, tokenizer);
  const origin =
    train.initFrom === undefined || resume || !leads
      ? undefined
      : await readCheckpoint(train.initFrom, { kind: 'dalle', warn });
  const faults = new Faults(log);
  return runTraining(
    {
      kind: 'dalle',
      config,
      faults,
      async build(runtime) {
        const codec = await DvaeCodec.open(runtime, dvae);
        checkCodec(config, codec);
        const all = await openDataset(config, codec, dvae, faults, context);
        const source = data.tokens ?? data.path ?? '';
        const cut = assertCaptionsFit(all, tokenizer, config, source);
        if (cut > 0) warn(`${cut} captions are longer than ${model.textLength} tokens and will be cut`);
        const { training, heldOut } = splitDataset(all, data.validation);
        assertEnoughImages(training.captions.length, train.batch, source);
        await cluster?.assertSame('data', contentOf(all, tokenizer, codec), (rank) =>
          otherData(rank, source),
        );
        const task = new DalleTask(
          runtime,
          { ...config, train },
          {
            codec,
            dvae,
            tokenizer,
            validation: leads ? validationBatches(heldOut, tokenizer, config, VALIDATION_BATCHES) : [],
            prompts: leads ? samplePrompts(config, heldOut, tokenizer) : [],
            run: path,
            cluster,
          },
        );
        return {
          task,
          batches: (position) => trainingBatches(training, tokenizer, config, position),
          async onStart() {
            const { weights } = task.state;
            if (train.codebookInit) await codebookInit(runtime, weights, await codec.codeVectors(), config);
            if (origin) await initFrom(weights, origin, model);
            if (origin || train.codebookInit) await startEma(runtime, task.state);
          },
          async onResume({ checkpoint }) {
            const carried = await openCarriedParts(checkpoint);
            assertSamePart('dVAE', hashOf(await carried.dvae()) === codec.hash, data.dvae);
            await assertSameTokenizer(carried, tokenizer, data.tokenizer);
          },
        };
      },
    },
    context,
  );
}

/** Only worker 0 looks at what an average is for. */
const ofWorker = (train: DalleConfig['train'], leads: boolean): DalleConfig['train'] =>
  leads ? train : { ...train, ema: undefined };

/** The configuration without the places of files, which may be others on another machine. */
function whatIsTrained({ data, train, ...config }: DalleConfig): string {
  const { path: _path, tokens: _tokens, dvae: _dvae, tokenizer: _tokenizer, ...ofData } = data;
  const { initFrom: _from, ...ofTraining } = train;
  const text = JSON.stringify({ ...config, data: ofData, train: ofTraining });
  return createHash('sha256').update(text).digest('hex');
}

/** Throws UsageError unless a batch can be shared out. */
function assertDivisible(
  { train: { batch, accumulateSteps: accumulate } }: DalleConfig,
  workers: number,
): void {
  if (batch % (workers * accumulate) === 0) return;
  const parts =
    accumulate > 1 ? `${workers} workers × train.accumulateSteps ${accumulate}` : `${workers} workers`;
  throw new UsageError(`train.batch ${batch} cannot be shared out equally among ${parts}`, {
    where: '--workers',
    fix: `set train.batch to a multiple of ${workers * accumulate}`,
  });
}

/** Identifies what is trained on: images and captions in their order, and what their numbers mean. */
function contentOf(
  { keys, captions, codes }: TokenizedDataset,
  tokenizer: BpeTokenizer,
  codec: DvaeCodec,
): string {
  const hash = createHash('sha256').update(codes);
  return hash.update(JSON.stringify([keys, captions, tokenizer, codec.hash])).digest('hex');
}

const otherData = (rank: number, where: string): DataError =>
  new DataError(`worker ${rank} has other data than worker 0`, {
    where,
    fix: 'give all workers the same images, captions, tokenizer and dVAE; best the same token shards (mm tokenize)',
  });

/** The captions to sample while training: those of the configuration, or the first of the data. */
function samplePrompts(
  config: DalleConfig,
  shown: TokenizedDataset,
  tokenizer: BpeTokenizer,
): readonly string[] {
  const { prompts, count } = config.train.samples;
  assertCaptionsFit(
    { keys: prompts.map((_, i) => `train.samples.prompts.${i}`), captions: prompts.map(textLines) },
    tokenizer,
    config,
  );
  if (prompts.length > 0) return prompts;
  return shown.captions.slice(0, count).map((_, i) => firstCaption(shown, i));
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
