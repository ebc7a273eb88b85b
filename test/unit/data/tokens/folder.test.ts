import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { assertSameDvae } from '../../../../src/data/tokens/check.ts';
import { TokenFolder, type TokenizedFolder } from '../../../../src/data/tokens/folder.ts';
import {
  readManifest,
  type ShardLayout,
  sha256,
  type TokenManifest,
} from '../../../../src/data/tokens/manifest.ts';
import { readTokenFolder } from '../../../../src/data/tokens/read.ts';
import { packShard, type TokenSample } from '../../../../src/data/tokens/shard.ts';
import type { Share } from '../../../../src/data/tokens/share.ts';
import { DataError, UserError } from '../../../../src/util/errors.ts';

let root: string;
let path: string;
let warnings: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mm-tokens-'));
  path = join(root, 'tokens');
  warnings = [];
});
afterEach(() => rmSync(root, { recursive: true }));

const LAYOUT: ShardLayout = {
  dvae: sha256('dvae'),
  imageSize: 8,
  grid: 2,
  vocabulary: 100,
  shardSize: 3,
  source: sha256('source'),
};
const IMAGES = 8;
const sample = (index: number, codes = [index, 10, 20, 99]): TokenSample => ({
  index,
  key: `k${index}`,
  file: `k${index}.png`,
  captions: index === 4 ? [] : [`caption ${index}`, ...(index === 2 ? ['another'] : [])],
  rows: 2,
  columns: 2,
  codes: Uint16Array.from(codes),
});

const open = (
  resume: boolean,
  layout = LAYOUT,
  more: { images?: number; share?: Share } = {},
): Promise<TokenFolder> =>
  TokenFolder.open(path, layout, {
    ...{ images: IMAGES, ...more },
    resume,
    warn: (message) => void warnings.push(message),
  });

/** Image 6 is skipped. */
async function writeShard(folder: TokenFolder, shard: number): Promise<void> {
  const indices = Array.from({ length: 3 }, (_, i) => shard * 3 + i).filter((index) => index < IMAGES);
  await folder.write(
    shard,
    indices.filter((index) => index !== 6).map((index) => sample(index)),
    indices.filter((index) => index === 6).map((index) => ({ file: `k${index}.png`, why: 'cut short' })),
  );
}

async function fill(resume: boolean): Promise<TokenManifest> {
  const folder = await open(resume);
  for (const shard of [0, 1, 2]) if (folder.isMissing(shard)) await writeShard(folder, shard);
  const { manifest, isWhole } = (await folder.finish()) as TokenizedFolder;
  assert.ok(isWhole);
  return manifest;
}

/** Every file by name. */
const contents = (): Record<string, string> =>
  Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'latin1')]));

/** The error of a promise: `where` is relative to the test's folder. */
async function failure(promise: Promise<unknown>) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof UserError, String((error as Error).stack));
    const { name, code, message, fix, where } = error;
    assert.ok(fix, 'names the fix');
    return { name, code, message, fix, where: where && relative(root, where) };
  }
  assert.fail('did not fail');
}

/** Checks the code of an error, its place relative to the test's folder, and what its message names. */
async function fails(
  promise: Promise<unknown>,
  code: string,
  where: string,
  ...names: string[]
): Promise<void> {
  const error = await failure(promise);
  assert.deepEqual([error.code, error.where], [code, where]);
  for (const name of names) assert.ok(error.message.includes(name), `${error.message} does not name ${name}`);
}

describe('a finished folder', () => {
  test('gives back all that was written', async () => {
    await fill(false);
    const { codes, ...set } = await readTokenFolder(path);
    const kept = [0, 1, 2, 3, 4, 5, 7];
    assert.deepEqual(set, {
      grid: 2,
      vocabulary: 100,
      dvaeHash: LAYOUT.dvae,
      keys: kept.map((index) => `k${index}`),
      captions: kept.map((index) => sample(index).captions),
      splits: kept.map(() => undefined),
    });
    assert.deepEqual(
      [...codes],
      kept.flatMap((index) => [...sample(index).codes]),
    );
  });

  test('has a manifest of its contents', async () => {
    const manifest = await fill(false);
    assert.deepEqual(JSON.parse(readFileSync(join(path, 'manifest.json'), 'utf8')), manifest);
    assert.deepEqual(readdirSync(path).sort(), [
      'manifest.json',
      'shard-000000.tar',
      'shard-000001.tar',
      'shard-000002.tar',
    ]);
    const bytes = readFileSync(join(path, 'shard-000002.tar'));
    assert.deepEqual(manifest, {
      format: 'mm-tokens',
      version: 2,
      ...LAYOUT,
      images: 7,
      shards: [
        ...manifest.shards.slice(0, 2),
        {
          file: 'shard-000002.tar',
          count: 1,
          bytes: bytes.length,
          sha256: sha256(bytes),
          skipped: [{ file: 'k6.png', why: 'cut short' }],
        },
      ],
    });
  });

  test('is not overwritten', async () => {
    await fill(false);
    const before = contents();
    await fails(open(false), 'E_FOLDER_NOT_EMPTY', 'tokens');
    assert.match((await failure(open(false))).fix, /`resume`/);
    assert.deepEqual(contents(), before);
  });

  test('is unchanged when it is resumed', async () => {
    await fill(false);
    const before = contents();
    const inode = statSync(join(path, 'shard-000001.tar')).ino;
    const folder = await open(true);
    assert.deepEqual(
      [0, 1, 2, 3].map((shard) => folder.isMissing(shard)),
      [false, false, false, false],
    );
    assert.equal(folder.done, IMAGES);
    await folder.finish();
    assert.deepEqual(contents(), before);
    assert.equal(statSync(join(path, 'shard-000001.tar')).ino, inode);
  });
});

describe('an interrupted folder', () => {
  test('resumes with the missing shards, and ends with the same files as an uninterrupted run', async () => {
    await fill(false);
    const whole = contents();
    rmSync(path, { recursive: true });

    await writeShard(await open(false), 1);
    await fails(readTokenFolder(path), 'E_NO_TOKENS', 'tokens');
    await fails(open(false), 'E_FOLDER_NOT_EMPTY', 'tokens');
    const folder = await open(true);
    assert.deepEqual(
      [0, 1, 2].map((shard) => folder.isMissing(shard)),
      [true, false, true],
    );
    assert.equal(folder.done, 3);
    await fill(true);
    assert.deepEqual(contents(), whole);
    assert.deepEqual(warnings, []);
  });

  test('makes a shard without a record again, and removes temporary files', async () => {
    await fill(false);
    const whole = contents();
    rmSync(path, { recursive: true });

    const folder = await open(false);
    await writeShard(folder, 0);
    const record = readFileSync(join(path, 'manifest.partial.json'));
    await writeShard(folder, 1);
    writeFileSync(join(path, 'manifest.partial.json'), record);
    writeFileSync(join(path, '.shard-000002.tar.1.abcd.tmp'), 'half a sha');
    writeFileSync(join(path, '.manifest.partial.json.1.abcd.tmp'), '{');
    assert.deepEqual(
      [0, 1].map((shard) => folder.isMissing(shard)),
      [false, false],
    );
    const resumed = await open(true);
    assert.deepEqual(
      [0, 1].map((shard) => resumed.isMissing(shard)),
      [false, true],
    );
    await fill(true);
    assert.deepEqual(contents(), whole);
  });

  test('may hold nothing but a temporary file', async () => {
    mkdirSync(path);
    writeFileSync(join(path, '.manifest.partial.json.1.abcd.tmp'), '{');
    await fill(false);
    assert.ok(!readdirSync(path).some((name) => name.startsWith('.')));
  });

  test('may be empty: resuming it starts from the beginning', async () => {
    assert.equal((await fill(true)).images, 7);
  });

  test('keeps its finished shards when the storage fails', async () => {
    const folder = await open(false);
    await writeShard(folder, 0);
    mkdirSync(join(path, 'shard-000001.tar', 'in the way'), { recursive: true });
    await assert.rejects(writeShard(folder, 1));
    rmSync(join(path, 'shard-000001.tar'), { recursive: true });
    assert.deepEqual(readdirSync(path).sort(), ['manifest.partial.json', 'shard-000000.tar']);
    assert.equal((await fill(true)).images, 7);
  });

  test('makes the damaged shards of a finished folder again, with a warning', async () => {
    await fill(false);
    const whole = contents();
    truncateSync(join(path, 'shard-000000.tar'), 700);
    rmSync(join(path, 'shard-000002.tar'));
    const folder = await open(true);
    assert.deepEqual(
      [0, 1, 2].map((shard) => folder.isMissing(shard)),
      [true, false, true],
    );
    assert.equal(warnings.length, 2);
    assert.match(warnings[0]!, /^shard-000000\.tar is made again: the shard has 700 bytes of \d+$/);
    assert.ok(!existsSync(join(path, 'manifest.json')), 'it does not count as finished meanwhile');
    await fill(true);
    assert.deepEqual(contents(), whole);
  });

  test('keeps more than a million shards in order', async () => {
    const folder = await open(false, { ...LAYOUT, shardSize: 1 }, { images: 1_000_001 });
    for (const shard of [1_000_000, 999_999]) await folder.write(shard, [sample(shard, [1, 2, 3, 4])], []);
    const { isWhole, manifest } = (await folder.finish()) as TokenizedFolder;
    const { shards } = manifest;
    assert.equal(isWhole, false);
    renameSync(join(path, 'manifest.partial.json'), join(path, 'manifest.json'));
    assert.deepEqual(
      shards.map(({ file }) => file),
      ['shard-999999.tar', 'shard-1000000.tar'],
    );
    assert.deepEqual((await readTokenFolder(path)).keys, ['k999999', 'k1000000']);
  });
});

describe('a folder that several programs fill', () => {
  const share = (index: number) => ({ share: { index, of: 2 } });

  test('is whole when the last share is done, with the same files as one of a single run', async () => {
    await fill(false);
    const whole = contents();
    rmSync(path, { recursive: true });

    const [first, second] = [await open(false, LAYOUT, share(1)), await open(false, LAYOUT, share(2))];
    assert.deepEqual(
      [0, 1, 2].map((shard) => [first.isMissing(shard), second.isMissing(shard)]),
      [
        [true, false],
        [false, true],
        [false, true],
      ],
    );
    assert.deepEqual([first.total, second.total], [3, 5]);
    await writeShard(second, 1);
    await writeShard(first, 0);
    assert.equal((await first.finish())?.isWhole, false);
    await fails(readTokenFolder(path), 'E_NO_TOKENS', 'tokens');
    // The second is killed and resumed; the files of the first stay.
    writeFileSync(join(path, '.shard-000000.tar.1.abcd.tmp'), 'of another program');
    writeFileSync(join(path, '.shard-000002.tar.1.abcd.tmp'), 'half a shard');
    await fails(open(false, LAYOUT, share(2)), 'E_FOLDER_NOT_EMPTY', 'tokens');
    const resumed = await open(true, LAYOUT, share(2));
    assert.deepEqual([resumed.isMissing(1), resumed.isMissing(2)], [false, true]);
    assert.deepEqual(
      readdirSync(path).filter((name) => name.startsWith('.')),
      ['.shard-000000.tar.1.abcd.tmp'],
    );
    rmSync(join(path, '.shard-000000.tar.1.abcd.tmp'));
    await writeShard(resumed, 2);
    assert.equal((await resumed.finish())?.isWhole, true);
    assert.deepEqual(contents(), whole);

    // A finished folder is resumed by a share as by a run of all.
    truncateSync(join(path, 'shard-000001.tar'), 700);
    const again = await open(true, LAYOUT, share(2));
    assert.deepEqual([again.isMissing(1), again.isMissing(2)], [true, false]);
    await writeShard(again, 1);
    assert.equal((await again.finish())?.isWhole, true);
    assert.deepEqual(contents(), whole);
  });

  test('may be of shares made elsewhere: a run of all completes what was copied together', async () => {
    await fill(false);
    const whole = contents();
    rmSync(path, { recursive: true });
    for (const index of [1, 2]) {
      const folder = await open(false, LAYOUT, share(index));
      for (const shard of [0, 1, 2]) if (folder.isMissing(shard)) await writeShard(folder, shard);
      cpSync(path, join(root, 'together'), { recursive: true });
      rmSync(path, { recursive: true });
    }
    renameSync(join(root, 'together'), path);
    assert.deepEqual(await fill(true).then(contents), whole);
  });
});

describe('a folder is refused that holds', () => {
  test('files of other programs', async () => {
    mkdirSync(path);
    writeFileSync(join(path, 'thesis.txt'), 'precious');
    for (const resume of [false, true]) await fails(open(resume), 'E_FOLDER_NOT_EMPTY', 'tokens');
    assert.deepEqual(contents(), { 'thesis.txt': 'precious' });
  });

  test('nothing because it is a file', async () => {
    writeFileSync(path, 'precious');
    await fails(open(false), 'E_NOT_A_FOLDER', 'tokens');
  });

  for (const [key, value] of [
    ['dvae', sha256('other')],
    ['imageSize', 16],
    ['shardSize', 4],
    ['source', sha256('other')],
  ] as const) {
    test(`shards of another ${key}`, async () => {
      await writeShard(await open(false), 0);
      const before = contents();
      const other = open(true, { ...LAYOUT, [key]: value });
      await fails(other, 'E_LAYOUT_DIFFERS', 'tokens', String(LAYOUT[key]), String(value));
      assert.deepEqual(contents(), before);
    });
  }
});

describe('reading a folder refuses', () => {
  const reset = (): void => rmSync(path, { recursive: true });

  /** The finished folder with its manifest changed. */
  async function changed(change: (manifest: TokenManifest) => unknown) {
    const manifest = await fill(false);
    writeFileSync(join(path, 'manifest.json'), JSON.stringify(change(manifest)));
    return failure(readTokenFolder(path));
  }

  /** The finished folder with another first shard, which the manifest knows. */
  async function shard(samples: TokenSample[], change = (bytes: Buffer) => bytes) {
    const bytes = change(await packShard(samples));
    return changed((manifest) => {
      writeFileSync(join(path, 'shard-000000.tar'), bytes);
      const record = { ...manifest.shards[0], bytes: bytes.length, sha256: sha256(bytes) };
      return { ...manifest, shards: [record, ...manifest.shards.slice(1)] };
    });
  }

  const manifestFile = 'tokens/manifest.json';
  const shardFile = (shard: number): string => `tokens/shard-00000${shard}.tar`;

  test('a folder that does not exist or has no manifest', async () => {
    await fails(readTokenFolder(path), 'E_NO_TOKENS', 'tokens');
    mkdirSync(path);
    await fails(readTokenFolder(path), 'E_NO_TOKENS', 'tokens');
  });

  test('a missing, shortened or changed shard', async () => {
    await fill(false);
    const file = join(path, 'shard-000001.tar');
    const bytes = readFileSync(file);
    renameSync(file, join(path, 'elsewhere'));
    await fails(readTokenFolder(path), 'E_TOKENS_DAMAGED', shardFile(1), 'missing');
    writeFileSync(file, bytes.subarray(0, 1024));
    await fails(readTokenFolder(path), 'E_TOKENS_DAMAGED', shardFile(1), '1024', String(bytes.length));
    writeFileSync(
      file,
      bytes.map((byte, i) => (i === 600 ? byte ^ 1 : byte)),
    );
    await fails(readTokenFolder(path), 'E_TOKENS_DAMAGED', shardFile(1));
  });

  test('a manifest that is damaged, of a newer version, or names files elsewhere', async () => {
    const refused = async (
      change: (manifest: TokenManifest) => unknown,
      code: string,
      ...names: string[]
    ): Promise<void> => {
      const error = await changed(change);
      assert.deepEqual([error.code, error.where], [code, manifestFile]);
      for (const name of names) assert.ok(error.message.includes(name), error.message);
      reset();
    };
    await refused(() => 'text', 'E_TOKENS_DAMAGED');
    await refused((manifest) => ({ ...manifest, version: 3 }), 'E_NEWER_FORMAT', '3', '2');
    await refused((manifest) => ({ ...manifest, dvae: 'short' }), 'E_TOKENS_DAMAGED', 'dvae');
    const elsewhere = (manifest: TokenManifest): unknown => ({
      ...manifest,
      shards: [{ ...manifest.shards[0], file: '../shard-000000.tar' }],
    });
    await refused(elsewhere, 'E_TOKENS_DAMAGED', 'shards.0.file');
  });

  test('fewer or more images than the manifest says', async () => {
    const error = await shard([sample(0), sample(1)]);
    assert.deepEqual([error.code, error.where], ['E_TOKENS_DAMAGED', shardFile(0)]);
    assert.match(error.message, /2 .*3/);
    reset();
    const other = await changed((manifest) => ({ ...manifest, images: 6 }));
    assert.deepEqual([other.code, other.where], ['E_TOKENS_DAMAGED', manifestFile]);
    assert.match(other.message, /images/);
  });

  test('codes of another shape, or beyond the vocabulary', async () => {
    const oblong = await shard([sample(0), { ...sample(1), rows: 1, columns: 4 }, sample(2)]);
    assert.deepEqual([oblong.code, oblong.where], ['E_TOKENS_DAMAGED', shardFile(0)]);
    assert.match(oblong.message, /k1 .*1 × 4.*2 × 2/);
    reset();
    const large = await shard([sample(0), sample(1), sample(2, [5, 100, 3, 0])]);
    assert.deepEqual([large.code, large.where], ['E_TOKENS_DAMAGED', shardFile(0)]);
    assert.match(large.message, /k2 .*100.*100/);
  });

  test('images that are in two shards', async () => {
    await fill(false);
    cpSync(join(path, 'shard-000000.tar'), join(path, 'shard-000001.tar'));
    const manifest = JSON.parse(readFileSync(join(path, 'manifest.json'), 'utf8')) as TokenManifest;
    const [first, , last] = manifest.shards;
    const shards = [first, { ...first, file: 'shard-000001.tar' }, last];
    writeFileSync(join(path, 'manifest.json'), JSON.stringify({ ...manifest, shards }));
    await fails(readTokenFolder(path), 'E_TOKENS_DAMAGED', shardFile(1), 'k0');
  });

  test('a tar cut between two files, though its length and hash are those of the manifest', async () => {
    const error = await shard(
      [0, 1, 2].map((index) => sample(index)),
      (bytes) => bytes.subarray(0, 9 * 512),
    );
    assert.deepEqual([error.code, error.where], ['E_TOKENS_DAMAGED', shardFile(0)]);
  });
});

describe('a manifest of version 1, which counted its `pictures`,', () => {
  /** As version 1 wrote it. */
  const old = (manifest: TokenManifest): string => {
    const { images, ...rest } = manifest;
    return `${JSON.stringify({ ...rest, version: 1, pictures: images }, null, 2)}\n`;
  };

  test('is read like one of version 2', async () => {
    const manifest = await fill(false);
    const set = await readTokenFolder(path);
    writeFileSync(join(path, 'manifest.json'), old(manifest));
    assert.deepEqual(await readManifest(join(path, 'manifest.json')), manifest);
    assert.deepEqual(await readTokenFolder(path), set);
  });

  test('is read as it lies on disk', async () => {
    mkdirSync(path);
    writeFileSync(join(path, 'manifest.json'), VERSION_1);
    assert.deepEqual(await readManifest(join(path, 'manifest.json')), {
      format: 'mm-tokens',
      version: 2,
      dvae: sha256('dvae'),
      imageSize: 8,
      grid: 2,
      vocabulary: 100,
      shardSize: 3,
      source: sha256('source'),
      images: 2,
      shards: [
        {
          file: 'shard-000000.tar',
          count: 2,
          bytes: 10_240,
          sha256: sha256('shard'),
          skipped: [{ file: 'k1.png', why: 'cut short' }],
        },
      ],
    });
  });

  test('can be resumed, and is then of version 2', async () => {
    await fill(false);
    const whole = contents();
    rmSync(path, { recursive: true });
    const folder = await open(false);
    await writeShard(folder, 1);
    writeFileSync(join(path, 'manifest.partial.json'), old((await folder.finish())!.manifest));
    const resumed = await open(true);
    assert.deepEqual([resumed.isMissing(0), resumed.isMissing(1)], [true, false]);
    await fill(true);
    assert.deepEqual(contents(), whole);
  });

  test('is refused when its count is wrong', async () => {
    const manifest = await fill(false);
    writeFileSync(join(path, 'manifest.json'), old({ ...manifest, images: 5 }));
    await fails(readTokenFolder(path), 'E_TOKENS_DAMAGED', 'tokens/manifest.json', 'images');
  });
});

/** A manifest that the first version wrote, to the letter. */
const VERSION_1 = `{
  "format": "mm-tokens",
  "version": 1,
  "dvae": "c151a599fdbd97e20f1e95c9b6af0d78e09e6ec9f375574083142359da74bf73",
  "imageSize": 8,
  "grid": 2,
  "vocabulary": 100,
  "shardSize": 3,
  "source": "41cf6794ba4200b839c53531555f0f3998df4cbb01a4d5cb0b94e3ca5e23947d",
  "pictures": 2,
  "shards": [
    {
      "file": "shard-000000.tar",
      "count": 2,
      "bytes": 10240,
      "sha256": "df3598cd66f1bb5bc4e2c17be89b7c7ecf0c81e53939f471a6b72db8d139edae",
      "skipped": [
        {
          "file": "k1.png",
          "why": "cut short"
        }
      ]
    }
  ]
}
`;

test('codes of another dVAE are refused, with both hashes', async () => {
  await fill(false);
  const set = await readTokenFolder(path);
  assertSameDvae(set, LAYOUT.dvae, 'runs/dvae');
  assert.throws(
    () => assertSameDvae(set, sha256('other'), 'runs/dvae'),
    (error: unknown) => {
      assert.ok(error instanceof DataError && error.code === 'E_DVAE_DIFFERS');
      assert.ok(error.message.includes(LAYOUT.dvae) && error.message.includes(sha256('other')));
      assert.equal(error.where, 'runs/dvae');
      return true;
    },
  );
});
