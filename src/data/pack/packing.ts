// The packing of a source in its order: what becomes of each image, and the shards.

import { createHash, type Hash } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { counted } from '../../util/counted.ts';
import { DataError, InterruptedError } from '../../util/errors.ts';
import type { JobContext } from '../../util/job.ts';
import { prefetch } from '../../util/prefetch.ts';
import type { CaptionedImage } from '../image.ts';
import type { Faults } from '../sources/faults.ts';
import type { Source, TableOptions } from '../sources/source.ts';
import { Duplicates } from './duplicates.ts';
import {
  makeManifest,
  PACK_MANIFEST,
  type PackCounts,
  type PackedShard,
  type PackManifest,
  type PackSettings,
  shardName,
  writeManifest,
} from './manifest.ts';
import { type PreparedImage, prepareImage } from './prepare.ts';
import { ShardWriter } from './shard-writer.ts';

/** Images in flight, the awaited one included. */
const PREFETCH = 6;
/** Digits of a KEY, so that names sort like numbers. */
const KEY_DIGITS = 9;

export interface PackOptions {
  readonly data: string;
  readonly table?: TableOptions | undefined;
  readonly out: string;
  readonly settings: PackSettings;
  /** Continue what an interrupted run left. */
  readonly resume: boolean;
  readonly faults: Faults;
}

interface Candidate {
  readonly image: CaptionedImage;
  /** Undefined for an image at fault, and one that is left out for its missing caption. */
  readonly prepared: PreparedImage | undefined;
}

export class Packing {
  readonly #work: string;
  readonly #options: PackOptions;
  readonly #context: JobContext;
  readonly #previous: PackManifest | undefined;
  readonly #shards: PackedShard[] = [];
  readonly #duplicates: Duplicates;
  readonly #readHash: Hash = createHash('sha256');
  #counts: PackCounts = { images: 0, captioned: 0, resized: 0, unusable: 0, duplicates: 0, uncaptioned: 0 };
  #read = 0;
  #shard: ShardWriter | undefined;

  constructor(work: string, options: PackOptions, context: JobContext, previous: PackManifest | undefined) {
    this.#work = work;
    this.#options = options;
    this.#context = context;
    this.#previous = previous;
    this.#duplicates = new Duplicates(options.settings.deduplicate);
  }

  async part(part: Source['parts'][number], { base }: Source, label: string): Promise<void> {
    const { faults, table, settings } = this.#options;
    const { progress, signal } = this.#context;
    const opened = await part.read({ captions: 'optional', faults, table, signal });
    try {
      faults.report(opened.images.length);
      progress.start(`packing${label}`, opened.images.length);
      let done = 0;
      let index = this.#read;
      for await (const candidate of prefetch(opened.images, PREFETCH, (image) =>
        this.#prepare(image, index++),
      )) {
        if (signal.aborted) throw this.#interrupted();
        await this.#take(candidate, base);
        if (this.#shard?.images === settings.shardSize) await this.#endShard();
        progress.update(++done);
      }
      progress.stop();
    } finally {
      await opened.close();
    }
  }

  /** @param index of the image in the source, over all parts */
  async #prepare(image: CaptionedImage, index: number): Promise<Candidate> {
    const { faults, settings } = this.#options;
    const isPacked = index < (this.#previous?.read ?? 0);
    const isLeftOut =
      (settings.captionsOnly && image.captions.length === 0) || (isPacked && settings.deduplicate === 'none');
    // Of images in finished shards only the hashes are needed.
    const how = isPacked ? { ...settings, size: undefined } : settings;
    const prepared = isLeftOut ? undefined : await faults.guard(image, () => prepareImage(image, how));
    return { image, prepared };
  }

  /** Continues after the finished shards of the interrupted run, once the images before them have been seen again. */
  async #continue(previous: PackManifest): Promise<void> {
    if (this.#hashSoFar() !== previous.readHash) throw this.#changed();
    for (const { file, bytes } of previous.shards) {
      const { size } = await stat(join(this.#work, file)).catch(() => ({ size: -1 }));
      if (size !== bytes) {
        throw new DataError('a finished shard is missing or has another length', {
          code: 'E_SHARD_CHANGED',
          where: join(this.#work, file),
          fix: 'remove the folder and pack again',
        });
      }
    }
    this.#shards.push(...previous.shards);
    const { images, captioned, resized, unusable, duplicates, uncaptioned } = previous;
    this.#counts = { images, captioned, resized, unusable, duplicates, uncaptioned };
  }

  #hashSoFar(): string {
    return this.#readHash.copy().digest('hex');
  }

  #changed(): DataError {
    return new DataError('the images or captions differ from those of the interrupted run', {
      code: 'E_LAYOUT_DIFFERS',
      where: this.#options.data,
      fix: `restore them, or remove ${this.#work} and pack again`,
    });
  }

  /** Adds the next image of the source to the current shard, or counts why it is left out. */
  async #take({ image, prepared }: Candidate, base: string): Promise<void> {
    const { captions, key, path, label } = image;
    const previous = this.#previous;
    this.#read++;
    this.#readHash.update(JSON.stringify([key, captions]));
    if (previous && this.#read <= previous.read) {
      if (prepared) this.#duplicates.isCopy(prepared);
      if (this.#read === previous.read) await this.#continue(previous);
      return;
    }
    const counts = this.#counts;
    if (this.#options.settings.captionsOnly && captions.length === 0) counts.uncaptioned++;
    else if (!prepared) counts.unusable++;
    else if (this.#duplicates.isCopy(prepared)) counts.duplicates++;
    else {
      const stem = String(counts.images++).padStart(KEY_DIGITS, '0');
      counts.captioned += Number(captions.length > 0);
      counts.resized += Number(prepared.isResized);
      const { data, extension, width, height, sha256 } = prepared;
      const about = { key, file: relative(base, path), width, height, sha256 };
      this.#shard ??= await ShardWriter.open(join(this.#work, shardName(this.#shards.length)));
      await this.#shard.add(stem, {
        [extension]: data,
        ...(captions.length > 0 && { txt: captions.join('\n') }),
        ...(label !== undefined && { cls: label }),
        json: JSON.stringify(about),
      });
    }
  }

  async #endShard(): Promise<void> {
    if (!this.#shard) return;
    this.#shards.push(await this.#shard.finish());
    this.#shard = undefined;
    await writeManifest(join(this.#work, PACK_MANIFEST), this.#manifest());
  }

  #manifest(): PackManifest {
    const { data, settings } = this.#options;
    return makeManifest({
      source: data,
      settings,
      ...this.#counts,
      read: this.#read,
      readHash: this.#hashSoFar(),
      shards: this.#shards,
    });
  }

  /** Ends the last shard. Throws DataError when there is no image. */
  async finish(): Promise<PackManifest> {
    if (this.#read < (this.#previous?.read ?? 0)) throw this.#changed();
    await this.#endShard();
    if (this.#counts.images === 0) {
      throw new DataError(`none of the ${this.#read} images can be packed`, {
        code: 'E_NO_USABLE_IMAGE',
        where: this.#options.data,
        fix: 'mm data check lists the reason for each file',
      });
    }
    const manifest = this.#manifest();
    await writeManifest(join(this.#work, PACK_MANIFEST), manifest);
    return manifest;
  }

  /** Removes an unfinished shard, and the folder where no shard is finished. */
  async abandon(): Promise<void> {
    await this.#shard?.abandon();
    this.#shard = undefined;
    if (this.#shards.length === 0 && !this.#previous) await rm(this.#work, { recursive: true, force: true });
  }

  #interrupted(): InterruptedError {
    const finished = Math.max(this.#shards.length, this.#previous?.shards.length ?? 0);
    return new InterruptedError(`stopped after ${counted(finished, 'finished shard')}`, {
      code: 'E_INTERRUPTED',
      where: this.#work,
      fix: finished > 0 ? 'continue with `resume`' : 'run it again: no shard was finished',
    });
  }
}
