// What the first bytes of a file say it is.

/** Compressions that are named, with the command that unpacks them to standard output. */
export const COMPRESSIONS = { zstd: 'zstd -dc', bzip2: 'bzip2 -dc', xz: 'xz -dc', lz4: 'lz4 -dc' } as const;

export type Content =
  | 'tar'
  | 'gzip'
  | keyof typeof COMPRESSIONS
  | 'parquet'
  | 'arrow'
  | 'zip'
  | '7z'
  | 'rar'
  | 'hdf5'
  | 'pickle'
  | 'text-utf16'
  | 'lfs-pointer'
  | 'web-page'
  | 'jpeg'
  | 'png'
  | 'gif'
  | 'webp'
  | 'tiff'
  | 'bmp'
  | 'avif'
  | 'heic'
  | 'jxl'
  | 'jp2'
  | 'psd'
  | 'svg'
  | 'ico'
  | 'netpbm'
  | 'pdf'
  | 'exr'
  | 'hdr'
  | 'dds'
  | 'empty'
  | 'unknown';

/** Bytes at the start of a file, as Latin-1, and elsewhere where `at` says so. */
const SIGNATURES: readonly (readonly [content: Content, signature: string, at?: number])[] = [
  ['jpeg', '\xff\xd8\xff'],
  ['png', '\x89PNG\r\n\x1a\n'],
  ['gif', 'GIF87a'],
  ['gif', 'GIF89a'],
  ['webp', 'WEBP', 8],
  ['tiff', 'II*\0'],
  ['tiff', 'MM\0*'],
  ['tiff', 'II+\0'],
  ['tiff', 'MM\0+'],
  ...['avif', 'avis'].map((brand) => ['avif', `ftyp${brand}`, 4] as const),
  ...'heic heix heim heis hevc hevx mif1 msf1'
    .split(' ')
    .map((brand) => ['heic', `ftyp${brand}`, 4] as const),
  ['jxl', '\xff\x0a'],
  ['jxl', '\0\0\0\x0cJXL '],
  ['jp2', '\0\0\0\x0cjP  '],
  ['jp2', '\xff\x4f\xff\x51'],
  ['psd', '8BPS'],
  ['pdf', '%PDF-'],
  ['exr', 'v/1\x01'],
  ['hdr', '#?RADIANCE'],
  ['hdr', '#?RGBE'],
  ['dds', 'DDS '],
  ['parquet', 'PAR1'],
  ['arrow', 'ARROW1'],
  ['hdf5', '\x89HDF\r\n'],
  ['tar', 'ustar', 257],
  ['gzip', '\x1f\x8b'],
  ['zstd', '\x28\xb5\x2f\xfd'],
  ['bzip2', 'BZh'],
  ['xz', '\xfd7zXZ\0'],
  ['lz4', '\x04\x22\x4d\x18'],
  ['7z', '7z\xbc\xaf\x27\x1c'],
  ['rar', 'Rar!\x1a\x07'],
  ['zip', 'PK\x03\x04'],
  ['zip', 'PK\x05\x06'],
  ['lfs-pointer', 'version https://git-lfs.'],
  ['text-utf16', '\xff\xfe'],
  ['text-utf16', '\xfe\xff'],
  ['ico', '\0\0\x01\0'],
  ...[2, 3, 4, 5].map((version) => ['pickle', `\x80${String.fromCharCode(version)}`] as const),
];

/** Text that starts so, after blanks. */
const TEXTS: readonly (readonly [content: Content, start: RegExp])[] = [
  ['svg', /^(<\?xml[^>]*>\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg/i],
  ['web-page', /^<(!doctype|html|head|body|\?xml)/i],
  ['netpbm', /^P[1-7][\s#]/],
];

/** Sizes of the second header of a BMP: two letters at its start are not enough to know one. */
const BMP_HEADERS: ReadonlySet<number> = new Set([12, 40, 52, 56, 64, 108, 124]);

/** Bytes at the start of a file that say what it is. */
export const CONTENT_BYTES = 512;

/** The kind of a file by its first bytes, at least `CONTENT_BYTES` of them where it has as many. */
export function contentOf(bytes: Uint8Array): Content {
  if (bytes.length === 0) return 'empty';
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, CONTENT_BYTES));
  const head = buffer.toString('latin1');
  const [found] = SIGNATURES.find(([, signature, at = 0]) => head.startsWith(signature, at)) ?? [];
  if (found !== undefined) return found;
  if (head.startsWith('BM') && buffer.length >= 18 && BMP_HEADERS.has(buffer.readUInt32LE(14))) return 'bmp';
  const text = head.replace(/^\xef\xbb\xbf/, '').trimStart();
  return TEXTS.find(([, start]) => start.test(text))?.[0] ?? 'unknown';
}
