// Schemas and validation errors in words. Reads the JSON Schema that zod derives, which has descriptions, defaults and
// bounds in one plain form.

import { z } from 'zod';
import { closest } from '../util/suggest.ts';
import { isMap } from './kind.ts';
import { newNamesOf, newValueOf } from './retired.ts';
import type { Path } from './source.ts';

export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The schema of the values that users write, before defaults are filled in. */
export function inputSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
}

/** The alternatives of a union, or the schema itself. */
export function alternatives(schema: JsonSchema): JsonSchema[] {
  return (schema.anyOf ?? schema.oneOf ?? [schema]) as JsonSchema[];
}

/** The schemas of the value at `path`; none for an unknown path. */
export function schemasAt(root: JsonSchema, path: Path): JsonSchema[] {
  return path.reduce<JsonSchema[]>(
    (schemas, key) =>
      schemas.flatMap((schema) => {
        const child = schema.type === 'array' ? schema.items : schema.properties?.[String(key)];
        return typeof child === 'object' && !Array.isArray(child) ? alternatives(child) : [];
      }),
    alternatives(root),
  );
}

function bounds(schema: JsonSchema): string {
  const parts: string[] = [];
  if (schema.exclusiveMinimum !== undefined) parts.push(`above ${schema.exclusiveMinimum}`);
  if (schema.minimum !== undefined && schema.minimum !== Number.MIN_SAFE_INTEGER)
    parts.push(`at least ${schema.minimum}`);
  if (schema.exclusiveMaximum !== undefined) parts.push(`below ${schema.exclusiveMaximum}`);
  if (schema.maximum !== undefined && schema.maximum !== Number.MAX_SAFE_INTEGER)
    parts.push(`at most ${schema.maximum}`);
  if (schema.multipleOf !== undefined) parts.push(`a multiple of ${schema.multipleOf}`);
  return parts.map((part) => `, ${part}`).join('');
}

function listOf(schema: JsonSchema): string {
  const items = schema.items as JsonSchema | undefined;
  const { minItems: min, maxItems: max } = schema;
  const count = min === undefined ? '' : min === max ? ` of ${min}` : ` of at least ${min}`;
  return items === undefined ? `a list${count}` : `a list${count}, each ${typeInWords(items)}`;
}

/** A type in words: "an integer, above 0". */
export function typeInWords(schema: JsonSchema): string {
  const choices = schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
  if (choices !== undefined) return choices.map((choice) => JSON.stringify(choice)).join(' or ');
  switch (schema.type) {
    case 'integer':
      return `an integer${bounds(schema)}`;
    case 'number':
      return `a number${bounds(schema)}`;
    case 'string':
      return 'text';
    case 'boolean':
      return 'true or false';
    case 'array':
      return listOf(schema);
    case 'object':
      return 'a map of keys';
    default: {
      const types = alternatives(schema);
      return types[0] === schema ? 'another value' : types.map(typeInWords).join(' or ');
    }
  }
}

function received(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (value === null) return 'nothing';
  if (typeof value === 'object') return 'a map';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** The dotted paths of all keys of this name in the whole schema. */
function pathsOfKey(schema: JsonSchema, name: string, prefix = ''): string[] {
  return alternatives(schema).flatMap((alternative) =>
    Object.entries(alternative.properties ?? {}).flatMap(([key, child]) => [
      ...(key === name ? [prefix + key] : []),
      ...(typeof child === 'object' ? pathsOfKey(child, name, `${prefix}${key}.`) : []),
    ]),
  );
}

function unknownKey(root: JsonSchema, parent: Path, key: string): string {
  const known = schemasAt(root, parent).flatMap((schema) => Object.keys(schema.properties ?? {}));
  const path = [...parent, key].join('.');
  const now = newNamesOf(path).find((name) => schemasAt(root, name.split('.')).length > 0);
  if (now !== undefined) return `${path} was renamed to ${now}`;
  const near = closest(key, known) ?? pathsOfKey(root, key)[0];
  const hint = near === undefined ? `known here: ${known.join(', ')}` : `did you mean ${near}?`;
  return `${path} is not a known key; ${hint}`;
}

/** The reason that a schema's metadata `refused`, texts by value, has against a value. */
const reasonAgainst = (value: unknown, refused: unknown): string[] =>
  typeof value === 'string' && isMap(refused) && Object.hasOwn(refused, value)
    ? [String(refused[value])]
    : [];

function wrongValue(root: JsonSchema, path: Path, value: unknown): string {
  const schemas = schemasAt(root, path);
  const expected = [...new Set(schemas.map(typeInWords))].join(' or ');
  const name = path.join('.') || 'the configuration';
  if (value === undefined) return `${name} is missing; expected ${expected}`;
  const choices = schemas.flatMap((schema) => schema.enum ?? []).map(String);
  const now = newValueOf(path.filter((key) => typeof key === 'string').join('.'), value);
  if (now !== undefined && choices.includes(now)) return `${name}: ${value} was renamed to ${now}`;
  const reason = schemas.flatMap(({ refused }) => reasonAgainst(value, refused))[0];
  if (reason !== undefined) return `${name}: ${reason}`;
  const near = typeof value === 'string' ? closest(value, choices) : undefined;
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  return `${name}: expected ${expected}, received ${received(value)}${hint}`;
}

/** A finding about a configuration; `isKey` when it is about a key, not its value. */
export interface Explanation {
  readonly path: Path;
  readonly isKey: boolean;
  readonly what: string;
}

function valueAt(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (node, key) =>
      node !== null && typeof node === 'object' && Object.hasOwn(node, key)
        ? (node as Record<PropertyKey, unknown>)[key]
        : undefined,
    tree,
  );
}

/** One of zod's issues with `tree` in words. */
export function explain(issue: z.core.$ZodIssue, root: JsonSchema, tree: unknown): Explanation[] {
  const { path } = issue;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        isKey: true,
        what: unknownKey(root, path, key),
      }));
    case 'custom':
      return [
        {
          path,
          isKey: false,
          what: path.length === 0 ? issue.message : `${path.join('.')}: ${issue.message}`,
        },
      ];
    default:
      return [{ path, isKey: false, what: wrongValue(root, path, valueAt(tree, path)) }];
  }
}
