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
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { assertSameDvae } from '../../../../src/data/tokens/check.ts';
import { TokenFolder } from '../../../../src/data/tokens/folder.ts';
import { type ShardLayout, sha256, type TokenManifest } from '../../../../src/data/tokens/manifest.ts';
import { readTokenFolder } from '../../../../src/data/tokens/read.ts';
import { packShard, type TokenSample } from '../../../../src/data/tokens/shard.ts';
import { DataError, formatUserError, UsageError, UserError } from '../../../../src/util/errors.ts';

let root: string;
let path: string;
let warnings: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mm-tokens-'));
  path = join(root, 'tokens');
  warnings = [];
});
afterEach(() => rmSync(root, { recursive: true }));

const PLAN: ShardLayout = {
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
  caption: index === 4 ? undefined : `caption ${index}`,
  rows: 2,
  columns: 2,
  codes: Uint16Array.from(codes),
});

const open = (resume: boolean, plan = PLAN): Promise<TokenFolder> =>
  TokenFolder.open(path, plan, { resume, warn: (message) => void warnings.push(message) });

/** Image 6 is left out. */
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
  for (const shard of [0, 1, 2]) if (!folder.has(shard)) await writeShard(folder, shard);
  return folder.finish();
}

/** Every file by name. */
const contents = (): Record<string, string> =>
  Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'latin1')]));

async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof UserError, String((error as Error).stack));
    assert.ok(error.fix, 'says the fix');
    return formatUserError(error).replaceAll(root, 'ROOT');
  }
  assert.fail('did not fail');
}

describe('a finished folder', () => {
  test('is read back whole', async () => {
    await fill(false);
    const { codes, ...set } = await readTokenFolder(path);
    const kept = [0, 1, 2, 3, 4, 5, 7];
    assert.deepEqual(set, {
      grid: 2,
      vocabulary: 100,
      dvaeHash: PLAN.dvae,
      keys: kept.map((index) => `k${index}`),
      captions: kept.map((index) => sample(index).caption),
    });
    assert.deepEqual(
      [...codes],
      kept.flatMap((index) => [...sample(index).codes]),
    );
  });

  test('has a manifest that says what is in it', async () => {
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
      version: 1,
      ...PLAN,
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

  test('is not written over', async () => {
    await fill(false);
    const before = contents();
    assert.match(
      await failure(open(false)),
      /holds token shards already\n {2}at: {2}ROOT\/tokens\n.*--resume/,
    );
    assert.deepEqual(contents(), before);
  });

  test('resumed, stays as it is', async () => {
    await fill(false);
    const before = contents();
    const inode = statSync(join(path, 'shard-000001.tar')).ino;
    const folder = await open(true);
    assert.deepEqual(
      [0, 1, 2, 3].map((shard) => folder.has(shard)),
      [true, true, true, false],
    );
    assert.equal(folder.done, IMAGES);
    await folder.finish();
    assert.deepEqual(contents(), before);
    assert.equal(statSync(join(path, 'shard-000001.tar')).ino, inode);
  });
});

describe('an interrupted folder', () => {
  test('goes on with the shards that are missing, and ends as if nothing had happened', async () => {
    await fill(false);
    const whole = contents();
    rmSync(path, { recursive: true });

    await writeShard(await open(false), 1);
    assert.match(await failure(readTokenFolder(path)), /no finished token shards/);
    assert.match(await failure(open(false)), /--resume/);
    const folder = await open(true);
    assert.deepEqual(
      [0, 1, 2].map((shard) => folder.has(shard)),
      [false, true, false],
    );
    assert.equal(folder.done, 3);
    await fill(true);
    assert.deepEqual(contents(), whole);
    assert.deepEqual(warnings, []);
  });

  test('a shard whose record was not written yet is made again; what half-written files leave is removed', async () => {
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
      [0, 1].map((shard) => folder.has(shard)),
      [true, true],
    );
    const resumed = await open(true);
    assert.deepEqual(
      [0, 1].map((shard) => resumed.has(shard)),
      [true, false],
    );
    await fill(true);
    assert.deepEqual(contents(), whole);
  });

  test('killed before its first file, it is empty or holds a half-written one', async () => {
    mkdirSync(path);
    writeFileSync(join(path, '.manifest.partial.json.1.abcd.tmp'), '{');
    await fill(false);
    assert.ok(!readdirSync(path).some((name) => name.startsWith('.')));
  });

  test('resuming what was never begun begins', async () => {
    assert.equal((await fill(true)).images, 7);
  });

  test('storage that fails leaves what is finished', async () => {
    const folder = await open(false);
    await writeShard(folder, 0);
    mkdirSync(join(path, 'shard-000001.tar', 'in the way'), { recursive: true });
    await assert.rejects(writeShard(folder, 1));
    rmSync(join(path, 'shard-000001.tar'), { recursive: true });
    assert.deepEqual(readdirSync(path).sort(), ['manifest.partial.json', 'shard-000000.tar']);
    assert.equal((await fill(true)).images, 7);
  });

  test('a damaged shard of a finished folder is made again, with a warning', async () => {
    await fill(false);
    const whole = contents();
    truncateSync(join(path, 'shard-000000.tar'), 700);
    rmSync(join(path, 'shard-000002.tar'));
    const folder = await open(true);
    assert.deepEqual(
      [0, 1, 2].map((shard) => folder.has(shard)),
      [false, true, false],
    );
    assert.equal(warnings.length, 2);
    assert.match(warnings[0]!, /^shard-000000\.tar is made again: the shard has 700 bytes of \d+$/);
    assert.ok(!existsSync(join(path, 'manifest.json')), 'nobody takes it for finished meanwhile');
    await fill(true);
    assert.deepEqual(contents(), whole);
  });

  test('more than a million shards stay in order', async () => {
    const folder = await open(false, { ...PLAN, shardSize: 1 });
    for (const shard of [1_000_000, 999_999]) await folder.write(shard, [sample(shard, [1, 2, 3, 4])], []);
    const { shards } = await folder.finish();
    assert.deepEqual(
      shards.map(({ file }) => file),
      ['shard-999999.tar', 'shard-1000000.tar'],
    );
    assert.deepEqual((await readTokenFolder(path)).keys, ['k999999', 'k1000000']);
  });
});

describe('refuses to mix with', () => {
  test('another program’s files', async () => {
    mkdirSync(path);
    writeFileSync(join(path, 'thesis.txt'), 'precious');
    for (const resume of [false, true]) await assert.rejects(open(resume), UsageError);
    assert.deepEqual(contents(), { 'thesis.txt': 'precious' });
  });

  test('a file', async () => {
    writeFileSync(path, 'precious');
    assert.match(await failure(open(false)), /is a file/);
  });

  for (const [key, value, message] of [
    ['dvae', sha256('other'), `begun with dvae ${PLAN.dvae}, and now it is ${sha256('other')}`],
    ['imageSize', 16, 'imageSize 8, and now it is 16'],
    ['shardSize', 4, 'shardSize 3, and now it is 4'],
    ['source', sha256('other'), 'names and captions'],
  ] as const) {
    test(`shards of another ${key}`, async () => {
      await writeShard(await open(false), 0);
      const before = contents();
      await assert.rejects(open(true, { ...PLAN, [key]: value }), DataError);
      const text = await failure(open(true, { ...PLAN, [key]: value }));
      assert.ok(text.includes(message), text);
      assert.deepEqual(contents(), before);
    });
  }
});

describe('reading refuses', () => {
  const reset = (): void => rmSync(path, { recursive: true });

  /** The finished folder with its manifest changed. */
  async function changed(change: (manifest: TokenManifest) => unknown): Promise<string> {
    const manifest = await fill(false);
    writeFileSync(join(path, 'manifest.json'), JSON.stringify(change(manifest)));
    return failure(readTokenFolder(path));
  }

  /** The finished folder with another first shard, which the manifest knows. */
  async function shard(samples: TokenSample[], change = (bytes: Buffer) => bytes): Promise<string> {
    const bytes = change(await packShard(samples));
    return changed((manifest) => {
      writeFileSync(join(path, 'shard-000000.tar'), bytes);
      const record = { ...manifest.shards[0], bytes: bytes.length, sha256: sha256(bytes) };
      return { ...manifest, shards: [record, ...manifest.shards.slice(1)] };
    });
  }

  test('a folder that is not there, or has no manifest', async () => {
    assert.match(
      await failure(readTokenFolder(path)),
      /no finished token shards\n.*ROOT\/tokens\n.*mm tokenize/,
    );
    mkdirSync(path);
    assert.match(await failure(readTokenFolder(path)), /no finished token shards/);
  });

  test('a missing, shortened or changed shard', async () => {
    await fill(false);
    const file = join(path, 'shard-000001.tar');
    const bytes = readFileSync(file);
    renameSync(file, join(path, 'elsewhere'));
    assert.match(
      await failure(readTokenFolder(path)),
      /a shard is missing\n {2}at: {2}ROOT\/tokens\/shard-000001\.tar/,
    );
    writeFileSync(file, bytes.subarray(0, 1024));
    assert.match(await failure(readTokenFolder(path)), /1024 bytes of \d+/);
    writeFileSync(
      file,
      bytes.map((byte, i) => (i === 600 ? byte ^ 1 : byte)),
    );
    assert.match(await failure(readTokenFolder(path)), /not as it was written/);
  });

  test('a manifest that is none, of another version, or names files elsewhere', async () => {
    assert.match(
      await changed(() => 'text').finally(reset),
      /the manifest: .*\n.*manifest\.json\n.*remove it/,
    );
    assert.match(
      await changed((manifest) => ({ ...manifest, version: 2 })).finally(reset),
      /format 2; this mm reads format 1/,
    );
    assert.match(await changed((manifest) => ({ ...manifest, dvae: 'short' })).finally(reset), /dvae: /);
    const elsewhere = (manifest: TokenManifest): unknown => ({
      ...manifest,
      shards: [{ ...manifest.shards[0], file: '../shard-000000.tar' }],
    });
    assert.match(await changed(elsewhere), /shards\.0\.file/);
  });

  test('images that are fewer or more than the manifest says', async () => {
    assert.match(await shard([sample(0), sample(1)]), /2 images of 3/);
    reset();
    assert.match(await changed((manifest) => ({ ...manifest, images: 6 })), /images/);
  });

  test('codes of another shape, or past the vocabulary', async () => {
    const oblong = { ...sample(1), rows: 1, columns: 4 };
    assert.match(await shard([sample(0), oblong, sample(2)]), /k1 has 1 × 4 codes, the manifest says 2 × 2/);
    reset();
    assert.match(
      await shard([sample(0), sample(1), sample(2, [5, 100, 3, 0])]),
      /k2 has code 100, the vocabulary is 100\n {2}at: {2}ROOT\/tokens\/shard-000000\.tar/,
    );
  });

  test('images that are in two shards', async () => {
    await fill(false);
    cpSync(join(path, 'shard-000000.tar'), join(path, 'shard-000001.tar'));
    const manifest = JSON.parse(readFileSync(join(path, 'manifest.json'), 'utf8')) as TokenManifest;
    const [first, , last] = manifest.shards;
    const shards = [first, { ...first, file: 'shard-000001.tar' }, last];
    writeFileSync(join(path, 'manifest.json'), JSON.stringify({ ...manifest, shards }));
    assert.match(await failure(readTokenFolder(path)), /image 0 \(k0\) comes after image 2/);
  });

  test('a tar that is cut where a file ends, though the manifest knows it', async () => {
    assert.match(
      await shard(
        [0, 1, 2].map((index) => sample(index)),
        (bytes) => bytes.subarray(0, 9 * 512),
      ),
      /shard/,
    );
  });
});

test('codes of another dVAE are refused, with both hashes', async () => {
  await fill(false);
  const set = await readTokenFolder(path);
  assertSameDvae(set, PLAN.dvae, 'runs/dvae');
  assert.throws(
    () => assertSameDvae(set, sha256('other'), 'runs/dvae'),
    (error: unknown) => {
      assert.ok(error instanceof DataError);
      assert.ok(error.message.includes(PLAN.dvae) && error.message.includes(sha256('other')));
      assert.equal(error.where, 'runs/dvae');
      return true;
    },
  );
});
