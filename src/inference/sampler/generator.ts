// A generator: a model that predicts the tokens of an image one after the other, with all that reads its prompts and
// makes pixels of its tokens. The sampler (sampler.ts, pipeline.ts) does the rest, alike for every generator.
//   R rows of the sampler, T text positions, J given image tokens, V vocabulary

import type { Precision } from '../../engine/graph/precision.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import type { DvaeCodec } from '../dvae/codec.ts';
import type { LoadedWeights } from './loaded-weights.ts';
import type { SampleSettings, SamplingSettings } from './sampling.ts';

/** How the next image token is predicted. */
export interface TokenModel {
  /** Tokens of an image, and codes that each is one of. */
  readonly imageLength: number;
  readonly imageVocabulary: number;
  /** The weights that steps read. */
  readonly variables: readonly Variable[];
  /** Type of the products, and in which the weights and the rows are kept. */
  readonly precision: Precision;
  /**
   * Token that the first step reads, at place −1. Such a model has each image token, given ones included, go through
   * `step`, and `prompt` reads the text alone; other models return the logits of the first token from `prompt`.
   */
  readonly startToken?: number | undefined;
  /** The weights, where a sampler may give those that steps read back once they are packed (`releases`). */
  readonly loaded?: LoadedWeights | undefined;
  /** The text input of a prompt: its tokens with padding. Of no tokens: the empty caption of guidance. */
  textInput(tokens: readonly number[]): Int32Array;
  /**
   * Declares the state of `rows` rows: the KV cache.
   * @param name prefix of its variables, unique in the runtime
   */
  openRows(runtime: Runtime, name: string, rows: number): TokenRows;
}

export interface PromptInputs {
  /** int32, see `textInput` */
  readonly text_1T: Tensor2D;
  /** int32, the first tokens of the image, if any are given */
  readonly image_1J?: Tensor2D | undefined;
  /** The row of the sampler that keeps what the next tokens need, int32. */
  readonly row: Scalar;
  /** What the part before returned. */
  readonly stream?: Tensor | undefined;
}

/** A part of a prompt's pass, and the weights that it reads. */
export interface PromptPart {
  readonly weights: readonly Variable[];
  /** @returns what the next part reads; of the last one the logits of the next token */
  run(inputs: PromptInputs): { readonly stream?: Tensor; readonly logits_1V?: Tensor2D };
}

/** The rows of a sampler, each an image or its negative prompt. The methods are for bodies of compiled functions. */
export interface TokenRows {
  /** The state, which is zeros at first: see `clearedOnce`. */
  readonly variables: readonly Variable[];
  /** The pass of a prompt, in its order. The last part has the logits, unless the model has a `startToken`. */
  readonly prompt: readonly PromptPart[];
  /** Replaces each row r by row from_R[r]. */
  repeat(from_R: Tensor1D): void;
  /**
   * Decodes one token of every row.
   * @param token_R int32, the tokens at `place`
   * @param place int32 scalar, position in the image
   * @returns logits of the next token, [R, V]. A row does not depend on the others, bit for bit
   */
  step(token_R: Tensor1D, place: Scalar): Tensor2D;
}

/** Completes captions. */
export interface CaptionModel {
  /** Classes of a text token. */
  readonly classes: number;
  /** @param name prefix of its variables, unique in the runtime */
  open(runtime: Runtime, name: string, settings: SamplingSettings): CaptionCompletion;
}

export interface CaptionCompletion {
  /** The tokens of a whole caption that begins with `tokens`. @param signal stops it with an AbortError */
  complete(tokens: readonly number[], seed: number, signal?: AbortSignal): Promise<number[]>;
}

export interface Generator {
  /** Name of the kind of model, for messages. */
  readonly what: string;
  /** Identifies the weights. */
  readonly hash: string;
  readonly tokenizer: Tokenizer;
  /** Most tokens of a prompt. */
  readonly textLength: number;
  readonly tokens: TokenModel;
  /** Makes pixels of image tokens. */
  readonly codec: DvaeCodec;
  /** Undefined where the model does not predict text. */
  readonly captions?: CaptionModel | undefined;
  /** Settings that the weights were published to be sampled with, where the user gives none. */
  readonly defaults?: Partial<Pick<SampleSettings, 'guidance' | 'topK'>> | undefined;
  /** @throws UsageError for settings that the model was not trained for */
  checkSettings(settings: SampleSettings): void;
}
