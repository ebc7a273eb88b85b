// Completes captions: the joint model models the text as well. The KV cache is that of sampler.ts.
//   B batch, always 1, V vocabulary

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { intScalar } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { captionStart, maxCaptionTokens, padCaption } from '../../models/dalle/config.ts';
import type { dalleSpec } from '../../models/dalle/model.ts';
import type { Weights } from '../../nn/weights.ts';
import { graphSeed } from '../../util/random.ts';
import type { CaptionCompletion } from '../sampler/generator.ts';
import { clearedOnce } from '../sampler/kv-table.ts';
import { type SamplingSettings, sampleTokens } from '../sampler/sampling.ts';
import { cachedTextTokens, decodeTextStep, prefillText } from './decode.ts';
import { KvCache } from './kv-cache.ts';

type Inputs<Name extends string> = Readonly<Record<Name, Tensor>>;

/** Continues captions, one at a time. */
export class CaptionCompleter implements CaptionCompletion {
  readonly #config: DalleModelConfig;
  readonly #clear;
  readonly #first;
  readonly #next;

  /**
   * @param name prefix of its variables, unique in the runtime
   * @param weights which must not change any more
   */
  constructor(
    runtime: Runtime,
    name: string,
    config: DalleModelConfig,
    weights: Weights<ReturnType<typeof dalleSpec>>,
    settings: SamplingSettings,
  ) {
    this.#config = config;
    const cache = new KvCache(runtime, name, config, {
      rows: 1,
      prefix: 0,
      positions: cachedTextTokens(config),
    });
    const sampleNext = (logits_1V: Tensor2D, key: Tensor) => ({
      tokens: sampleTokens(logits_1V, tf.reshape(key, [1, 2]), settings),
    });
    this.#clear = clearedOnce(runtime, name, cache.variables);
    this.#first = runtime.compile(
      `${name}: beginning`,
      ({ text, count, key }: Inputs<'text' | 'count' | 'key'>) => {
        const done = prefillText(weights.read(), text as Tensor2D, count as Scalar, config);
        cache.writePrompt(done.cache, tf.scalar(0, 'int32'));
        return sampleNext(done.logits_BV, key);
      },
    );
    this.#next = runtime.compile(
      `${name}: token`,
      ({ token, position, key }: Inputs<'token' | 'position' | 'key'>) => {
        const token_1 = tf.reshape(token, [1]) as Tensor1D;
        const view = cache.view(position as Scalar);
        return sampleNext(decodeTextStep(weights.read(), view, token_1, position as Scalar, config), key);
      },
      { inOneThread: true, frozen: weights.variables },
    );
  }

  /**
   * Samples the rest of a caption that begins with `tokens`, up to its end or the last text position. Determined by seed
   * and settings.
   * @param tokens at most textLength
   * @param signal stops sampling with an AbortError
   */
  async complete(tokens: readonly number[], seed: number, signal?: AbortSignal): Promise<number[]> {
    const { textLength, textVocabulary, captionTokens } = this.#config;
    const caption = [...tokens];
    const text = padCaption(caption, this.#config);
    await this.#clear();
    while (caption.length < maxCaptionTokens(this.#config)) {
      signal?.throwIfAborted();
      const count = captionStart(this.#config) + caption.length;
      const key = { dtype: 'int32', shape: [2], data: graphSeed(seed, 'text token', count) } as const;
      const sampled =
        caption.length === tokens.length
          ? await this.#first({
              text: { dtype: 'int32', shape: [1, textLength], data: text },
              count: intScalar(count),
              key,
            })
          : await this.#next({ token: intScalar(caption.at(-1) as number), position: intScalar(count), key });
      const token = sampled.tokens.data[0] as number;
      // The classes after the vocabulary are padding: the caption has ended.
      if (token >= textVocabulary || token === captionTokens?.end) break;
      caption.push(token);
    }
    return caption;
  }
}
