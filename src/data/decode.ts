// Image files as square RGB pixels. Images are turned upright, flattened onto white, converted to 8-bit sRGB, cropped
// and reduced with Lanczos. Memory stays bounded for very large images: sharp reads files in strips, and JPEG and WebP
// are reduced while they are decoded.

import sharp, { type Metadata, type Sharp } from 'sharp';
import { semaphore } from '../util/concurrent.ts';
import type { RandomStream } from '../util/random.ts';
import { type BmpImage, decodeBmp } from './bmp.ts';
import { contentOf } from './content.ts';
import { enlarge, type Interpolation } from './enlarge.ts';
import { ImageFault, type ImageFaultKind, type ImageFile } from './image.ts';
import { assertDecodable, assertKnownPixels } from './image-kinds.ts';
import { reorient } from './orientation.ts';
import { readImageFile } from './read-image.ts';

// Several images are decoded at a time: a thread for each takes less of the processor than several for one.
sharp.concurrency(1);

/** About 24,000 × 20,000: a limit for files that would decode to more than fits in memory. */
const MAX_PIXELS = 480_000_000;
/** Progressive JPEG, interlaced PNG, GIF, AVIF and BMP are decoded in memory as a whole: up to 9 bytes a pixel. */
const MAX_WHOLE_PIXELS = 100_000_000;
const MIN_SIDE = 4;

export type Crop = 'published' | 'random' | 'center' | 'none' | 'pad';

export interface DecodeOptions {
  /** Pixels on a side of the result. */
  readonly size: number;
  /**
   * A random square, the central square, the whole image squeezed into a square (`none`), or the whole image with
   * padding beside it, its longer side reduced to `size` (`pad`). `published` is the random
   * crop of the dVAE's training (arXiv 2102.12092, listing 1): a random square of the whole shorter side, reduced to
   * 9/8 to 12/8 of `size`, and a random square of `size` of it.
   */
  readonly crop: Crop;
  /** Smallest side of a random square, as a share of the shorter side (default 0.4). */
  readonly cropScale?: number;
  /** Picks a random square; required for `random` and `published`. */
  readonly random?: RandomStream;
  /**
   * The reduction before the crop: Lanczos to rounded sides as in openai/DALL-E (the default), or bicubic to sides
   * rounded down as in openai/CLIP.
   */
  readonly preprocessing?: 'dall-e' | 'clip';
  /** Of `clip` preprocessing (default bicubic). */
  readonly interpolation?: Interpolation;
  /** Level of the padding, 0 to 255 (default 0). */
  readonly fill?: number;
  /** Codes on a side: an image with fewer pixels on a side is at fault. */
  readonly grid?: number;
}

/** Format and size of an image file. */
export interface ImageInfo {
  readonly format: string;
  /** Pixels, upright. */
  readonly width: number;
  readonly height: number;
}

/** An image as it is stored, to be turned by its EXIF orientation (1 … 8). */
interface StoredImage {
  readonly format: string;
  readonly width: number;
  readonly height: number;
  readonly orientation: number;
}

function decodeFault(error: unknown): ImageFault {
  if (error instanceof ImageFault) return error;
  const message = (error as Error).message.split('\n')[0]!;
  const fault = (text: string, kind: ImageFaultKind): ImageFault =>
    new ImageFault(text, { kind, cause: error });
  if (/unsupported image format|empty/i.test(message))
    return fault('not an image of a known format', 'not-an-image');
  if (/\blabq?\b/i.test(message))
    return fault('Lab colours, which are not decoded; convert it to RGB', 'image-format');
  if (/pixel limit/i.test(message)) return fault(`more than ${MAX_PIXELS} pixels`, 'image-size');
  const detail = message === 'Unknown error' ? '' : ` (${message})`;
  return fault(`truncated or damaged${detail}`, 'damaged-image');
}

/** An image file, or its pixels where sharp does not read the format. */
interface ImageData {
  readonly data: Uint8Array;
  readonly raw?: Pick<BmpImage, 'width' | 'height' | 'channels'>;
}

function openData(data: Uint8Array): ImageData {
  assertDecodable(data);
  if (contentOf(data) !== 'bmp') return { data };
  const { pixels, width, height, channels } = decodeBmp(data, MAX_WHOLE_PIXELS);
  return { data: pixels, raw: { width, height, channels } };
}

function openSharp({ data, raw }: ImageData): Sharp {
  return sharp(data, { limitInputPixels: MAX_PIXELS, failOn: 'error', ...(raw && { raw }) });
}

/** The contents of an image file as sharp takes them. Throws ImageFault. */
export function openImage(data: Uint8Array): Sharp {
  return openSharp(openData(data));
}

async function readMetadata(data: ImageData, grid = 0): Promise<StoredImage> {
  let metadata: Metadata;
  try {
    metadata = await openSharp(data).metadata();
  } catch (error) {
    throw decodeFault(error);
  }
  const { width, height, orientation = 1, isProgressive, compression } = metadata;
  const format = data.raw
    ? 'bmp'
    : metadata.format === 'heif' && compression === 'av1'
      ? 'avif'
      : metadata.format;
  assertKnownPixels(metadata);
  const unfit = (text: string): ImageFault => new ImageFault(text, { kind: 'image-size' });
  if (Math.min(width, height) < MIN_SIDE)
    throw unfit(`only ${width} × ${height} pixels; ${MIN_SIDE} on a side are the least`);
  if (Math.min(width, height) < grid)
    throw unfit(`only ${width} × ${height} pixels, fewer than the ${grid} × ${grid} codes it would become`);
  const isWhole = isProgressive || format === 'gif' || metadata.format === 'heif';
  if (isWhole && width * height > MAX_WHOLE_PIXELS)
    throw unfit(`${isProgressive ? 'progressive' : format}, and more than ${MAX_WHOLE_PIXELS} pixels`);
  return { format, width, height, orientation };
}

/** Half, rounded to even as in torchvision's centre crop, so that codes equal those of the published preprocessing. */
const halfToEven = (extra: number): number => (extra % 4 === 3 ? (extra + 1) / 2 : Math.floor(extra / 2));

/** To the closest integer, halves to the even one, as Python rounds. */
const roundToEven = (x: number): number => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

interface Frame {
  /** The whole image, reduced. */
  readonly width: number;
  readonly height: number;
  /** Offset of the square in it. */
  readonly left: number;
  readonly top: number;
}

/**
 * The size of the whole image at which the square has `size` pixels on a side, and the offset of the square. With the
 * reduction before the crop, the decoder does most of it.
 */
function frameFor(stored: StoredImage, options: DecodeOptions): Frame {
  const { size, crop, cropScale = 0.4, random } = options;
  if (crop === 'none') return { width: size, height: size, left: 0, top: 0 };
  if (crop === 'pad') return paddedFrame(stored, size);
  const shorter = Math.min(stored.width, stored.height);
  const whole = options.preprocessing === 'clip' ? Math.floor : Math.round;
  const scaled = (side: number): { width: number; height: number } => ({
    width: Math.max(size, whole((stored.width * size) / side)),
    height: Math.max(size, whole((stored.height * size) / side)),
  });
  if (crop === 'center') {
    const { width, height } = scaled(shorter);
    return { width, height, left: halfToEven(width - size), top: halfToEven(height - size) };
  }
  if (random === undefined) throw new TypeError('a random crop needs a random stream');
  if (crop === 'published') return publishedFrame(stored, size, random);
  const { width, height } = scaled(random.uniform(cropScale, 1) * shorter);
  return { width, height, left: random.integer(width - size + 1), top: random.integer(height - size + 1) };
}

/** The offset is negative where there is padding (open_clip, ResizeKeepRatio and CenterCropOrPad). */
function paddedFrame(stored: StoredImage, size: number): Frame {
  const ratio = Math.max(stored.width / size, stored.height / size);
  const width = Math.max(1, roundToEven(stored.width / ratio));
  const height = Math.max(1, roundToEven(stored.height / ratio));
  const offset = (side: number): number => -Math.floor((size - side) / 2);
  return { width, height, left: offset(width), top: offset(height) };
}

/** Images smaller than `size` are enlarged to it; the paper does not mention them. */
function publishedFrame({ width, height }: StoredImage, size: number, random: RandomStream): Frame {
  const shorter = Math.min(width, height);
  const square = { left: random.integer(width - shorter + 1), top: random.integer(height - shorter + 1) };
  const max = Math.min(shorter, Math.round((12 / 8) * size));
  const min = Math.min(shorter, Math.round((9 / 8) * size));
  const side = Math.max(size, min + random.integer(max - min + 1));
  const scale = side / shorter;
  return {
    width: Math.max(side, Math.round(width * scale)),
    height: Math.max(side, Math.round(height * scale)),
    left: Math.floor(square.left * scale) + random.integer(side - size + 1),
    top: Math.floor(square.top * scale) + random.integer(side - size + 1),
  };
}

/** Decodes the contents of an image file; see `decodeImage`. */
export async function decodeBuffer(
  bytes: Uint8Array,
  options: DecodeOptions,
): Promise<{ pixels: Uint8Array; info: ImageInfo }> {
  const data = openData(bytes);
  const stored = await readMetadata(data, options.grid);
  const frame = frameFor(stored, options);
  try {
    const pixels = padded(await cropped(data, stored, frame, options), frame, options);
    // Turned after the crop: turning the whole image would need all of it in memory.
    return { pixels: reorient(pixels, options.size, stored.orientation), info: upright(stored) };
  } catch (error) {
    throw decodeFault(error);
  }
}

/** The part of the reduced image that lies in the square, as it is stored. */
async function cropped(
  data: ImageData,
  stored: StoredImage,
  frame: Frame,
  options: DecodeOptions,
): Promise<Uint8Array> {
  const { size, preprocessing, interpolation = 'bicubic' } = options;
  const { width, height } = frame;
  const [left, top] = [Math.max(0, frame.left), Math.max(0, frame.top)];
  const part = { left, top, width: Math.min(size, width), height: Math.min(size, height) };
  const isEnlarged = preprocessing === 'clip' && (width > stored.width || height > stored.height);
  const from = { width: Math.min(width, stored.width), height: Math.min(height, stored.height) };
  const reduced = isEnlarged
    ? openSharp(data).resize(from.width, from.height, { fit: 'fill', kernel: kernelOf(options) })
    : openSharp(data)
        .resize(width, height, { fit: 'fill', kernel: kernelOf(options) })
        .extract(part);
  const { buffer, byteOffset, length } = await reduced
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer();
  const pixels = new Uint8Array(buffer, byteOffset, length);
  return isEnlarged ? enlarge(pixels, { from, to: { width, height }, part }, interpolation) : pixels;
}

const kernelOf = ({ preprocessing, interpolation }: DecodeOptions) => {
  if (preprocessing !== 'clip') return 'lanczos3';
  return interpolation === 'bilinear' ? 'linear' : 'cubic';
};

/** Puts an image that is smaller than the square at its offset, and the fill beside it. */
function padded(pixels: Uint8Array, { width, height, left, top }: Frame, options: DecodeOptions): Uint8Array {
  const { size, fill = 0 } = options;
  if (width >= size && height >= size) return pixels;
  const square = new Uint8Array(size * size * 3).fill(fill);
  for (let y = 0; y < height; y++)
    square.set(pixels.subarray(y * width * 3, (y + 1) * width * 3), ((y - top) * size - left) * 3);
  return square;
}

function upright({ format, width, height, orientation }: StoredImage): ImageInfo {
  return orientation >= 5 ? { format, width: height, height: width } : { format, width, height };
}

/** Bound on images decoded at a time by all callers together: more than sharp has threads would only take memory. */
const decodeSlots = semaphore(6);

/**
 * Decodes an image file.
 * @returns RGB, size × size × 3
 * @throws ImageFault for a file that is missing, unreadable, truncated, too large, too small, or no image
 */
export function decodeImage(file: string | ImageFile, options: DecodeOptions): Promise<Uint8Array> {
  const image = typeof file === 'string' ? { path: file } : file;
  return decodeSlots(async () => (await decodeBuffer(await readImageFile(image), options)).pixels);
}
