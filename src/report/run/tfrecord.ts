// TFRecord framing: length, masked CRC-32C of the length, data, masked CRC-32C of the data.
// Source: tensorflow/core/lib/io/record_writer.h.

import { maskedCrc32c } from '../../util/crc32c.ts';

/** One record around `data`. */
export function tfRecord(data: Uint8Array): Buffer {
  const record = Buffer.alloc(12 + data.length + 4);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return record;
}
