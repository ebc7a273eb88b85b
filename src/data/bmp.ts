// BMP, Windows' format, which sharp does not read: 1 to 32 bits a pixel, with a palette or masks, not run-length encoded.
// The packages for it misread what people have: they pass over the offset of the pixels, or know few depths.

import { ImageFault } from './image.ts';

export interface BmpImage {
  /** RGB, height × width × 3, or RGBA where the file has alpha. */
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
}

const damaged = (what: string): ImageFault =>
  new ImageFault(`truncated or damaged (${what})`, { kind: 'damaged-image' });
const refused = (what: string): ImageFault =>
  new ImageFault(`BMP ${what}, which is not decoded; convert it to PNG`, { kind: 'image-format' });

/** `compression` of the header: plain, with masks for the colours, with masks for colours and alpha. */
const [PLAIN, MASKS, ALPHA_MASKS] = [0, 3, 6];
/** Masks of plain 16-bit and 32-bit pixels. */
const DEFAULT_MASKS: Readonly<Record<number, readonly number[]>> = {
  16: [0x7c00, 0x03e0, 0x001f, 0],
  32: [0x00ff0000, 0x0000ff00, 0x000000ff, 0],
};

interface Header {
  readonly width: number;
  readonly height: number;
  /** Rows are stored from the top down. */
  readonly isTopDown: boolean;
  readonly bits: number;
  /** Offset of the pixels. */
  readonly offset: number;
  /** Red, green, blue and alpha of a pixel of 16 or 32 bits. */
  readonly masks: readonly number[];
  /** Bytes of the palette: 3 or 4 an entry. */
  readonly palette: Uint8Array;
  readonly entryBytes: number;
}

/**
 * Reads the pixels of a BMP.
 * @param maxPixels images of more are at fault
 * @throws ImageFault when it is damaged, too large, or run-length encoded
 */
export function decodeBmp(data: Uint8Array, maxPixels: number): BmpImage {
  const view = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const header = readHeader(view);
  const { width, height, bits, offset, isTopDown, masks } = header;
  if (width < 1 || height < 1) throw damaged(`${width} × ${height} pixels`);
  if (width * height > maxPixels)
    throw new ImageFault(`more than ${maxPixels} pixels`, { kind: 'image-size' });
  const stride = Math.ceil((width * bits) / 32) * 4;
  if (offset + stride * (height - 1) + Math.ceil((width * bits) / 8) > view.length)
    throw damaged(`${view.length} bytes, too few for ${width} × ${height} pixels`);
  const channels = bits >= 16 && masks[3] !== 0 ? 4 : 3;
  const pixels = new Uint8Array(width * height * channels);
  const read =
    bits <= 8 ? paletteReader(view, header) : bits === 24 ? readBgr(view) : maskReader(view, header);
  for (let y = 0; y < height; y++) {
    const row = offset + (isTopDown ? y : height - 1 - y) * stride;
    for (let x = 0; x < width; x++) read(row, x, pixels, (y * width + x) * channels);
  }
  return { pixels, width, height, channels };
}

function readHeader(view: Buffer): Header {
  const size = view.length >= 18 ? view.readUInt32LE(14) : 0;
  if (size < 12 || view.length < 14 + size) throw damaged('its header is cut short');
  const offset = view.readUInt32LE(10);
  const isOld = size === 12;
  const bits = view.readUInt16LE(isOld ? 24 : 28);
  if (![1, 4, 8, 16, 24, 32].includes(bits)) throw refused(`of ${bits} bits a pixel`);
  const height = isOld ? view.readUInt16LE(20) : view.readInt32LE(22);
  const compression = isOld ? PLAIN : view.readUInt32LE(30);
  const hasMasks = compression === MASKS || compression === ALPHA_MASKS;
  if (compression !== PLAIN && !(hasMasks && (bits === 16 || bits === 32))) throw refused('with compression');
  const masks = hasMasks ? readMasks(view, size, compression) : (DEFAULT_MASKS[bits] ?? [0, 0, 0, 0]);
  const entryBytes = isOld ? 3 : 4;
  const used = isOld ? 0 : view.readUInt32LE(46);
  const entries = bits > 8 ? 0 : used === 0 ? 2 ** bits : Math.min(used, 2 ** bits);
  const palette = view.subarray(14 + size, 14 + size + entries * entryBytes);
  return {
    width: isOld ? view.readUInt16LE(18) : view.readInt32LE(18),
    height: Math.abs(height),
    isTopDown: height < 0,
    bits,
    offset,
    masks,
    palette,
    entryBytes,
  };
}

/** Masks in the header, or right after one of 40 bytes. */
function readMasks(view: Buffer, size: number, compression: number): number[] {
  const count = size >= 56 || compression === ALPHA_MASKS ? 4 : 3;
  if (view.length < 54 + 4 * count) throw damaged('its masks are cut short');
  const masks = Array.from({ length: count }, (_, i) => view.readUInt32LE(54 + 4 * i));
  return [...masks, 0].slice(0, 4);
}

/** Writes the pixel `x` of the row at byte `row` to `pixels` at `at`. */
type PixelReader = (row: number, x: number, pixels: Uint8Array, at: number) => void;

function paletteReader(view: Buffer, { bits, palette, entryBytes }: Header): PixelReader {
  const perByte = 8 / bits;
  return (row, x, pixels, at) => {
    const byte = view[row + Math.floor(x / perByte)] as number;
    const index = (byte >> (8 - bits * ((x % perByte) + 1))) & (2 ** bits - 1);
    for (let c = 0; c < 3; c++) pixels[at + c] = palette[index * entryBytes + 2 - c] ?? 0;
  };
}

const readBgr =
  (view: Buffer): PixelReader =>
  (row, x, pixels, at) => {
    for (let c = 0; c < 3; c++) pixels[at + c] = view[row + 3 * x + 2 - c] as number;
  };

function maskReader(view: Buffer, { bits, masks }: Header): PixelReader {
  const fields = masks
    .filter((mask) => mask !== 0)
    .map((mask) => ({ shift: Math.log2((mask & -mask) >>> 0), mask, channel: masks.indexOf(mask) }))
    .map(({ shift, mask, channel }) => ({ shift, mask, channel, largest: mask >>> shift }));
  return (row, x, pixels, at) => {
    const value = bits === 16 ? view.readUInt16LE(row + 2 * x) : view.readUInt32LE(row + 4 * x);
    for (const { shift, mask, channel, largest } of fields)
      pixels[at + channel] = Math.round((255 * ((value & mask) >>> shift)) / largest);
  };
}
