// DALL·E mini, mega and their kind as generators: the encoder and the decoder with their VQGAN and tokenizer.

import { type Checkpoint, hashOf } from '../../checkpoint/checkpoint.ts';
import { type DalleMiniConfig, dalleMiniCheckpointSchema } from '../../config/dalle-mini.ts';
import type { Precision } from '../../engine/graph/precision.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type DalleMiniSpec, dalleMiniSpec, textInput } from '../../models/dalle-mini/model.ts';
import { Weights } from '../../nn/weights.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { DvaeCodec } from '../dvae/codec.ts';
import type { Generator, TokenModel } from '../sampler/generator.ts';
import { DalleMiniRows } from './decode.ts';

/** The tokens of a prompt's start and end. */
const ENDS = 2;

export const dalleMiniTokens = (
  config: DalleMiniConfig,
  weights: Weights<DalleMiniSpec>,
  precision: Precision = 'float32',
): TokenModel => ({
  precision,
  startToken: config.imageStart,
  imageLength: config.grid ** 2,
  imageVocabulary: config.imageVocabulary,
  variables: Array.from(weights.entries, ([name, { variable }]) => ({ name, variable })).flatMap(
    ({ name, variable }) => (name.startsWith('decoder.') ? [variable] : []),
  ),
  textInput: (tokens) => textInput(tokens, config),
  openRows: (runtime, name, rows) => new DalleMiniRows(runtime, name, { config, weights, rows, precision }),
});

/**
 * Opens a checkpoint.
 * @param precision type of the products, and in which weights and KV cache are kept
 * @throws DataError when its weights do not fit its configuration
 */
export async function openDalleMini(
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
  await weights.loadEach(checkpoint.tensors(checkpoint.bestPart, weights.expected(), false));
  return {
    what: 'DALL·E mini',
    hash: hashOf(checkpoint),
    tokenizer,
    textLength: model.textLength - ENDS,
    tokens: dalleMiniTokens(model, weights, precision),
    codec,
    defaults: sample,
    // Its training left captions out, so that guidance has its unconditional side.
    checkSettings() {},
  };
}
