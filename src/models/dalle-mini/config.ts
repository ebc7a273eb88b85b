// Sizes and inputs that follow from DALL·E mini's configuration.

import type { DalleMiniConfig } from '../../config/dalle-mini.ts';

/** Tokens of a prompt's start and end. */
const ENDS = 2;

/** Most tokens of a prompt, without start and end. */
export const promptLength = ({ textLength }: DalleMiniConfig): number => textLength - ENDS;

/** Number of image tokens of an image. */
export const imageLength = ({ grid }: DalleMiniConfig): number => grid ** 2;

/** A prompt's tokens between start and end, then padding: int32[textLength]. @param tokens at most `promptLength` */
export function textInput(tokens: readonly number[], config: DalleMiniConfig): Int32Array {
  const { textLength, textStart, textEnd, textPadding } = config;
  const input = new Int32Array(textLength).fill(textPadding);
  input.set([textStart, ...tokens, textEnd]);
  return input;
}
