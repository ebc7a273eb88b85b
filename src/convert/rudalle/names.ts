// The names of a ruDALL-E's weights in the package `rudalle`. Its logits of text and image are one matrix, of which each
// position uses one part; ours are two matrices.
//
// Version 3 has no start token: the first of its text positions always has the token <BOS>, which is our start token.
// The padding token of that position is never used, and no row of ours.

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { layer, norm, type Rows, type Rule, times } from '../rules.ts';

/** Masks of attention, which are computed. */
export const MASKS = /^transformer\.(row|col|conv)_mask$/;

/** Names that every ruDALL-E has. */
export const ANCHORS = [
  'image_row_embeddings.weight',
  'text_pos_embeddings.weight',
  'transformer.layers.0.attention.query_key_value.weight',
] as const;

function block(ours: string, theirs: string, sandwichNorm: boolean): Rule[] {
  return [
    ...norm(`${ours}.attention_norm`, `${theirs}.input_layernorm`),
    ...layer(`${ours}.attention.qkv`, `${theirs}.attention.query_key_value`),
    ...layer(`${ours}.attention.output`, `${theirs}.attention.dense`),
    ...norm(`${ours}.feed_forward_norm`, `${theirs}.post_attention_layernorm`),
    ...layer(`${ours}.feed_forward.expand`, `${theirs}.mlp.dense_h_to_4h`),
    ...layer(`${ours}.feed_forward.contract`, `${theirs}.mlp.dense_4h_to_h`),
    ...(sandwichNorm
      ? [
          ...norm(`${ours}.attention_end_norm`, `${theirs}.before_first_addition_layernorm`),
          ...norm(`${ours}.feed_forward_end_norm`, `${theirs}.before_second_addition_layernorm`),
        ]
      : []),
  ];
}

/** @param textPositions of theirs: ours, and with version 3 that of the start token */
export function rudalleRules(model: DalleModelConfig, textPositions: number): Rule[] {
  const { textVocabulary, textLength, imageVocabulary, layers, sandwichNorm } = model;
  const skipped = textPositions - textLength;
  const textRows: Rows = [
    [0, textVocabulary],
    [textVocabulary + skipped, textLength],
  ];
  const imageRows: Rows = [[textVocabulary + textPositions, imageVocabulary]];
  return [
    ['text_embedding', 'text_embeddings.weight', 'plain', textRows],
    ['text_position', 'text_pos_embeddings.weight', 'plain', [[1, textLength]]],
    ['image_embedding', 'image_embeddings.weight', 'plain'],
    ['image_row', 'image_row_embeddings.weight', 'plain'],
    ['image_column', 'image_col_embeddings.weight', 'plain'],
    ...times(layers, (i) => block(`blocks.block_${i + 1}`, `transformer.layers.${i}`, sandwichNorm)),
    ...norm('norm', 'transformer.final_layernorm'),
    ...norm('head_norm', 'to_logits.0'),
    ...layer('text_head', 'to_logits.1', 'linear', textRows),
    ...layer('image_head', 'to_logits.1', 'linear', imageRows),
  ];
}
