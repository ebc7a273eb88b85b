// Captions as text: one a line. Of several captions of an image, each epoch picks one.

import { printable } from '../../util/printable.ts';
import { RandomStream } from '../../util/random.ts';
import type { CaptionLack } from '../image.ts';
import type { CaptionExtension } from './endings.ts';
import { CAPTION_EXTENSIONS } from './endings.ts';

/** Longer texts are not captions. */
export const MAX_TEXT_BYTES = 2 ** 20;

/** Names of captions in lists and in JSON beside images, as other programs write them. */
export const CAPTION_NAMES = ['caption', 'captions', 'text', 'title'] as const;

/** The lines of a text that are not blank, trimmed: the captions of a caption file. */
export const textLines = (text: string): string[] =>
  text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** The captions in a cell or value of a list, where only line feeds separate captions. */
export const cellCaptions = (text: string): string[] =>
  textLines(text.replaceAll(/\r\n?/g, (end) => (end === '\r' ? ' ' : '\n')));

/** Bytes that are no text in an encoding that is read; the message says which encodings are. */
export class EncodingError extends Error {}

/**
 * Decodes the bytes of a text: UTF-8, with or without its mark, or UTF-16 with its mark.
 * @throws EncodingError for other bytes
 */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
  let text: string;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new EncodingError('not UTF-8 text; save it as UTF-8', { cause });
  }
  if (text.includes('\0')) throw new EncodingError('not text: it has zero bytes');
  return text;
}

export interface FoundCaptions {
  readonly captions: readonly string[];
  readonly lack?: CaptionLack;
  /** Of the file that the captions come from, or that should have them. */
  readonly extension?: CaptionExtension;
  /** What is the matter with them. */
  readonly reason?: string;
  /** Contents of a .cls file: the class. */
  readonly label?: string;
}

/**
 * The captions of an image from the files beside it: the lines of .txt, or of .caption, or the `caption` of .json, or
 * the words of .cls; an empty file gives way to the next, one that is no text does not.
 * @param files the files that there are, by extension
 * @param read the contents of one of them; what is given way to is not read
 */
export async function findCaptions<F>(
  files: Partial<Readonly<Record<CaptionExtension, F>>>,
  read: (file: F) => Promise<Uint8Array>,
): Promise<FoundCaptions> {
  let found: FoundCaptions = { captions: [], lack: 'no-caption' };
  let label: { label?: string } = {};
  for (const extension of CAPTION_EXTENSIONS) {
    const file = files[extension];
    const isSettled = found.captions.length > 0 || found.lack === 'unreadable-caption';
    if (file === undefined || (isSettled && extension !== '.cls')) continue;
    try {
      const bytes = await read(file);
      if (bytes.length > MAX_TEXT_BYTES) throw new EncodingError(`longer than ${MAX_TEXT_BYTES} bytes`);
      const text = decodeText(bytes);
      const captions = extension === '.json' ? jsonCaptions(text) : textLines(text);
      const [only] = captions;
      if (extension === '.cls' && only !== undefined) {
        label = { label: only };
        if (/^\d+$/.test(only)) continue; // an index into a list of classes
      }
      if (isSettled) continue;
      if (captions.length > 0) found = { captions, extension };
      else if (found.lack === 'no-caption') found = { captions: [], lack: 'empty-caption', extension };
    } catch (error) {
      if (!(error instanceof EncodingError)) throw error;
      if (!isSettled) found = { captions: [], lack: 'unreadable-caption', extension, reason: error.message };
    }
  }
  return { ...found, ...label };
}

/** What is wrong with a text that JSON.parse refuses, whose messages quote it. */
export const notJson = (cause: unknown): string => `not JSON: ${printable((cause as Error).message, 100)}`;

/** The captions in the JSON beside an image, as img2dataset writes it. Throws EncodingError when it is not JSON. */
function jsonCaptions(text: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new EncodingError(notJson(cause), { cause });
  }
  return recordCaptions(value);
}

/** The captions of a JSON object: a text or a list of texts, under one of the usual names or `name`. */
export function recordCaptions(record: unknown, name?: string): string[] {
  const names = name === undefined ? CAPTION_NAMES : [name];
  for (const key of names) {
    const value = (record as Readonly<Record<string, unknown>> | null)?.[key];
    const texts = (Array.isArray(value) ? value : [value]).filter((text) => typeof text === 'string');
    const captions = texts.flatMap(cellCaptions);
    if (captions.length > 0) return captions;
  }
  return [];
}

/**
 * The caption of an image in an epoch: uniform over its captions, the same for the same seed, epoch and key.
 * @param captions at least one
 */
export function pickCaption(captions: readonly string[], seed: number, epoch: number, key: string): string {
  const index =
    captions.length > 1 ? new RandomStream(seed, 'which caption', epoch, key).integer(captions.length) : 0;
  return captions[index] as string;
}
