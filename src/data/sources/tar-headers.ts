// The members of a tar by their headers alone: names, sizes and places, without reading the contents. Formats: v7,
// ustar, GNU (long names, base-256 sizes) and PAX (POSIX.1-2001). tar-stream reads every byte of an archive, and keeps
// a PAX header of any size in memory; here an index costs 512 bytes a member, and headers have a bound.

import type { FileHandle } from 'node:fs/promises';
import { printable } from '../../util/printable.ts';

export interface TarMember {
  readonly name: string;
  readonly type: 'file' | 'hard-link' | 'link' | 'folder' | 'sparse' | 'other';
  /** Of links: what they lead to, as it is written. */
  readonly target: string;
  /** Of the contents, in bytes of the archive. */
  readonly offset: number;
  readonly size: number;
}

/** An archive that is no tar, or whose rest cannot be read; the message says why. */
export class TarError extends Error {}

const BLOCK = 512;
/** Of a header's extension: a long name, or PAX records. */
const MAX_EXTENSION_BYTES = 2 ** 20;
/** Bytes read at a time: the headers of a run of small members come together. */
const CHUNK_BYTES = 2 ** 16;

const TYPES: Readonly<Record<string, TarMember['type']>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'hard-link',
  '2': 'link',
  '5': 'folder',
  S: 'sparse',
};

/** Reads the members in their order. Throws TarError at the first header that is none, or a member that is cut short. */
export async function* tarMembers(file: FileHandle): AsyncGenerator<TarMember, void> {
  const { size: end } = await file.stat();
  const read = blockReader(file);
  let global: PaxRecords = {};
  let own: PaxRecords = {};
  let position = 0;
  while (position + BLOCK <= end) {
    const header = await read(position, BLOCK);
    if (header.length < BLOCK) throw new TarError(`it ends inside a header, at byte ${position}`);
    position += BLOCK;
    if (header.every((byte) => byte === 0)) {
      if (position + BLOCK > end || (await read(position, BLOCK)).every((byte) => byte === 0)) return;
      continue; // a single block of zeros: archives joined one after the other
    }
    if (!hasChecksum(header)) {
      const what = position === BLOCK ? 'not a tar file' : `damaged at byte ${position - BLOCK}`;
      throw new TarError(what);
    }
    const flag = String.fromCharCode(header[156] as number);
    const size =
      own.size ?? (flag === 'g' || flag === 'x' ? undefined : global.size) ?? readNumber(header, 124, 12);
    if (!Number.isSafeInteger(size) || size < 0) throw new TarError(`damaged at byte ${position - BLOCK}`);
    const next = position + Math.ceil(size / BLOCK) * BLOCK;
    if ('xgXLK'.includes(flag)) {
      if (size > MAX_EXTENSION_BYTES)
        throw new TarError(`a header of ${size} bytes at byte ${position - BLOCK}`);
      const bytes = await read(position, size);
      if (bytes.length < size) throw new TarError(`it ends inside a header, at byte ${position}`);
      if (flag === 'L') own = { ...own, path: readText(bytes, 0, size) };
      else if (flag === 'K') own = { ...own, linkpath: readText(bytes, 0, size) };
      else if (flag === 'g') global = { ...global, ...readPax(bytes) };
      else own = { ...own, ...readPax(bytes) };
      position = next;
      continue;
    }
    const isContent = TYPES[flag] === 'file' || TYPES[flag] === 'sparse';
    const records = { ...global, ...own };
    own = {};
    const name = records.path ?? readName(header);
    if (position + size > end && (isContent || size > 0))
      throw new TarError(`it ends inside the member ${printable(name, 100)}`);
    yield {
      name,
      type:
        name.endsWith('/') && flag !== '1' ? 'folder' : records.sparse ? 'sparse' : (TYPES[flag] ?? 'other'),
      target: records.linkpath ?? readText(header, 157, 100),
      offset: position,
      size,
    };
    // Links have sizes in some archives, and contents in none.
    position = TYPES[flag] === 'hard-link' || TYPES[flag] === 'link' ? position : next;
  }
  if (position === 0) throw new TarError(end === 0 ? 'it is empty' : 'not a tar file');
}

/** Reads bytes through one buffer. The result may be shorter at the end of the file. */
function blockReader(file: FileHandle): (position: number, length: number) => Promise<Uint8Array> {
  let held = new Uint8Array(0);
  let start = 0;
  return async (position, length) => {
    const isHeld = position >= start && position + length <= start + held.length;
    if (!isHeld) {
      const buffer = new Uint8Array(Math.max(CHUNK_BYTES, length));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      held = buffer.subarray(0, bytesRead);
      start = position;
    }
    return held.subarray(position - start, position - start + length);
  };
}

/** Sum of the header's bytes, those of the sum itself taken as blanks; old programs summed signed bytes. */
function hasChecksum(header: Uint8Array): boolean {
  let [sum, signed] = [0, 0];
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 32 : (header[i] as number);
    sum += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const written = readNumber(header, 148, 8);
  return written === sum || written === signed;
}

/** An octal number, or GNU's base 256, which has the first bit set. NaN for anything else. */
function readNumber(bytes: Uint8Array, at: number, length: number): number {
  const field = bytes.subarray(at, at + length);
  if ((field[0] as number) & 0x80) {
    return field.subarray(1).reduce((value, byte) => value * 256 + byte, (field[0] as number) & 0x7f);
  }
  const text = String.fromCharCode(...field)
    .replace(/\0.*$/s, '')
    .trim();
  if (text === '') return 0;
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

/** UTF-8 up to the first zero; bytes of another encoding as characters of the same numbers, so that names stay apart. */
function readText(bytes: Uint8Array, at: number, length: number): string {
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return decode(end < 0 ? field : field.subarray(0, end));
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Buffer.from(bytes).toString('latin1');
  }
}

/** The name of a header, with ustar's prefix. */
function readName(header: Uint8Array): string {
  const name = readText(header, 0, 100);
  const isUstar = readText(header, 257, 5) === 'ustar' && header[262] === 0;
  const prefix = isUstar ? readText(header, 345, 155) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

interface PaxRecords {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
  /** GNU's sparse files, which have holes. */
  readonly sparse?: true;
}

/** Records `LENGTH KEY=VALUE\n`, LENGTH being that of the whole record. */
function readPax(bytes: Uint8Array): PaxRecords {
  const records: { path?: string; linkpath?: string; size?: number; sparse?: true } = {};
  let at = 0;
  while (at < bytes.length) {
    const blank = bytes.indexOf(32, at);
    const length = blank < 0 ? Number.NaN : Number(decode(bytes.subarray(at, blank)));
    if (!(length > blank - at) || at + length > bytes.length) break; // zeros, or no record
    const record = bytes.subarray(blank + 1, at + length - 1);
    const equals = record.indexOf(61);
    const [key, value] = [decode(record.subarray(0, equals)), decode(record.subarray(equals + 1))];
    if (key === 'path' || key === 'linkpath') records[key] = value;
    else if (key === 'size') records.size = Number(value);
    else if (key.startsWith('GNU.sparse.')) records.sparse = true;
    at += length;
  }
  return records;
}
