// The header of a safetensors file: its length in eight bytes, then JSON with each tensor's type, shape and byte range.
// Format: https://github.com/huggingface/safetensors. Nothing in a file is trusted.

import { z } from 'zod';
import { DataError } from '../util/errors.ts';
import { bytesPerElement, ELEMENT_TYPES, elementCount, type TensorType, typeOfCode } from './dtype.ts';

/** The format's bound, so that a hostile length cannot exhaust the memory. */
export const MAX_HEADER_BYTES = 100_000_000;
export const LENGTH_BYTES = 8;
const METADATA = '__metadata__';

export interface TensorInfo {
  readonly dtype: TensorType;
  readonly shape: readonly number[];
}

/** A byte range, counted from the end of the header. */
interface Range {
  readonly begin: number;
  readonly end: number;
}
/** A tensor and its byte range. */
export interface PlacedTensor extends TensorInfo, Range {}

/** A tensor of a type that mm does not read; `code` is the type's in the file. */
export interface UnreadableTensor extends Range {
  readonly code: string;
  readonly shape: readonly number[];
}

export interface Header {
  readonly tensors: ReadonlyMap<string, PlacedTensor | UnreadableTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const entrySchema = z.strictObject({
  dtype: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
  shape: z.array(z.int().min(0)),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
});
const metadataSchema = z.record(z.string(), z.string());

export function malformed(what: string, where: string): DataError {
  return new DataError(`not a valid safetensors file: ${what}`, {
    code: 'E_FILE_DAMAGED',
    where,
    fix: 'download or write it again',
  });
}

/** The first key that an object of the valid JSON `text` has twice; JSON.parse would keep the last. */
function duplicateKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (const [token, string, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*(:?)|[{}[\]]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (colon && string !== undefined) {
      const key = JSON.parse(string) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}

function parseJson(bytes: Uint8Array, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
    const twice = duplicateKey(text);
    if (twice !== undefined) throw malformed(`the header has "${twice}" twice`, where);
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw malformed('its header is not JSON', where);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw malformed('its header is not a JSON object', where);
  }
  return value as Record<string, unknown>;
}

function parseEntry(name: string, entry: unknown, where: string): PlacedTensor | UnreadableTensor {
  const parsed = entrySchema.safeParse(entry);
  if (!parsed.success)
    throw malformed(`the entry of tensor ${name} is not dtype, shape and data_offsets`, where);
  const { dtype: code, shape, data_offsets } = parsed.data;
  const [begin, end] = data_offsets;
  const dtype = typeOfCode(code);
  if (dtype === undefined) {
    if (end < begin) throw malformed(`tensor ${name} has ${end - begin} bytes`, where);
    return { code, shape, begin, end };
  }
  const count = elementCount(shape);
  if (count === undefined || end - begin !== count * bytesPerElement(dtype)) {
    throw malformed(`tensor ${name} of shape [${shape}] and type ${code} has ${end - begin} bytes`, where);
  }
  return { dtype, shape, begin, end };
}

/**
 * Parses a header's JSON. A type that mm does not read makes its tensor unreadable, not the file. The tensors must fill the `dataBytes` after the header without overlaps or gaps.
 * @throws DataError
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, where: string): Header {
  const { [METADATA]: rawMetadata = {}, ...entries } = parseJson(bytes, where);
  const metadata = metadataSchema.safeParse(rawMetadata);
  if (!metadata.success) throw malformed('its metadata is not a map of strings', where);
  const tensors = new Map(
    Object.entries(entries).map(([name, entry]) => [name, parseEntry(name, entry, where)] as const),
  );
  let position = 0;
  for (const [name, { begin, end }] of [...tensors].sort(
    ([, a], [, b]) => a.begin - b.begin || a.end - b.end,
  )) {
    if (begin !== position) {
      const fault = begin < position ? 'overlaps the one before it' : 'leaves a gap before it';
      throw malformed(`tensor ${name} ${fault}`, where);
    }
    position = end;
  }
  if (position !== dataBytes) {
    throw malformed(`it has ${dataBytes} bytes of data, and its header says ${position}`, where);
  }
  return { tensors, metadata: metadata.data };
}

/** Memory pages of most systems. */
const PAGE_BYTES = 2 ** 12;
/** A tensor of whole pages and at least so many bytes is placed where a page starts, so that it can be mapped. */
const MIN_PAGED_BYTES = 2 ** 20;

const isPaged = (bytes: number): boolean => bytes >= MIN_PAGED_BYTES && bytes % PAGE_BYTES === 0;

/**
 * Byte ranges of tensors, without gaps, each at a multiple of its element's bytes: the widest elements come first. Where
 * some are of whole pages, these follow those of multiples of eight bytes, and precede the others: readers that compute
 * with the first matrices need the small tensors between them too.
 * @throws RangeError for a shape that is none
 */
export function placeTensors<T extends TensorInfo>(
  tensors: readonly (readonly [name: string, tensor: T])[],
): { readonly name: string; readonly source: T; readonly placed: PlacedTensor }[] {
  const sized = tensors.map(([name, source]) => {
    const count = elementCount(source.shape);
    if (count === undefined) throw new RangeError(`tensor ${name} has shape [${source.shape}]`);
    return { name, source, bytes: count * bytesPerElement(source.dtype) };
  });
  const hasPages = sized.some(({ bytes }) => isPaged(bytes));
  const rank = (bytes: number): number => {
    if (!hasPages || (bytes % 8 === 0 && !isPaged(bytes))) return 0;
    return isPaged(bytes) ? 1 : 2;
  };
  const width = ({ source }: { readonly source: T }): number => bytesPerElement(source.dtype);
  let position = 0;
  return sized
    .sort((a, b) => rank(a.bytes) - rank(b.bytes) || width(b) - width(a))
    .map(({ name, source, bytes }) => {
      const begin = position;
      position += bytes;
      return { name, source, placed: { dtype: source.dtype, shape: source.shape, begin, end: position } };
    });
}

/**
 * The length and the JSON, padded so that the data starts at a multiple of eight bytes, and tensors of whole pages
 * (`placeTensors`) where a page does.
 */
export function encodeHeader(
  tensors: Iterable<readonly [string, PlacedTensor]>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) entries.set(METADATA, metadata);
  let firstOfPages: PlacedTensor | undefined;
  for (const [name, tensor] of tensors) {
    const { dtype, shape, begin, end } = tensor;
    if (entries.has(name) || name === METADATA) throw new RangeError(`the name ${name} is taken`);
    entries.set(name, { dtype: ELEMENT_TYPES[dtype].code, shape, data_offsets: [begin, end] });
    if (isPaged(end - begin)) firstOfPages ??= tensor;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)), 'utf8');
  const [unit, before] = firstOfPages ? [PAGE_BYTES, firstOfPages.begin] : [8, 0];
  const dataStart = Math.ceil((LENGTH_BYTES + json.length + before) / unit) * unit - before;
  const padded = dataStart - LENGTH_BYTES;
  if (padded > MAX_HEADER_BYTES) throw new RangeError(`a header of ${padded} bytes`);
  const bytes = Buffer.alloc(dataStart, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, LENGTH_BYTES);
  return bytes;
}
