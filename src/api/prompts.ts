// The tokens of a call's prompts. Each prompt is encoded once.

import type { EncodedPrompt, Pipeline } from '../inference/sampler/pipeline.ts';

export class EncodedPrompts {
  readonly #pipeline: Pick<Pipeline, 'encode'>;
  readonly #encoded = new Map<string, EncodedPrompt>();

  constructor(pipeline: Pick<Pipeline, 'encode'>) {
    this.#pipeline = pipeline;
  }

  /**
   * Encodes a prompt.
   * @throws UsageError, DataError as `Pipeline.encode` does
   */
  add(prompt: string, truncate: boolean): void {
    if (this.#encoded.has(prompt)) return;
    this.#encoded.set(prompt, this.#pipeline.encode(prompt, { truncate }));
  }

  tokens(prompt: string): readonly number[] {
    return this.#of(prompt).tokens;
  }

  isTruncated(prompt: string): boolean {
    return this.#of(prompt).isTruncated;
  }

  #of(prompt: string): EncodedPrompt {
    const encoded = this.#encoded.get(prompt);
    if (!encoded) throw new Error('this prompt was not added');
    return encoded;
  }
}
