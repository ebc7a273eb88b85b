import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { encodePng } from '../../../../src/report/images/png.ts';
import { EventWriter } from '../../../../src/report/run/events.ts';
import { tfRecord } from '../../../../src/report/run/tfrecord.ts';
import { crc32c, maskedCrc32c } from '../../../../src/util/crc32c.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mm-events-'));
});
after(() => rm(folder, { recursive: true }));

test('CRC-32C gives the vectors of RFC 3720, B.4', () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, index) => 31 - index)), 0x113fdb5c);
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(0)), 0);
});

test("a record is what TensorBoard's own writer makes", () => {
  // Written by tensorboard's RecordWriter.
  assert.equal(tfRecord(Buffer.from('abc')).toString('hex'), '0300000000000000b099490e6162636e57f121');
});

interface Field {
  readonly number: number;
  readonly value: number | Buffer;
}

/** A plain reader of protocol buffers, one level deep. */
function readFields(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case 0:
        fields.push({ number, value: varint() });
        break;
      case 1:
        fields.push({ number, value: message.readDoubleLE(at) });
        at += 8;
        break;
      case 2: {
        const length = varint();
        fields.push({ number, value: message.subarray(at, at + length) });
        at += length;
        break;
      }
      default:
        fields.push({ number, value: message.readFloatLE(at) });
        at += 4;
    }
  }
  assert.equal(at, message.length);
  return fields;
}

const get = (message: Buffer, number: number): Field['value'] | undefined =>
  readFields(message).find((field) => field.number === number)?.value;

function readRecords(bytes: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    assert.equal(bytes.readUInt32LE(at + 8), maskedCrc32c(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(bytes.readUInt32LE(at + 12 + length), maskedCrc32c(data));
    records.push(data);
    at += length + 16;
  }
  return records;
}

test('scalars, images and restarts are in the file at once, with their steps', async () => {
  const writer = new EventWriter(join(folder, 'events'));
  const png = await encodePng(new Uint8Array(300 * 2 * 3), 300, 2);
  writer.scalars(3_000_000_000, { loss: 0.5, 'valid/loss': Number.NaN });
  writer.image(200, 'samples', png);
  writer.restartAt(101);
  const [version, scalars, image, restart] = readRecords(await readFile(writer.path)) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  writer.close();

  assert.equal(String(get(version, 3)), 'brain.Event:2');
  assert.ok(Math.abs((get(scalars, 1) as number) - Date.now() / 1000) < 600);
  assert.equal(get(scalars, 2), 3_000_000_000);
  const values = readFields(get(scalars, 5) as Buffer).map(({ value }) => value as Buffer);
  assert.deepEqual(
    values.map((value) => [String(get(value, 1)), get(value, 2)]),
    [
      ['loss', 0.5],
      ['valid/loss', Number.NaN],
    ],
  );
  const value = get(get(image, 5) as Buffer, 1) as Buffer;
  const bitmap = get(value, 4) as Buffer;
  assert.equal(String(get(value, 1)), 'samples');
  assert.deepEqual([get(bitmap, 1), get(bitmap, 2), get(bitmap, 3)], [2, 300, 3]);
  assert.deepEqual(get(bitmap, 4), png);
  assert.equal(get(restart, 2), 101);
  assert.equal(get(get(restart, 7) as Buffer, 1), 1);
});

test('each writer has a new file, and names sort by time of creation', async () => {
  const place = join(folder, 'several');
  for (let step = 0; step < 3; step++) {
    const writer = new EventWriter(place);
    writer.scalars(step, { loss: 1 });
    writer.close();
  }
  const names = (await readdir(place)).sort();
  assert.equal(names.length, 3);
  for (const [step, name] of names.entries()) {
    assert.match(name, /^events\.out\.tfevents\.\d{10}\./);
    assert.equal(get(readRecords(await readFile(join(place, name)))[1]!, 2), step);
  }
});
