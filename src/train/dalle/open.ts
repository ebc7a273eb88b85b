// Opens a training run of the joint Transformer: its tokens and captions, checked against its parts.

import { readCheckpoint } from '../../checkpoint/read.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import { textLines } from '../../data/sources/captions.ts';
import { countOf } from '../../engine/session/devices.ts';
import { DvaeCodec } from '../../inference/dvae/codec.ts';
import { maxCaptionTokens } from '../../models/dalle/config.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { counted } from '../../util/counted.ts';
import { assertSameData } from '../distributed/agreement.ts';
import { assertDivisible } from '../distributed/replicas.ts';
import { assertEnoughImages } from '../enough-images.ts';
import type { OpenContext } from '../loop/run-context.ts';
import { planDalle } from '../plan/dalle.ts';
import { withRecompute } from '../recompute.ts';
import { assertCaptionsFit, firstCaption, validationBatches } from './batches.ts';
import { type Captions, openExamples } from './dataset.ts';
import type { TokenizedDataset } from './examples.ts';
import type { DalleParts } from './parts.ts';
import { DalleTask } from './task.ts';

const MAX_VALIDATION_BATCHES = 8;

/** @throws UsageError, DataError, EngineError when a part, the data or the engine cannot be used */
export async function openDalle(
  given: DalleConfig,
  { dvae, tokenizer }: DalleParts,
  context: OpenContext,
): Promise<DalleTask> {
  const { path: run, resume, log, cluster } = context;
  const { data, model } = given;
  const isPrimary = cluster?.isPrimary ?? true;
  const { train } = given;
  const warn = (message: string): void => log.warn(message);
  const parts = { workers: cluster?.workers ?? 1, accumulateSteps: train.accumulateSteps };
  assertDivisible(train.batch, { ...parts, devices: countOf(context.devices) ?? 1 });
  if (train.compression && !cluster) warn('train.compression has no effect with one worker');
  if (data.bpeDropout > 0 && !tokenizer.hasDropout)
    warn('data.bpeDropout has no effect with this kind of tokenizer');
  const initFrom =
    train.initFrom === undefined || resume || !isPrimary
      ? undefined
      : await readCheckpoint(train.initFrom, { kind: 'dalle', warn });
  const runtime = await context.engine.start();
  assertDivisible(train.batch, { ...parts, devices: runtime.replicas.names.length });
  const config = await withRecompute('dalle', given, runtime, context, (planning, recompute) =>
    planDalle(planning, given, recompute),
  );
  const codec = await DvaeCodec.open(runtime, dvae);
  const source = data.tokens ?? data.path ?? '';
  const options = {
    dvae,
    maxHeldOut: MAX_VALIDATION_BATCHES * train.batch,
    checkCaptions: (set: Captions) => assertCaptionsFit(set, tokenizer, config, source),
  };
  const { training, heldOut, cut, hash } = await openExamples(config, codec, options, context);
  const of = cut.of === 'all' ? '' : ` of the first ${heldOut.keys.length}`;
  if (cut.count > 0)
    warn(`${counted(cut.count, 'caption')}${of} longer than ${maxCaptionTokens(model)} tokens will be cut`);
  assertEnoughImages(training.count, train.batch, source);
  if (cluster) await assertSameData(cluster, [hash, tokenizer, codec.hash], source);
  return new DalleTask(runtime, config, {
    codec,
    dvae,
    tokenizer,
    initFrom,
    training,
    validation: isPrimary ? validationBatches(heldOut, tokenizer, config, MAX_VALIDATION_BATCHES) : [],
    prompts: isPrimary ? samplePrompts(config, heldOut, tokenizer) : [],
    run,
    cluster,
  });
}

/** The captions to sample while training: those of the configuration, or the first held-out ones. */
function samplePrompts(
  config: DalleConfig,
  heldOut: TokenizedDataset,
  tokenizer: Tokenizer,
): readonly string[] {
  const { prompts, count } = config.train.samples;
  const keys = prompts.map((_, i) => `train.samples.prompts.${i}`);
  assertCaptionsFit({ keys, captions: prompts.map(textLines) }, tokenizer, config);
  if (prompts.length > 0) return prompts;
  return heldOut.captions.slice(0, count).map((_, i) => firstCaption(heldOut, i));
}
