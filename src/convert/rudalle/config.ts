// The configuration of a ruDALL-E, from the shapes of its weights and its version.

import { type DalleModelConfig, dalleModelSchema } from '../../config/dalle-model.ts';
import { UsageError } from '../../util/errors.ts';
import { misfit, type StateDict } from '../tensors.ts';
import { KERNEL_SIZE, type RudalleVersion } from './version.ts';

/** Heads by width: of Kandinsky, of the XL models, and of the package's `dummy`. */
const HEADS: Readonly<Record<number, number>> = { 3840: 60, 2048: 16, 768: 12 };

/** Ids of <BOS> and <EOS>; constants of the package. */
export const START = 2;
const END = 3;

/** The sizes that both versions have. */
export function sizesOf(tensors: StateDict, where: string) {
  const rows = (name: string): number => {
    const [count] = tensors.get(`${name}.weight`)?.shape ?? [];
    if (count === undefined) throw misfit(`${name}.weight is missing`, where, 'a ruDALL-E');
    return count;
  };
  const layers = [...tensors.keys()].flatMap((name) => /^transformer\.layers\.(\d+)\./.exec(name)?.[1] ?? []);
  // One more than the text has: the start token of version 2.
  const textPositions = rows('text_pos_embeddings') - 1;
  return {
    textPositions,
    textVocabulary: rows('text_embeddings') - textPositions,
    grid: rows('image_row_embeddings'),
    imageVocabulary: rows('image_embeddings'),
    width: rows('transformer.final_layernorm'),
    layers: new Set(layers).size,
    sandwichNorm: tensors.has('transformer.layers.0.before_first_addition_layernorm.weight'),
  };
}

/**
 * @param heads given; by default those of the published model of this width
 * @throws UsageError E_HEADS_MISSING, DataError where the sizes make no model
 */
export function rudalleConfig(
  { textPositions, ...sizes }: ReturnType<typeof sizesOf>,
  version: RudalleVersion,
  heads: number | undefined,
  where: string,
): DalleModelConfig {
  const { width, layers } = sizes;
  const known = heads ?? HEADS[width];
  if (known === undefined || width % known !== 0)
    throw new UsageError(
      known === undefined
        ? `the weights do not say their attention heads, and no published ruDALL-E is ${width} wide`
        : `a model ${width} wide has no ${known} heads of one width`,
      {
        code: known === undefined ? 'E_HEADS_MISSING' : 'E_OPTION_VALUE',
        option: 'heads',
        where,
        fix: 'set `heads` to num_attention_heads of the model',
      },
    );
  const isSecond = version === 'v2';
  const parsed = dalleModelSchema.safeParse({
    ...sizes,
    textLength: isSecond ? textPositions : textPositions - 1,
    heads: known,
    attention: ['row', 'column', 'row', 'row'],
    // The package gives the last layer its own kind unless it is one of columns.
    ...(layers % 4 !== 2 && { lastAttention: isSecond ? 'conv-wrapped' : 'conv' }),
    kernelSize: KERNEL_SIZE,
    attentionGrid: isSecond ? 'target' : 'input',
    // Of the softmax and the embeddings (cogview_pb_relax), which change no result.
    stable: true,
    activation: 'gelu-tanh',
    secondNorm: true,
    paddingTargets: 'each',
    zeroIsPadding: true,
    captionTokens: { ...(isSecond && { start: START }), end: END },
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw misfit(`${issue?.path.join('.')}: ${issue?.message}`, where, 'a ruDALL-E');
}
