// The names of a DALLE's weights in DALLE-pytorch. Its logits of text and image are one matrix, of which each position
// uses one part; ours are two matrices. With tied embeddings, that matrix holds the embeddings of both too.

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { layer, norm, type Rule, times } from '../rules.ts';

/** Wrappers of a layer, whose number depends on the options of the model. */
const WRAPPERS = /(?<=\.)fn\./g;

/** Positions of image tokens, as axial_positional_embedding named them until 0.3 (January 2025). */
const FORMER_POSITIONS = /^image_pos_emb\.weights_(?=\d+$)/;

/** image_pos_emb.weights_0 → image_pos_emb.weights.0 */
export const currentName = (name: string): string => name.replace(FORMER_POSITIONS, 'image_pos_emb.weights.');

/** transformer.layers.layers.0.1.fn.fn.net.0.weight → transformer.layers.layers.0.1.net.0.weight */
export const withoutWrappers = (name: string): string => name.replace(WRAPPERS, '');

/** Angles of rotary positions, which are computed. */
export const ROTARY_TABLE = 'transformer.pos_emb';
/** Tables of rotary positions, and the tied head under the names of the embeddings. */
export const UNUSED = /^transformer\.pos_emb$|\.freqs$|^(text|image)_emb\.linear\./;
/** Positions of the start token and of the text. */
export const TEXT_POSITIONS = 'text_pos_emb.weight';

/** One residual branch: its scale, its normalizations and its layers. */
const branch = (ours: string, theirs: string, layers: readonly Rule[]): Rule[] => [
  [`${ours}_scale`, `${theirs}.scale`, 'scale'],
  ...norm(`${ours}_norm`, `${theirs}.norm`),
  ...norm(`${ours}_end_norm`, `${theirs}.norm_out`),
  ...layers,
];

function block(ours: string, attention: string, feedForward: string): Rule[] {
  return [
    ...branch(`${ours}.attention`, attention, [
      [`${ours}.attention.qkv.weight`, `${attention}.to_qkv.weight`, 'linear'],
      ...layer(`${ours}.attention.output`, `${attention}.to_out.0`),
    ]),
    ...branch(`${ours}.feed_forward`, feedForward, [
      ...layer(`${ours}.feed_forward.expand`, `${feedForward}.net.0`),
      ...layer(`${ours}.feed_forward.contract`, `${feedForward}.net.3`),
    ]),
  ];
}

/** Rules for the names without wrappers. They include tensors of every option; a model lacks some of them. */
export function dallePytorchRules(model: DalleModelConfig): Rule[] {
  const { textVocabulary, textLength, imageVocabulary, layers, reversible } = model;
  const texts = textVocabulary + textLength;
  const textRows = [[0, texts]] as const;
  const imageRows = [[texts, imageVocabulary]] as const;
  return [
    model.tiedEmbeddings
      ? ['text_embedding', 'text_emb.linear.weight', 'plain', textRows]
      : ['text_embedding', 'text_emb.weight', 'plain'],
    model.tiedEmbeddings
      ? ['image_embedding', 'text_emb.linear.weight', 'plain', imageRows]
      : ['image_embedding', 'image_emb.weight', 'plain'],
    // Row 0 is the position of the start token.
    ['text_position', TEXT_POSITIONS, 'plain', [[1, textLength]]],
    ['image_row', 'image_pos_emb.weights.0', 'row'],
    ['image_column', 'image_pos_emb.weights.1', 'column'],
    ...times(layers, (i) => {
      const at = `transformer.layers.${reversible ? 'blocks' : 'layers'}.${i}`;
      const [attention, feedForward] = reversible ? [`${at}.f.net`, `${at}.g.net`] : [`${at}.0`, `${at}.1`];
      return block(`blocks.block_${i + 1}`, attention as string, feedForward as string);
    }),
    ...norm('norm', 'to_logits.0'),
    ...layer('text_head', 'to_logits.1', 'linear', textRows),
    ...layer('image_head', 'to_logits.1', 'linear', imageRows),
  ];
}
