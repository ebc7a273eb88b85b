// TensorBoard event files: scalars and PNG images. Source: tensorflow/core/util/event.proto and
// tensorflow/core/framework/summary.proto; the messages are few enough to encode by hand.

import { appendFileSync, closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, storageError } from '../../util/files.ts';
import {
  bytesField,
  doubleField,
  type Field,
  floatField,
  integerField,
  message,
} from '../../util/protobuf.ts';
import { pngSize } from '../images/png.ts';
import { tfRecord } from './tfrecord.ts';

const SESSION_START = 1;
const RGB = 3;

/** Appends to a new event file; each record is handed to the system before the call returns. */
export class EventWriter {
  readonly path: string;
  readonly #file: number;

  /** Creates a file in `folder`; a resumed run has several, which TensorBoard reads in order. */
  constructor(folder: string) {
    const seconds = Math.floor(Date.now() / 1000);
    try {
      makeFolder(folder);
      const number = String(readdirSync(folder).length).padStart(4, '0');
      this.path = join(folder, `events.out.tfevents.${seconds}.mm.${number}`);
      this.#file = openSync(this.path, 'ax');
    } catch (error) {
      throw storageError(error, folder);
    }
    this.#append(0, bytesField(3, 'brain.Event:2'));
  }

  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const entries = Object.entries(values).map(([tag, value]) =>
      bytesField(1, message(bytesField(1, tag), floatField(2, value))),
    );
    this.#append(step, bytesField(5, message(...entries)));
  }

  /** An encoded RGB PNG. */
  image(step: number, tag: string, png: Uint8Array): void {
    const { width, height } = pngSize(png);
    const image = message(
      integerField(1, height),
      integerField(2, width),
      integerField(3, RGB),
      bytesField(4, png),
    );
    const value = message(bytesField(1, tag), bytesField(4, image));
    this.#append(step, bytesField(5, bytesField(1, value)));
  }

  /** Makes readers discard what earlier files say about `step` and later steps. */
  restartAt(step: number): void {
    this.#append(step, bytesField(7, integerField(1, SESSION_START)));
  }

  close(): void {
    closeSync(this.#file);
  }

  #append(step: number, content: Field): void {
    const event = message(doubleField(1, Date.now() / 1000), integerField(2, step), content);
    try {
      appendFileSync(this.#file, tfRecord(event));
    } catch (error) {
      throw storageError(error, this.path);
    }
  }
}
