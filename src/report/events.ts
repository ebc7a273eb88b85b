// TensorBoard event files: scalars and PNG images. Source: tensorflow/core/util/event.proto and
// tensorflow/core/framework/summary.proto; the messages are few enough to encode by hand.

import { appendFileSync, closeSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { storageError } from '../util/files.ts';
import { pngSize } from './png.ts';
import { tfRecord } from './tfrecord.ts';

const SESSION_START = 1;
const RGB = 3;

/** Appends to an event file of its own, each record handed to the system before the call returns. */
export class EventWriter {
  readonly path: string;
  readonly #file: number;

  /** Begins a new file in `folder`; a run that was interrupted leaves several, which TensorBoard reads in order. */
  constructor(folder: string) {
    const seconds = Math.floor(Date.now() / 1000);
    try {
      mkdirSync(folder, { recursive: true });
      const number = String(readdirSync(folder).length).padStart(4, '0');
      this.path = join(folder, `events.out.tfevents.${seconds}.mm.${number}`);
      this.#file = openSync(this.path, 'ax');
    } catch (error) {
      throw storageError(error, folder);
    }
    this.#append(0, stringField(3, 'brain.Event:2'));
  }

  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const entries = Object.entries(values).map(([tag, value]) =>
      bytesField(1, Buffer.concat([stringField(1, tag), floatField(2, value)])),
    );
    this.#append(step, bytesField(5, Buffer.concat(entries)));
  }

  /** An encoded RGB PNG. */
  image(step: number, tag: string, png: Uint8Array): void {
    const { width, height } = pngSize(png);
    const image = [integerField(1, height), integerField(2, width), integerField(3, RGB), bytesField(4, png)];
    const value = Buffer.concat([stringField(1, tag), bytesField(4, Buffer.concat(image))]);
    this.#append(step, bytesField(5, bytesField(1, value)));
  }

  /** Tells readers to forget what earlier files say about `step` and later ones. */
  restartAt(step: number): void {
    this.#append(step, bytesField(7, integerField(1, SESSION_START)));
  }

  close(): void {
    closeSync(this.#file);
  }

  #append(step: number, content: Buffer): void {
    const event = Buffer.concat([doubleField(1, Date.now() / 1000), integerField(2, step), content]);
    try {
      appendFileSync(this.#file, tfRecord(event));
    } catch (error) {
      throw storageError(error, this.path);
    }
  }
}

// Protocol buffer fields: a varint of (number << 3 | wire type), then the value.

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** A non-negative integer up to 2⁵³ in groups of seven bits, lowest first. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

const field = (number: number, wireType: number, value: Buffer): Buffer =>
  Buffer.concat([varint((number << 3) | wireType), value]);

const integerField = (number: number, value: number): Buffer => field(number, VARINT, varint(value));

const bytesField = (number: number, value: Uint8Array): Buffer =>
  field(number, LENGTH_DELIMITED, Buffer.concat([varint(value.length), value]));

const stringField = (number: number, value: string): Buffer => bytesField(number, Buffer.from(value, 'utf8'));

function floatField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return field(number, FIXED32, bytes);
}

function doubleField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return field(number, FIXED64, bytes);
}
