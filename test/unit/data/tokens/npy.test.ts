import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { decodeNpy, encodeNpy } from '../../../../src/data/tokens/npy.ts';

/** Written by scripts/fixtures/codes_npy.py. */
const numpy = readFileSync(new URL('./fixtures/codes.npy', import.meta.url));
const array = { rows: 2, columns: 3, codes: Uint16Array.of(0, 1, 255, 256, 8191, 65535) };

test('files are written as by NumPy, byte for byte', () => {
  assert.deepEqual(encodeNpy(array), numpy);
});

test('files of NumPy are read at any offset in memory', () => {
  assert.deepEqual(decodeNpy(numpy), array);
  const shifted = Buffer.concat([Buffer.from([7]), numpy]).subarray(1);
  assert.deepEqual(decodeNpy(shifted), array);
});

test('codes may be a part of a larger array', () => {
  const larger = Uint16Array.of(9, ...array.codes, 9);
  assert.deepEqual(encodeNpy({ ...array, codes: larger.subarray(1, 7) }), numpy);
});

test('the values start at a multiple of 64, whatever the length of the header', () => {
  for (const side of [1, 32, 100, 4096]) {
    const bytes = encodeNpy({ rows: side, columns: 1, codes: new Uint16Array(side) });
    assert.equal((bytes.length - side * 2) % 64, 0);
    assert.equal(decodeNpy(bytes).rows, side);
  }
});

describe('other files are refused:', () => {
  const changed = (from: string, to: string): Buffer =>
    Buffer.from(numpy.toString('latin1').replace(from, to), 'latin1');
  const cases: [string, Buffer, RegExp][] = [
    ['nothing', Buffer.alloc(0), /not an NPY file/],
    ['another file', Buffer.from('not an array at all'), /not an NPY file/],
    ['another version', changed('NUMPY\u0001', 'NUMPY\u0002'), /not an NPY file of version 1.0/],
    ['another type', changed('<u2', '<i2'), /expected rows and columns of uint16, received .*<i2/],
    ['big-endian values', changed('<u2', '>u2'), /uint16/],
    ['columns first', changed('False', 'True '), /uint16/],
    ['one dimension', changed('(2, 3)', '(6,)  '), /uint16/],
    ['three dimensions', changed('(2, 3), }', '(2, 3, 1)'), /uint16/],
    ['too few values', numpy.subarray(0, -1), /expected 12 bytes of codes, received 11/],
    ['too many values', Buffer.concat([numpy, Buffer.alloc(2)]), /received 14/],
    ['half a header', numpy.subarray(0, 30), /uint16/],
  ];
  for (const [name, bytes, message] of cases) {
    test(name, () => assert.throws(() => decodeNpy(bytes), { name: 'RangeError', message }));
  }
});
