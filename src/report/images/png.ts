// PNG files with metadata in text chunks, which other programs show, and file names for them.

import { readFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { DataError } from '../../util/errors.ts';
import { writeFileAtomic } from '../../util/files.ts';
import { graphemes } from './text.ts';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Bytes of the signature and the header chunk, after which text chunks are inserted. */
const HEADER_END = 8 + 4 + 4 + 13 + 4;

export interface PngOptions {
  /** Factor that the image is enlarged by, each pixel to a square. */
  readonly scale?: number;
  /** Text chunks by keyword: 1 to 79 printable ASCII characters; values are any text. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes RGB pixels, rows × columns × 3, to a PNG file, atomically.
 * @throws RangeError when the pixels do not match the size, or a keyword is not valid
 */
export async function writePng(
  path: string,
  pixels: Uint8Array,
  width: number,
  height: number,
  options: PngOptions = {},
): Promise<void> {
  await writeFileAtomic(path, await encodePng(pixels, width, height, options));
}

/** Encodes RGB pixels as `writePng` does, in memory. */
export async function encodePng(
  pixels: Uint8Array,
  width: number,
  height: number,
  { scale = 1, metadata = {} }: PngOptions = {},
): Promise<Buffer> {
  checkPixels(pixels, width, height);
  const png = await sharp(pixels, { raw: { width, height, channels: 3 } })
    .resize(Math.round(width * scale), Math.round(height * scale), { kernel: 'nearest', fit: 'fill' })
    .png()
    .toBuffer();
  const chunks = Object.entries(metadata).map(([keyword, text]) => textChunk(keyword, text));
  return Buffer.concat([png.subarray(0, HEADER_END), ...chunks, png.subarray(HEADER_END)]);
}

/** @throws RangeError when the pixels are not rows × columns × 3. */
export function checkPixels(pixels: Uint8Array, width: number, height: number): void {
  if (pixels.length !== width * height * 3)
    throw new RangeError(`expected ${height} × ${width} × 3 values, received ${pixels.length}`);
}

function textChunk(keyword: string, text: string): Buffer {
  if (!/^[!-~](?:[ -~]{0,77}[!-~])?$/.test(keyword))
    throw new RangeError(`not a PNG keyword: ${JSON.stringify(keyword)}`);
  // tEXt is Latin-1 and read by everything; iTXt is UTF-8 (its four zero bytes: no compression, no language).
  if (/^[\n -~]*$/.test(text)) return chunk('tEXt', Buffer.from(`${keyword}\0${text}`, 'latin1'));
  return chunk('iTXt', Buffer.from(`${keyword}\0\0\0\0\0${text}`, 'utf8'));
}

function chunk(type: string, data: Buffer): Buffer {
  const result = Buffer.alloc(12 + data.length);
  result.writeUInt32BE(data.length, 0);
  result.write(type, 4, 'latin1');
  data.copy(result, 8);
  result.writeUInt32BE(crc32(result.subarray(4, 8 + data.length)), 8 + data.length);
  return result;
}

/**
 * The RGB pixels of a PNG file, rows × columns × 3.
 * @throws DataError when it cannot be decoded
 */
export async function readPngPixels(path: string): Promise<Buffer> {
  try {
    return await sharp(path).removeAlpha().toColourspace('srgb').raw().toBuffer();
  } catch (cause) {
    throw new DataError('the image cannot be decoded', {
      code: 'E_IMAGE_DAMAGED',
      where: path,
      fix: 'check the file',
      cause,
    });
  }
}

/**
 * The text chunks of a PNG file, by keyword. Compressed ones, which `writePng` never writes, are ignored.
 * @throws DataError when the file is not a whole PNG
 */
export async function readPngMetadata(path: string): Promise<Record<string, string>> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new DataError('the image cannot be read', {
      code: 'E_UNREADABLE',
      where: path,
      fix: 'check the path',
      cause: error,
    });
  });
  const broken = (what: string): DataError =>
    new DataError(what, { code: 'E_PNG_DAMAGED', where: path, fix: 'write or download the file again' });
  if (!bytes.subarray(0, 8).equals(SIGNATURE)) throw broken('not a PNG file');
  const metadata: Record<string, string> = {};
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) throw broken('the PNG file is cut short');
    const end = at + 8 + bytes.readUInt32BE(at);
    if (end + 4 > bytes.length) throw broken('the PNG file is cut short');
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (type === 'IEND') return metadata;
    const entry = decodeText(type, bytes.subarray(at + 8, end));
    if (entry) {
      if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end))
        throw broken("a text chunk's checksum is wrong");
      metadata[entry.keyword] = entry.text;
    }
    at = end + 4;
  }
}

function decodeText(type: string, data: Buffer): { keyword: string; text: string } | undefined {
  const split = data.indexOf(0);
  if ((type !== 'tEXt' && type !== 'iTXt') || split < 0) return undefined;
  const keyword = data.toString('latin1', 0, split);
  if (type === 'tEXt') return { keyword, text: data.toString('latin1', split + 1) };
  const language = data.indexOf(0, split + 3);
  const translated = data.indexOf(0, language + 1);
  const compressed = data[split + 1] !== 0;
  if (compressed || language < 0 || translated < 0) return undefined;
  return { keyword, text: data.toString('utf8', translated + 1) };
}

/** Width and height in pixels, from the header of an encoded PNG. */
export function pngSize(png: Uint8Array): { width: number; height: number } {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

const MAX_NAME_BYTES = 100;

/**
 * A file name for a prompt in any script, without extension: `0007-a-small-red-circle`. The index comes first: names
 * sort in order, differ on file systems that ignore case, and are never reserved ones such as `con`.
 */
export function safeFileName(prompt: string, index: number): string {
  const kept = prompt
    .normalize('NFC')
    .replaceAll(
      /[^\p{L}\p{N}\p{M}\p{Join_Control}\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}]+/gu,
      '-',
    )
    .replaceAll(/^-+|-+$/g, '');
  let name = `${String(index).padStart(4, '0')}-`;
  for (const character of graphemes(kept.toLowerCase())) {
    if (Buffer.byteLength(name + character) > MAX_NAME_BYTES) break;
    name += character;
  }
  return name.replace(/-+$/, '');
}
