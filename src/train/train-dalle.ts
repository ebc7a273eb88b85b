// A whole DALL·E training run: its parts, its tokens, what its weights begin with.

import { hashOf, readCheckpoint } from '../checkpoint/read.ts';
import { type DalleConfig, dalleSchema } from '../config/dalle.ts';
import { Faults } from '../data/faults.ts';
import { DvaeCodec } from '../models/dvae/codec.ts';
import { BpeTokenizer } from '../tokenizers/bpe.ts';
import { UsageError } from '../util/errors.ts';
import { type CaptionedCodes, readCodes, splitCodes } from './captioned-codes.ts';
import { codebookStart } from './codebook-start.ts';
import { DalleTrainee } from './dalle.ts';
import { beginWith } from './fine-tune.ts';
import type { LoopResult } from './loop.ts';
import type { RunContext } from './run-context.ts';
import { carriedBy, refuseOther, refuseOtherTokenizer } from './same-parts.ts';
import { startAverage } from './state.ts';
import { checkCaptions, firstCaption, trainingBatches, validationBatches } from './token-batches.ts';
import { checkRun, refuseFew, runTraining } from './training.ts';

/** Most batches looked at in one validation. */
const VALIDATION_BATCHES = 8;

/**
 * Trains the joint Transformer into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining` and the data do
 */
export async function trainDalle(config: DalleConfig, context: RunContext): Promise<LoopResult> {
  const { path, resume, log } = context;
  const { data, model, train } = config;
  const warn = (message: string): void => log.warn(message);
  await checkRun(dalleSchema, config, context);
  const dvae = await readCheckpoint(data.dvae, { kind: 'dvae', warn });
  const tokenizer = await BpeTokenizer.load(data.tokenizer);
  checkVocabularies(config, tokenizer);
  const origin =
    train.from === undefined || resume
      ? undefined
      : await readCheckpoint(train.from, { kind: 'dalle', warn });
  const faults = new Faults(log);
  return runTraining(
    {
      kind: 'dalle',
      config,
      faults,
      async build(runtime) {
        const codec = await DvaeCodec.open(runtime, dvae);
        checkCodec(config, codec);
        const all = await readCodes(config, codec, dvae, faults, context);
        const source = data.tokens ?? data.path ?? '';
        const cut = checkCaptions(all, tokenizer, config, source);
        if (cut > 0) warn(`${cut} captions are longer than ${model.textLength} tokens and will be cut`);
        const { training, heldOut } = splitCodes(all, data.validation);
        refuseFew(training.captions.length, train.batch, source);
        const trainee = new DalleTrainee(runtime, config, {
          codec,
          dvae,
          tokenizer,
          validation: validationBatches(heldOut, tokenizer, config, VALIDATION_BATCHES),
          prompts: samplePrompts(config, heldOut, tokenizer),
          run: path,
        });
        return {
          trainee,
          batches: (position) => trainingBatches(training, tokenizer, config, position),
          async begin() {
            const { weights } = trainee.state;
            if (train.codebookStart) await codebookStart(runtime, weights, await codec.codeVectors(), config);
            if (origin) await beginWith(weights, origin, model);
            if (origin || train.codebookStart) await startAverage(runtime, trainee.state);
          },
          async goOn({ checkpoint, evaluation }) {
            const carried = await carriedBy(checkpoint);
            refuseOther('dVAE', hashOf(await carried.dvae()) === codec.hash, data.dvae);
            await refuseOtherTokenizer(carried, tokenizer, data.tokenizer);
            trainee.resume(evaluation);
          },
        };
      },
    },
    context,
  );
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
