// DALL·E mini, mega and their kind as generators: the encoder and the decoder with their VQGAN and tokenizer.

import { type Checkpoint, hashOf } from '../../checkpoint/checkpoint.ts';
import { type DalleMiniConfig, dalleMiniCheckpointSchema } from '../../config/dalle-mini.ts';
import type { Precision } from '../../engine/graph/precision.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { imageLength, promptLength, textInput } from '../../models/dalle-mini/config.ts';
import { type DalleMiniSpec, dalleMiniSpec } from '../../models/dalle-mini/model.ts';
import { Weights } from '../../nn/weights.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { DvaeCodec } from '../dvae/codec.ts';
import type { Generator, TokenModel } from '../sampler/generator.ts';
import { loadedWeights } from '../sampler/loaded-weights.ts';
import { DalleMiniRows } from './decode.ts';

/** Weights of products that steps alone compute, and the decoder's vectors. */
const STEP_WEIGHTS = /^decoder\.(?!embedding$|position$|.*\.cross_attention\.(key|value)\.)/;

export const dalleMiniTokens = (
  config: DalleMiniConfig,
  weights: Weights<DalleMiniSpec>,
  precision: Precision = 'float32',
): TokenModel => ({
  precision,
  startToken: config.imageStart,
  imageLength: imageLength(config),
  imageVocabulary: config.imageVocabulary,
  variables: Array.from(weights.entries).flatMap(([name, { variable }]) =>
    STEP_WEIGHTS.test(name) ? [variable] : [],
  ),
  textInput: (tokens) => textInput(tokens, config),
  openRows: (runtime, name, rows) => new DalleMiniRows(runtime, name, { config, weights, rows, precision }),
});

/**
 * Opens a checkpoint. Its weights are being loaded when it returns.
 * @param precision type of the products, and in which weights and KV cache are kept
 * @throws DataError when it lacks a part, or its configuration is not one
 */
export async function beginDalleMini(
  runtime: Runtime,
  checkpoint: Checkpoint,
  precision: Precision = 'float32',
): Promise<Generator> {
  const { model, sample } = checkpoint.config(dalleMiniCheckpointSchema);
  const codec = await DvaeCodec.open(runtime, await checkpoint.dvae());
  const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
  const weights = new Weights(runtime, 'dalle-mini', dalleMiniSpec(model), {
    type: precision,
    // Its product is in float32: guidance multiplies the rounding of logits.
    keeps: (name) => name === 'decoder.head.weight',
  });
  return {
    what: 'DALL·E mini',
    hash: hashOf(checkpoint),
    tokenizer,
    textLength: promptLength(model),
    tokens: { ...dalleMiniTokens(model, weights, precision), loaded: loadedWeights(weights, checkpoint) },
    codec,
    defaults: sample,
    // Its training left captions out, so that guidance has its unconditional side.
    checkSettings() {},
  };
}

/**
 * Opens a checkpoint as `beginDalleMini` does, and loads its weights.
 * @throws DataError when they do not fit its configuration
 */
export async function openDalleMini(...given: Parameters<typeof beginDalleMini>): Promise<Generator> {
  const generator = await beginDalleMini(...given);
  await generator.tokens.loaded?.all();
  return generator;
}
