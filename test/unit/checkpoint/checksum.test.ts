import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { checkOf, pieceChecksums } from '../../../src/checkpoint/checksum.ts';

/** CRC-32 bit by bit, as ISO 3309 has it. */
function slowCrc32(bytes: Uint8Array): string {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (~crc >>> 0).toString(16).padStart(8, '0');
}

const BYTES = Uint8Array.from({ length: 70 }, (_, i) => (i * 37) ^ (i >> 2));

describe('checksums of pieces', () => {
  test('are the CRC-32s of the bytes cut at fixed places, however the bytes are given', () => {
    assert.equal(slowCrc32(Buffer.from('123456789')), 'cbf43926');
    for (const [bytes, piece] of [
      [BYTES, 16],
      [BYTES.subarray(0, 64), 16],
      [BYTES, 100],
      [BYTES.subarray(0, 0), 16],
    ] as const) {
      let expected = '';
      for (let start = 0; start < bytes.length; start += piece)
        expected += slowCrc32(bytes.subarray(start, start + piece));
      for (const given of [1, 7, 16, 40, 200]) {
        const checksum = pieceChecksums(piece);
        for (let start = 0; start < bytes.length; start += given)
          checksum.update(bytes.subarray(start, start + given));
        assert.equal(checksum.digest(), expected, `${bytes.length} bytes, ${given} at a time`);
      }
    }
  });
});

describe('the check of a file', () => {
  const sha256 = createHash('sha256').update(BYTES).digest('hex');
  const matches = (record: { sha256: string; crc32?: string }, bytes: Uint8Array): boolean => {
    const check = checkOf({ bytes: BYTES.length, ...record });
    check.update(bytes);
    return check.matches();
  };

  test('finds each flipped bit, bytes that are missing and bytes too many', () => {
    for (const record of [{ sha256, crc32: slowCrc32(BYTES) }, { sha256 }]) {
      assert.ok(matches(record, BYTES));
      for (let bit = 0; bit < 8 * BYTES.length; bit++)
        assert.ok(!matches(record, BYTES.with(bit >> 3, (BYTES[bit >> 3] as number) ^ (1 << (bit & 7)))));
      assert.ok(!matches(record, BYTES.subarray(1)));
      assert.ok(!matches(record, BYTES.subarray(0, -1)));
      assert.ok(!matches(record, Uint8Array.of(...BYTES, 0)));
    }
  });

  test('is by CRC-32 where the file was recorded with it', () => {
    assert.ok(matches({ sha256: '0'.repeat(64), crc32: slowCrc32(BYTES) }, BYTES));
    assert.ok(!matches({ sha256, crc32: '' }, BYTES));
  });
});
