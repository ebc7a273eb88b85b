import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ELEMENT_TYPES, type TensorData } from '../../../src/checkpoint/dtype.ts';
import { widen } from '../../../src/checkpoint/half.ts';
import { SafetensorsFile, writeSafetensors } from '../../../src/checkpoint/safetensors.ts';
import { DataError, EXIT } from '../../../src/util/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'mm-safetensors-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'x.safetensors');
const peer = fileURLToPath(new URL('./fixtures/peer.safetensors', import.meta.url));

async function readAll(file: string): Promise<Map<string, TensorData>> {
  const opened = await SafetensorsFile.open(file);
  try {
    return await opened.readAll();
  } finally {
    await opened.close();
  }
}

describe('a file of the reference implementation', () => {
  test('reads value for value', async () => {
    const all = await readAll(peer);
    const value = (name: string): unknown => [...(all.get(name)?.data ?? [])];
    assert.deepEqual(value('float32'), [...Float32Array.of(0.1, -2.5, 3e38, Number.NaN, Infinity, 1e-45)]);
    assert.deepEqual(all.get('float32')?.shape, [2, 3]);
    assert.deepEqual(value('float64'), [0.1, 1e300]);
    assert.deepEqual(value('int32'), [-(2 ** 31), 2 ** 31 - 1]);
    assert.deepEqual(value('int64'), [-(2n ** 63n)]);
    assert.deepEqual(all.get('int64')?.shape, []);
    assert.deepEqual(value('uint8'), [0, 1, 2, 3, 4]);
    assert.deepEqual(value('bool'), [1, 0, 1]);
    assert.deepEqual(all.get('empty'), { dtype: 'float32', shape: [0, 3], data: new Float32Array() });
    assert.deepEqual(value('naïve "name"'), [7]);
  });

  test('widens 16-bit floats exactly', async () => {
    const all = await readAll(peer);
    for (const name of ['float16', 'bfloat16']) {
      assert.deepEqual(widen(all.get(name) as TensorData), all.get(`${name}.wide`));
    }
  });

  test('reads its metadata', async () => {
    const file = await SafetensorsFile.open(peer);
    assert.deepEqual({ ...file.metadata }, { format: 'np', who: 'safetensors' });
    await file.close();
  });
});

describe('write and read', () => {
  const tensors: [string, TensorData][] = [
    ['a.bool', { dtype: 'bool', shape: [3], data: Uint8Array.of(1, 0, 1) }],
    ['b.float32', { dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, -2, Number.NaN, 1e-40) }],
    ['c.int64', { dtype: 'int64', shape: [1], data: BigInt64Array.of(-5n) }],
    ['d.float16', { dtype: 'float16', shape: [1], data: Uint16Array.of(0x3c00) }],
    ['e.none', { dtype: 'int32', shape: [4, 0], data: new Int32Array() }],
    ['__proto__', { dtype: 'uint8', shape: [], data: Uint8Array.of(9) }],
    // A view into the middle of a larger array.
    ['f.view', { dtype: 'int32', shape: [2], data: Int32Array.of(0, 7, 8, 0).subarray(1, 3) }],
  ];

  test('gives the same tensors, metadata, length and hash', async () => {
    const record = await writeSafetensors(path, tensors, { who: 'mm' });
    const written = readFileSync(path);
    assert.equal(record.bytes, written.length);
    assert.equal(record.sha256, createHash('sha256').update(written).digest('hex'));
    const all = await readAll(path);
    assert.deepEqual([...all].sort(), [...tensors].sort());
    const file = await SafetensorsFile.open(path);
    assert.deepEqual({ ...file.metadata }, { who: 'mm' });
    assert.deepEqual(file.info('b.float32').shape, [2, 2]);
    assert.deepEqual((await file.read('f.view')).data, Int32Array.of(7, 8));
    await assert.rejects(file.read('zebra'), DataError);
    await file.close();
  });

  test('in order gives every tensor, and every byte of the file once', async () => {
    const large: TensorData = { dtype: 'float32', shape: [4_300_000], data: new Float32Array(4_300_000) };
    for (let i = 0; i < large.data.length; i++) large.data[i] = i;
    const all = new Map<string, TensorData>([...tensors, ['a.large', large]]);
    const { bytes, sha256 } = await writeSafetensors(path, all);
    const hash = createHash('sha256');
    let count = 0;
    const file = await SafetensorsFile.open(path);
    const read = new Map<string, TensorData>();
    const onBytes = (part: Uint8Array): void => {
      count += part.length;
      hash.update(part);
    };
    for await (const [name, tensor] of file.inOrder({ onBytes })) read.set(name, tensor);
    await file.close();
    assert.equal(count, bytes);
    assert.equal(hash.digest('hex'), sha256);
    assert.ok(Buffer.from(read.get('a.large')!.data.buffer).equals(Buffer.from(large.data.buffer)));
    read.set('a.large', large);
    assert.deepEqual([...read].sort(), [...all].sort());
  });

  test('aligns each tensor to its element', async () => {
    await writeSafetensors(path, tensors);
    const bytes = readFileSync(path);
    const length = Number(bytes.readBigUInt64LE());
    assert.equal(length % 8, 0);
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
      string,
      { data_offsets: [number] }
    >;
    assert.equal(header['c.int64']!.data_offsets[0] % 8, 0);
    assert.equal(header['b.float32']!.data_offsets[0] % 4, 0);
    assert.equal(header['d.float16']!.data_offsets[0] % 2, 0);
  });

  test('starts tensors of whole pages where a page does, behind small ones', async () => {
    const of = (dtype: TensorData['dtype'], ...shape: number[]): TensorData => {
      const data = new ELEMENT_TYPES[dtype].array(shape.reduce((a, b) => a * b, 1));
      data.fill((data instanceof BigInt64Array ? 7n : 7) as never);
      return { dtype, shape, data };
    };
    const all = new Map<string, TensorData>([
      ['odd', of('uint8', 3)],
      ['matrix 16', of('bfloat16', 1024, 1024)],
      ['ragged', of('float32', 513, 513)],
      ['vector', of('float32', 8)],
      ['matrix 32', of('float32', 512, 512)],
      ['double', of('float64', 1)],
    ]);
    await writeSafetensors(path, all, { who: 'mm' });
    const bytes = readFileSync(path);
    const start = 8 + Number(bytes.readBigUInt64LE());
    type Entry = { data_offsets: [begin: number, end: number] };
    const { __metadata__, ...header } = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, Entry>;
    assert.equal(start % 8, 0);
    assert.deepEqual(Object.keys(header), ['double', 'vector', 'matrix 32', 'matrix 16', 'ragged', 'odd']);
    for (const name of ['matrix 32', 'matrix 16'])
      assert.equal((start + header[name]!.data_offsets[0]) % 4096, 0, name);
    for (const [name, { dtype }] of all)
      assert.equal(header[name]!.data_offsets[0] % ELEMENT_TYPES[dtype].array.BYTES_PER_ELEMENT, 0, name);
    assert.deepEqual([...(await readAll(path))].sort(), [...all].sort());
  });

  test('asks for the data of a tensor when it writes it', async () => {
    const order: string[] = [];
    const lazy = ['x', 'y'].map((name) => {
      const data = async (): Promise<Float32Array> => {
        order.push(name);
        return Float32Array.of(order.length);
      };
      return [name, { dtype: 'float32', shape: [1], data }] as const;
    });
    await writeSafetensors(path, lazy);
    assert.deepEqual(order, ['x', 'y']);
    assert.deepEqual((await readAll(path)).get('y')?.data, Float32Array.of(2));
  });

  test('a failed write leaves the old file and no other', async () => {
    await writeSafetensors(path, tensors);
    const before = readFileSync(path);
    const data = (): never => {
      throw new Error('session closed');
    };
    await assert.rejects(
      writeSafetensors(path, [['x', { dtype: 'int32', shape: [1], data }]]),
      /session closed/,
    );
    assert.deepEqual(readFileSync(path), before);
    assert.deepEqual(readdirSync(folder), ['x.safetensors']);
  });

  test('refuses data that does not match its shape and type', async () => {
    const wrong: TensorData[] = [
      { dtype: 'float32', shape: [3], data: new Float32Array(2) },
      { dtype: 'float32', shape: [1], data: new Int32Array(1) },
      { dtype: 'uint8', shape: [2 ** 40, 2 ** 40], data: new Uint8Array() },
      { dtype: 'uint8', shape: [-1], data: new Uint8Array() },
      { dtype: 'uint8', shape: [1.5], data: new Uint8Array() },
    ];
    for (const tensor of wrong) await assert.rejects(writeSafetensors(path, [['x', tensor]]), RangeError);
    const one: TensorData = { dtype: 'uint8', shape: [], data: new Uint8Array(1) };
    await assert.rejects(
      writeSafetensors(path, [
        ['x', one],
        ['x', one],
      ]),
      RangeError,
    );
    await assert.rejects(writeSafetensors(path, [['__metadata__', one]]), RangeError);
  });

  test('reads a tensor beyond 2³² bytes from a file too large for memory', async () => {
    const size = 2 ** 33;
    const header = JSON.stringify({
      big: { dtype: 'F32', shape: [size / 4], data_offsets: [0, size] },
      last: { dtype: 'F32', shape: [2], data_offsets: [size, size + 8] },
    });
    const bytes = Buffer.alloc(8 + header.length);
    bytes.writeBigUInt64LE(BigInt(header.length));
    bytes.write(header, 8);
    const handle = await open(path, 'w'); // sparse: the hole takes no space
    await handle.write(bytes, 0, bytes.length, 0);
    await handle.write(Float32Array.of(1.5, 2.5), 0, 8, bytes.length + size);
    await handle.close();
    const file = await SafetensorsFile.open(path);
    assert.deepEqual((await file.read('last')).data, Float32Array.of(1.5, 2.5));
    assert.deepEqual(file.info('big').shape, [2 ** 31]);
    await file.close();
  });
});

describe('files that are not valid', () => {
  const F = (shape: unknown, offsets: unknown, dtype: unknown = 'F32'): object => ({
    dtype,
    shape,
    data_offsets: offsets,
  });
  /** A file of this header (an object, or text) and so many bytes of data. */
  function build(header: object | string, dataBytes: number, claimed?: bigint): Buffer {
    const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(claimed ?? BigInt(text.length));
    return Buffer.concat([length, text, Buffer.alloc(dataBytes)]);
  }
  const cases: [name: string, content: Buffer, message: RegExp][] = [
    ['empty', Buffer.alloc(0), /0 bytes/],
    ['seven bytes', Buffer.alloc(7), /7 bytes/],
    ['another format', Buffer.from('PK\u0003\u0004 archive/data.pkl'), /header claims/],
    ['header past the end', build({}, 0, 1000n), /header alone claims 1008/],
    ['huge header', build({}, 0, 2n ** 63n), /header claims 9223372036854775808 bytes/],
    ['not JSON', build('{"a":', 0), /not JSON/],
    ['not UTF-8', Buffer.concat([build('', 0, 2n), Buffer.of(0xff, 0xfe)]), /not JSON/],
    ['a list', build('[]', 0), /not a JSON object/],
    ['null', build('null', 0), /not a JSON object/],
    ['cut short', build({ x: F([2], [0, 8]) }, 4), /4 bytes of data, and its header says 8/],
    ['too long', build({ x: F([2], [0, 8]) }, 12), /12 bytes of data, and its header says 8/],
    ['overlap', build({ x: F([2], [0, 8]), y: F([2], [4, 12]) }, 12), /tensor y overlaps/],
    ['same place', build({ x: F([2], [0, 8]), y: F([2], [0, 8]) }, 8), /overlaps/],
    ['gap', build({ x: F([1], [0, 4]), y: F([1], [8, 12]) }, 12), /tensor y leaves a gap/],
    ['gap at the start', build({ x: F([1], [4, 8]) }, 8), /tensor x leaves a gap/],
    ['size and shape differ', build({ x: F([3], [0, 8]) }, 8), /shape \[3\] and type F32 has 8 bytes/],
    ['backwards', build({ x: F([1], [4, 0]) }, 4), /has -4 bytes/],
    ['overflowing shape', build({ x: F([2 ** 32, 2 ** 32], [0, 0]) }, 0), /has 0 bytes/],
    ['negative shape', build({ x: F([-1, -1], [0, 4]) }, 4), /entry of tensor x/],
    ['fractional shape', build({ x: F([0.5, 2], [0, 4]) }, 4), /entry of tensor x/],
    ['negative offset', build({ x: F([1], [-4, 0]) }, 0), /entry of tensor x/],
    [
      'unsafe offset',
      build('{"x":{"dtype":"U8","shape":[],"data_offsets":[1e300,1e300]}}', 0),
      /entry of tensor x/,
    ],
    ['prototype type', build({ x: F([1], [0, 1], 'toString') }, 1), /entry of tensor x/],
    ['missing fields', build({ x: { dtype: 'F32' } }, 0), /entry of tensor x/],
    ['null entry', build({ x: null }, 0), /entry of tensor x/],
    ['bad metadata', build({ __metadata__: { a: 1 } }, 0), /metadata/],
    [
      'name twice',
      build(
        '{"x":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"x":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]}}',
        1,
      ),
      /the header has "x" twice/,
    ],
    [
      'name twice, escaped',
      build(
        '{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}, "\\u0078" :{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
        0,
      ),
      /the header has "x" twice/,
    ],
    [
      'field twice',
      build('{"x":{"dtype":"U8","shape":[],"shape":[1],"data_offsets":[0,1]}}', 1),
      /the header has "shape" twice/,
    ],
  ];
  for (const [name, content, message] of cases) {
    test(name, async () => {
      writeFileSync(path, content);
      await assert.rejects(SafetensorsFile.open(path), (error) => {
        assert.ok(error instanceof DataError, String(error));
        assert.equal(error.code, 'E_FILE_DAMAGED');
        assert.match(error.message, message);
        assert.equal(error.where, path);
        assert.equal(error.exitCode, EXIT.data);
        return true;
      });
    });
  }

  test('equal keys in different entries and in strings are no duplicates', async () => {
    writeFileSync(
      path,
      build({ __metadata__: { shape: '"x":{"x":', '{': 'x' }, x: F([0], [0, 0]), y: F([0], [0, 0]) }, 0),
    );
    assert.equal((await readAll(path)).size, 2);
  });

  test('a type that mm does not read makes its tensor unreadable, not the file', async () => {
    const entries = { x: F([1], [0, 1], 'F8_E4M3'), y: F([2], [1, 3], 'U8') };
    writeFileSync(path, build(entries, 3));
    const file = await SafetensorsFile.open(path);
    assert.deepEqual(file.description('x'), { dtype: 'F8_E4M3', shape: [1] });
    assert.equal((await file.read('y')).data.length, 2);
    await assert.rejects(file.read('x'), { code: 'E_TENSOR_TYPE', where: path, message: /x .*F8_E4M3/ });
    await file.close();
  });

  test('a missing file and a folder are refused', async () => {
    await assert.rejects(SafetensorsFile.open(join(folder, 'none')), { code: 'E_NOT_FOUND' });
    await assert.rejects(SafetensorsFile.open(folder), { code: 'E_FILE_DAMAGED', where: folder });
  });

  test('a file that is cut while it is open is refused when it is read', async () => {
    await writeSafetensors(path, [['x', { dtype: 'uint8', shape: [100], data: new Uint8Array(100) }]]);
    const file = await SafetensorsFile.open(path);
    writeFileSync(path, readFileSync(path).subarray(0, -50));
    await assert.rejects(file.read('x'), { code: 'E_FILE_DAMAGED', where: path });
    await file.close();
  });
});
