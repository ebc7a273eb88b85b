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

export interface OpenBuffer extends AsyncBuffer {
  /** What went wrong while hyparquet read. */
  failure: Error | undefined;
  readonly compressors: Compressors;
  close(): void;
}

/**
 * A file as hyparquet reads it. Neither reading nor decompression throws: hyparquet starts more of them than it awaits,
 * and an error that nobody awaits ends the program. Instead they give zeros, and `failure` says what is wrong.
 * @throws DataError when the file cannot be opened
 */
export function openBuffer(path: string): OpenBuffer {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    throw readError(cause, path, 'Parquet file');
  }
  const { size } = fstatSync(file);
  const buffer: OpenBuffer = {
    byteLength: size,
    failure: undefined,
    async slice(start, end = size) {
      if (!(start >= 0 && end >= start && end <= size) || end - start > MAX_GROUP_BYTES) {
        buffer.failure ??= new RangeError(`bytes ${start} to ${end} of ${size}`);
        return new ArrayBuffer(0);
      }
      const bytes = new Uint8Array(end - start);
      if (readSync(file, bytes, 0, bytes.length, start) < bytes.length)
        buffer.failure ??= new RangeError('the file ends too early');
      return bytes.buffer;
    },
    compressors: {},
    close: () => closeSync(file),
  };
  const bounded = Object.entries(compressors).map(([name, decompress]) => [
    name,
    (input: Uint8Array, length: number): Uint8Array => {
      try {
        if (length > MAX_PAGE_BYTES) throw new RangeError(`a page of ${length} bytes`);
        return decompress(input, length);
      } catch (error) {
        buffer.failure ??= error as Error;
        return new Uint8Array(Math.min(length, 2 ** 16));
      }
    },
  ]);
  return Object.assign(buffer, { compressors: Object.fromEntries(bounded) as Compressors });
}

/**
 * Checks that the columns of the row groups are in the schema and in the file, which hyparquet takes for granted.
 * @throws RangeError naming the column
 */
export function assertColumns(metadata: FileMetaData, bytes: number): void {
  const root = parquetSchema(metadata);
  for (const { columns } of metadata.row_groups)
    for (const { meta_data: about } of columns) {
      let node: SchemaTree | undefined = root;
      for (const name of about?.path_in_schema ?? ['?'])
        node = node?.children.find(({ element }) => element.name === name);
      if (!node || !about) throw new RangeError(`no column ${about?.path_in_schema.join('.')} in its schema`);
      const end = Number(about.data_page_offset) + Number(about.total_compressed_size);
      if (!(Number(about.data_page_offset) >= 0 && end <= bytes && Number(about.total_compressed_size) >= 0))
        throw new RangeError(`column ${about.path_in_schema.join('.')} is not in the file`);
    }
}
