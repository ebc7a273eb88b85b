// Parquet files as hyparquet reads them, with bounds on what a damaged file can ask for.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { readError } from '../../util/files.ts';

/** A row group is in memory as a whole while its images are copied. */
export const MAX_GROUP_BYTES = 2 ** 31;
const MAX_PAGE_BYTES = 2 ** 28;

/** Decompression of pages, each of which is in memory as a whole. */
export const BOUNDED: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([name, decompress]) => [
    name,
    (input: Uint8Array, length: number): Uint8Array => {
      if (length > MAX_PAGE_BYTES) throw new RangeError(`a page of ${length} bytes`);
      return decompress(input, length);
    },
  ]),
);

export interface OpenBuffer extends AsyncBuffer {
  close(): void;
}

/** A file as hyparquet reads it. */
export function openBuffer(path: string): OpenBuffer {
  try {
    const file = openSync(path, 'r');
    return {
      byteLength: fstatSync(file).size,
      async slice(start, end = fstatSync(file).size) {
        if (!(end >= start) || end - start > MAX_GROUP_BYTES)
          throw new RangeError(`${end - start} bytes at ${start}`);
        const bytes = new Uint8Array(end - start);
        const read = readSync(file, bytes, 0, bytes.length, start);
        if (read < bytes.length) throw new RangeError('the file ends too early');
        return bytes.buffer;
      },
      close: () => closeSync(file),
    };
  } catch (cause) {
    throw readError(cause, path, 'Parquet file');
  }
}

/**
 * Checks that the columns of the row groups are in the schema. Where one is not, hyparquet throws while it reads others
 * that it no longer awaits, and their errors would end the program.
 * @throws RangeError naming the column
 */
export function assertColumns(metadata: FileMetaData): void {
  const root = parquetSchema(metadata);
  for (const { columns } of metadata.row_groups)
    for (const { meta_data: about } of columns) {
      let node: SchemaTree | undefined = root;
      for (const name of about?.path_in_schema ?? ['?'])
        node = node?.children.find(({ element }) => element.name === name);
      if (!node) throw new RangeError(`no column ${about?.path_in_schema.join('.')} in its schema`);
    }
}
