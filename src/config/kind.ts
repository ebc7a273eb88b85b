// The head of a configuration that mm wrote, `kind` and `version`; and the kind of files without one.

import type { z } from 'zod';

export const MODEL_KINDS = ['dvae', 'dalle', 'clip'] as const;
export type ModelKind = (typeof MODEL_KINDS)[number];

/** Version 2 begins with `kind` and `version`; version 1 has neither, and the keys of before (retired.ts). */
export const CONFIG_VERSION = 2;

export const isModelKind = (value: unknown): value is ModelKind =>
  (MODEL_KINDS as readonly unknown[]).includes(value);

/** The kind that a training schema is of, from its metadata; undefined for other schemas. */
export function kindOfSchema(schema: z.ZodType): ModelKind | undefined {
  const kind = schema.meta()?.kind;
  return isModelKind(kind) ? kind : undefined;
}

/** The value of `kind` at the root of a configuration, where it is one. */
export function declaredKind(tree: unknown): ModelKind | undefined {
  const kind = isMap(tree) ? tree.kind : undefined;
  return isModelKind(kind) ? kind : undefined;
}

/**
 * The kind of a configuration. Files without `kind` (run folders of version 1, files written by hand) are told apart
 * by their model section: only a dVAE has an `imageSize`, only a CLIP the towers `image` and `text`.
 */
export function kindOfConfig(tree: unknown): ModelKind {
  const declared = declaredKind(tree);
  if (declared) return declared;
  const { model, data } = isMap(tree) ? tree : {};
  if (isMap(data) && 'dvae' in data) return 'dalle';
  if (isMap(model) && 'imageSize' in model) return 'dvae';
  return isMap(model) && 'image' in model && 'text' in model ? 'clip' : 'dalle';
}

export const isMap = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);
