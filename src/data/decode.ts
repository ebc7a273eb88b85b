// Image files as square RGB pixels. Images are turned upright, flattened onto white, converted to 8-bit sRGB, cropped
// and reduced with Lanczos. Memory stays bounded for very large images: sharp reads files in strips, and JPEG and WebP
// are reduced while they are decoded (reduced-jpeg.ts).

import sharp, { type Sharp } from 'sharp';
import { semaphore } from '../util/concurrent.ts';
import { type BmpImage, decodeBmp } from './bmp.ts';
import { contentOf } from './content.ts';
import { enlarge, type Interpolation } from './enlarge.ts';
import { type Frame, type FrameOptions, frameFor, jpegRatio } from './frame.ts';
import { ImageFault, type ImageFaultKind, type ImageFile } from './image.ts';
import { assertDecodable, assertKnownPixels, isPlainJpeg, isWholeJpeg } from './image-kinds.ts';
import { type ImageHeader, jpegHeader } from './jpeg-header.ts';
import { reorient } from './orientation.ts';
import { readImageFile } from './read-image.ts';
import type { JpegDecoder } from './reduced-jpeg.ts';

// Several images are decoded at a time: a thread for each takes less of the processor than several for one.
sharp.concurrency(1);
/** Bound on images that sharp decodes at a time: more than it has threads would only take memory. */
const sharpSlots = semaphore(6);

/** About 24,000 × 20,000: a limit for files that would decode to more than fits in memory. */
const MAX_PIXELS = 480_000_000;
/** Progressive JPEG, interlaced PNG, GIF, AVIF and BMP are decoded in memory as a whole: up to 9 bytes a pixel. */
const MAX_WHOLE_PIXELS = 100_000_000;
/** Larger images are decoded in strips by sharp, not as a whole. */
const MAX_DECODED_PIXELS = 24_000_000;
const MIN_SIDE = 4;

export interface DecodeOptions extends FrameOptions {
  /** Of `clip` preprocessing (default bicubic). */
  readonly interpolation?: Interpolation;
  /** Level of the padding, 0 to 255 (default 0). */
  readonly fill?: number;
  /** Codes on a side: an image with fewer pixels on a side is at fault. */
  readonly grid?: number;
  /** Decodes JPEG files that become much smaller, instead of sharp. */
  readonly jpeg?: JpegDecoder;
  /** Receives the pixels, size × size × 3; a new array by default. */
  readonly place?: Uint8Array | undefined;
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
  /** A JPEG file whose pixels are as they should be once it is decoded. */
  readonly isPlainJpeg: boolean;
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
  let metadata: ImageHeader;
  try {
    metadata = (data.raw ? undefined : jpegHeader(data.data)) ?? (await openSharp(data).metadata());
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
  return { format, width, height, orientation, isPlainJpeg: isPlainJpeg(metadata) };
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
    const image = await decodedJpeg(bytes, stored, frame, options);
    const square = padded(await cropped(image ?? data, stored, frame, options), frame, options);
    // Turned after the crop: turning the whole image would need all of it in memory.
    const pixels = reorient(square, options.size, stored.orientation);
    return { pixels: placed(pixels, options.place), info: upright(stored) };
  } catch (error) {
    throw decodeFault(error);
  }
}

/**
 * Pixels of a JPEG file that becomes half as large or smaller; undefined where sharp is to decode it. CLIP's
 * preprocessing gets all pixels, as the published one does.
 */
async function decodedJpeg(
  bytes: Uint8Array,
  stored: StoredImage,
  frame: Frame,
  { size, jpeg, preprocessing, place }: DecodeOptions,
): Promise<ImageData | undefined> {
  if (jpeg === undefined || !stored.isPlainJpeg || !isWholeJpeg(bytes)) return undefined;
  const most = jpegRatio(stored, frame);
  const ratio = preprocessing === 'clip' ? most && 1 : most;
  if (!ratio || stored.width * stored.height > MAX_DECODED_PIXELS * ratio ** 2) return undefined;
  const isSquare = Math.ceil(stored.width / ratio) === size && Math.ceil(stored.height / ratio) === size;
  const image = await jpeg(bytes, ratio, isSquare ? place : undefined);
  return image && { data: image.pixels, raw: { width: image.width, height: image.height, channels: 3 } };
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
  if (data.raw?.channels === 3 && data.raw.width === width && data.raw.height === height)
    return partOf(data.data, width, part, options.place);
  const isEnlarged = preprocessing === 'clip' && (width > stored.width || height > stored.height);
  const from = { width: Math.min(width, stored.width), height: Math.min(height, stored.height) };
  const reduced = isEnlarged
    ? openSharp(data).resize(from.width, from.height, { fit: 'fill', kernel: kernelOf(options) })
    : openSharp(data)
        .resize(width, height, { fit: 'fill', kernel: kernelOf(options) })
        .extract(part);
  const flat = reduced.flatten({ background: '#ffffff' }).toColourspace('srgb').raw({ depth: 'uchar' });
  const { buffer, byteOffset, length } = await sharpSlots(() => flat.toBuffer());
  const pixels = new Uint8Array(buffer, byteOffset, length);
  return isEnlarged ? enlarge(pixels, { from, to: { width, height }, part }, interpolation) : pixels;
}

/** A part of an RGB image that is `width` pixels wide, in `place` if it fills it. */
function partOf(
  pixels: Uint8Array,
  width: number,
  part: { left: number; top: number; width: number; height: number },
  place: Uint8Array | undefined,
): Uint8Array {
  const bytes = part.width * part.height * 3;
  if (pixels.length === bytes) return pixels;
  const result = place?.length === bytes ? place : new Uint8Array(bytes);
  for (let y = 0; y < part.height; y++) {
    const start = ((part.top + y) * width + part.left) * 3;
    result.set(pixels.subarray(start, start + part.width * 3), y * part.width * 3);
  }
  return result;
}

/** Pixels in their place, where they have one. */
function placed(pixels: Uint8Array, place: Uint8Array | undefined): Uint8Array {
  if (place === undefined || pixels === place) return pixels;
  place.set(pixels);
  return place;
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

/** Bound on images read and decoded at a time by all callers together: some are read while others are decoded. */
const decodeSlots = semaphore(12);

/**
 * Decodes an image file.
 * @returns RGB, size × size × 3
 * @throws ImageFault for a file that is missing, unreadable, truncated, too large, too small, or no image
 */
export function decodeImage(file: string | ImageFile, options: DecodeOptions): Promise<Uint8Array> {
  const image = typeof file === 'string' ? { path: file } : file;
  return decodeSlots(async () => (await decodeBuffer(await readImageFile(image), options)).pixels);
}
