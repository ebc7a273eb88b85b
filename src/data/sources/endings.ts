// What the name of a file says about it, by one rule for folders and archives.

import { extname } from 'node:path/posix';

/** Extensions of images that are decoded (decode.ts). */
export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set([
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jfif',
  '.png',
  '.webp',
  '.avif',
  '.tif',
  '.tiff',
  '.gif',
  '.bmp',
  '.dib',
]);

/** Extensions of images of other kinds: such files are counted, and named for what they are. */
const OTHER_IMAGES: ReadonlySet<string> = new Set(
  (
    '.heic .heif .jp2 .j2k .jpf .jpx .jxl .jxr .psd .svg .ico .tga .exr .hdr .ppm .pgm .pbm .pnm .pcx .dds .raw ' +
    '.dng .cr2 .cr3 .nef .arw .orf .rw2 .pjpeg .pjp .apng'
  ).split(' '),
);

/** Extensions of caption files, the first that has text wins. */
export const CAPTION_EXTENSIONS = ['.txt', '.caption', '.json', '.cls'] as const;
export type CaptionExtension = (typeof CAPTION_EXTENSIONS)[number];

export type FileRole = 'image' | 'other-image' | 'caption' | 'other';

/** The role of an extension in lower case, with its dot. */
export function roleOf(extension: string): FileRole {
  if (IMAGE_EXTENSIONS.has(extension)) return 'image';
  if ((CAPTION_EXTENSIONS as readonly string[]).includes(extension)) return 'caption';
  return OTHER_IMAGES.has(extension) ? 'other-image' : 'other';
}

/** The extension of a file name or path in lower case, with its dot; empty when it has none. */
export const extensionOf = (name: string): string => extname(name).toLowerCase();

/** A name without its extension. */
export const stemOf = (name: string): string => name.slice(0, name.length - extensionOf(name).length);

/** Whether a path relative to its source is hidden: a file or folder of it begins with a dot, as macOS's `._a.jpg`. */
export const isHidden = (name: string): boolean =>
  name
    .split('/')
    .some((part) => part === '__MACOSX' || (part.startsWith('.') && part !== '.' && part !== '..'));

/** The same name in the two Unicode forms that file systems give it compares equal. */
export const normalized = (name: string): string => name.normalize('NFC');
