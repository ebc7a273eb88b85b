// Model sections of the joint Transformers that the benches time.

import type { z } from 'zod';
import type { dalleModelSchema } from '../../src/config/dalle-model.ts';

type Section = z.input<typeof dalleModelSchema>;

/** 64 + 256 tokens, 6.9 M parameters. */
export const SMALL = {
  textLength: 64,
  textVocabulary: 4096,
  grid: 16,
  imageVocabulary: 1024,
  width: 256,
  layers: 4,
  heads: 4,
  attention: ['full'],
  gated: true,
} satisfies Section;
/** 256 + 1024 tokens. */
export const LONG = {
  textLength: 256,
  textVocabulary: 4096,
  grid: 32,
  imageVocabulary: 1024,
  width: 512,
  layers: 8,
  heads: 8,
} satisfies Section;
/** The published order of layers, and full attention in its place. */
export const PUBLISHED = {
  attention: ['row', 'column', 'row', 'row'],
  lastAttention: 'conv',
} satisfies Partial<Section>;
export const FULL = { attention: ['full'] } satisfies Partial<Section>;
