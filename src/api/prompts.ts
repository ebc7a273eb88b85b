// The tokens of a call's prompts. Each prompt is encoded once.

import type { DallePipeline } from '../inference/dalle/pipeline.ts';

interface EncodedPrompt {
  readonly tokens: readonly number[];
  /** Whether the prompt is longer than the model reads, and was cut. */
  readonly isTruncated: boolean;
}

export class EncodedPrompts {
  readonly #pipeline: Pick<DallePipeline, 'config' | 'encode' | 'isTooLong'>;
  readonly #encoded = new Map<string, EncodedPrompt>();

  constructor(pipeline: Pick<DallePipeline, 'config' | 'encode' | 'isTooLong'>) {
    this.#pipeline = pipeline;
  }

  /**
   * Encodes a prompt.
   * @throws UsageError, DataError as `DallePipeline.encode` does
   */
  add(prompt: string, truncate: boolean): void {
    if (this.#encoded.has(prompt)) return;
    const tokens = this.#pipeline.encode(prompt, truncate);
    // Only a prompt that fills the model's text can have been cut.
    const isFull = truncate && tokens.length === this.#pipeline.config.model.textLength;
    this.#encoded.set(prompt, { tokens, isTruncated: isFull && this.#pipeline.isTooLong(prompt) });
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
