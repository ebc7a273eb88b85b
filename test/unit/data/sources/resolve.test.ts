import assert from 'node:assert/strict';
import { readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import * as tar from 'tar-stream';
import { decodeImage } from '../../../../src/data/decode.ts';
import { ImageFault } from '../../../../src/data/image.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { openSource } from '../../../../src/data/sources/open-source.ts';
import { readImages } from '../../../../src/data/sources/resolve.ts';
import { noise, plain, temporaryFolder, write } from '../../../support/images.ts';

/** A tar of the files, in their order. */
async function pack(files: readonly (readonly [name: string, data: Buffer | string])[]): Promise<Buffer> {
  const archive = tar.pack();
  for (const [name, data] of files) archive.entry({ name }, data as Buffer);
  archive.finalize();
  return buffer(archive);
}

const red = await plain(8, 8, '#f00').png().toBuffer();
const blue = await plain(8, 8, '#00f').png().toBuffer();
const optional = { captions: 'optional' } as const;
const colour = async (image: Parameters<typeof decodeImage>[0]): Promise<number[]> => [
  ...(await decodeImage(image, { size: 8, crop: 'center' })).subarray(0, 3),
];

describe('tars', () => {
  test('tars give examples by stem in the order of the archives, with captions of .txt or img2dataset’s .json', async () => {
    const folder = await temporaryFolder();
    const long = `${'deep/'.repeat(30)}${'n'.repeat(120)}`; // needs a pax header, which shifts what follows
    await write(
      join(folder, 'b-001.tar'),
      await pack([
        ['000.txt', ' a red square \nanother\n'],
        ['000.png', red],
        ['000.json', '{"caption":"not this one"}'],
        [`${long}.png`, blue],
        ['sub/000.seg.png', red],
        ['sub/001.jpg', blue],
        ['sub/001.json', '{"caption":"a blue square","width":8}'],
        ['alone.txt', 'a caption without an image does no harm'],
        ['bad.json', 'not json'],
        ['bad.webp', blue],
      ]),
    );
    await write(join(folder, 'a-000.tar'), await pack([['000.png', blue]]));
    const images = await readImages(folder, optional);
    assert.deepEqual(
      images.map(({ key, captions }) => [key, captions]),
      [
        ['a-000/000', []],
        ['b-001/000', ['a red square', 'another']],
        [`b-001/${long}`, []],
        ['b-001/sub/001', ['a blue square']],
        ['b-001/bad', []],
      ],
    );
    assert.deepEqual(await Promise.all(images.slice(0, 4).map(colour)), [
      [0, 0, 255],
      [255, 0, 0],
      [0, 0, 255],
      [0, 0, 255],
    ]);
    assert.equal(images[1]!.path, join(folder, 'b-001.tar', '000.png'));
    assert.equal((await openSource(folder)).base, folder);
    assert.equal((await openSource(join(folder, 'a-000.tar'))).base, folder);

    const one = await readImages(
      join(folder, '{000..001}.tar').replace('{', 'a-{').replace('001', '000'),
      optional,
    );
    assert.equal(one.length, 1);
    const faults = new Faults();
    const captioned = await readImages(folder, {
      captions: 'required',
      faults,
    });
    assert.equal(captioned.length, 2);
    assert.deepEqual(
      faults.counts.map(({ kind, count }) => [kind, count]),
      [
        ['unclear-key', 1], // sub/000.seg.png
        ['orphan-caption', 1],
        ['unreadable-caption', 1],
        ['no-caption', 2],
      ],
    );
    const bare = await readImages(folder, { captions: 'ignore' });
    assert.ok(bare.every(({ captions }) => captions.length === 0));
  });

  test('a pattern in braces names archives, with the digits it is written with', async () => {
    const { parts } = await openSource('x/t-{008..010}.tar');
    assert.deepEqual(
      parts.map(({ path, access }) => [path, access]),
      ['x/t-008.tar', 'x/t-009.tar', 'x/t-010.tar'].map((path) => [path, 'direct']),
    );
    const pattern = 'x/t-{3..1}.tar';
    await assert.rejects(openSource(pattern), { name: 'UsageError', code: 'E_BAD_PATTERN', where: pattern });
    await assert.rejects(readImages('x/t-{0..1}.tar', optional), { code: 'E_NOT_FOUND', where: 'x/t-0.tar' });
  });

  test('an unusable archive is refused with its name and the reason', async () => {
    const folder = await temporaryFolder();
    const whole = await pack([
      ['0.jpg', await noise(64, 64, 'jpeg')],
      ['1.jpg', await noise(64, 64, 'jpeg')],
    ]);
    const at = (name: string): string => join(folder, name);
    await write(at('cut/cut.tar'), whole.subarray(0, 6000));
    const faults = new Faults();
    assert.equal((await readImages(at('cut'), { ...optional, faults })).length, 1); // the one before the cut
    assert.deepEqual(
      faults.all.map(({ path }) => path),
      [at('cut/cut.tar')],
    );
    await write(at('text.tar'), 'no tar at all, but long enough '.repeat(60));
    await assert.rejects(readImages(at('text.tar'), optional), { code: 'E_ARCHIVE_DAMAGED' });
    await write(at('a.tar.zst'), Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0]));
    await assert.rejects(readImages(at('a.tar.zst'), optional), { code: 'E_COMPRESSED_ARCHIVE' });
    await write(at('none.tar'), await pack([['0.txt', 'words']]));
    await assert.rejects(readImages(at('none.tar'), optional), { code: 'E_NO_IMAGES' });
    await write(at('mixed/a.tar'), whole);
    await write(at('mixed/a.png'), red);
    await assert.rejects(readImages(at('mixed'), optional), { code: 'E_MIXED_SOURCE' });

    await write(at('shrunk.tar'), whole);
    const [, last] = await readImages(at('shrunk.tar'), optional);
    await truncate(at('shrunk.tar'), last!.region!.offset + 10);
    await assert.rejects(
      colour(last!),
      (error: Error) => error instanceof ImageFault && /ends inside/.test(error.message),
    );
    assert.ok((await readFile(at('none.tar'))).length > 0);
  });
});

describe('lists', () => {
  const both = (...more: string[]) => [
    ['a', ['a red square, "quoted"', ...more]],
    ['deep/b', []],
  ];
  const list = async (name: string, text: string): Promise<(readonly [string, readonly string[]])[]> => {
    const folder = await temporaryFolder();
    await write(join(folder, 'a.png'), red);
    await write(join(folder, 'deep/b.png'), blue);
    await write(join(folder, name), text);
    const images = await readImages(join(folder, name), optional);
    assert.deepEqual(await colour(images[0]!), [255, 0, 0]);
    return images.map(({ key, captions }) => [key, captions]);
  };

  test('CSV and TSV are read as in RFC 4180, with the column names of other programs', async () => {
    assert.deepEqual(
      await list(
        'list.csv',
        'id,filepath,title\r\n1,a.png,"a red square, ""quoted""\nsecond line"\r\n2,deep/b.png,\r\n3,a.png,later\r\n',
      ),
      both('second line', 'later'),
    );
    assert.deepEqual(
      await list('list.tsv', 'caption\tfile\n"a red square, ""quoted"""\ta.png\n\tdeep/b.png'),
      both(),
    );
  });

  test('JSON lines are read with the keys of other programs', async () => {
    assert.deepEqual(
      await list(
        'list.jsonl',
        '{"image":"a.png","text":"a red square, \\"quoted\\""}\n\n{"file_name":"./deep/b.png"}\n',
      ),
      both(),
    );
  });

  test('COCO captions are found beside the images or in the folder of annotations, several for an image', async () => {
    const folder = await temporaryFolder();
    await write(join(folder, 'val2017/7.png'), red);
    await write(
      join(folder, 'annotations/captions_val2017.json'),
      JSON.stringify({
        images: [
          { id: 7, file_name: '7.png' },
          { id: 8, file_name: '8.png' },
        ],
        annotations: [
          { image_id: 7, caption: 'first ' },
          { image_id: 7, caption: 'second\n in two lines' },
        ],
      }),
    );
    const images = await readImages(join(folder, 'annotations/captions_val2017.json'), optional);
    assert.deepEqual(
      images.map(({ path, captions }) => [path, captions]),
      [
        [join(folder, 'val2017/7.png'), ['first', 'second in two lines']],
        [join(folder, 'val2017/8.png'), []],
      ],
    );
    assert.deepEqual(await colour(images[0]!), [255, 0, 0]);
  });

  test('a row that cannot be used is recorded with its line, and the others are read', async () => {
    const cases: [name: string, text: string, line: string, images: number][] = [
      ['b.csv', 'file,caption\na.png,x\n\n,y\n', ':4', 1],
      ['c.jsonl', '{"file":"a.png"}\n{"file":\n', ':2', 1],
      ['d.jsonl', '{"file":"a.png"}\n{"caption":"x"}\n7\n', ':2', 1],
      ['f.csv', 'file,caption\na.png,one, two\nb.png,three\n', ':2', 1],
      ['g.csv', 'file\nhttps://a.b/c.png\nb.png\n', ':2', 1],
      ['h.json', '[{"image":"a.png"},{"image":7}]', '[1]', 1],
    ];
    const folder = await temporaryFolder();
    for (const [name, text, line, images] of cases) {
      const path = join(folder, name);
      await write(path, text);
      const faults = new Faults();
      assert.equal((await readImages(path, { ...optional, faults })).length, images, name);
      assert.equal(faults.counts[0]!.kind, 'list-row', name);
      assert.equal(faults.all[0]!.path, `${path}${line}`, name);
    }
  });

  test('a list of no use is an error that names the place', async () => {
    const cases: [name: string, text: string, code: string, where: string][] = [
      ['a.csv', 'id,words\n1,x\n', 'E_NO_IMAGE_COLUMN', ':1'],
      ['c.jsonl', '{"file":\n{"file":', 'E_NOT_JSON', ':1'],
      ['d.jsonl', '{"caption":"x"}\n', 'E_NO_IMAGES', ':1'],
      ['e.json', '[]', 'E_NO_IMAGES', ''],
      ['f.csv', 'file\n', 'E_NO_IMAGES', ''],
      ['h.json', '{"images":[]}\n', 'E_NO_IMAGES', ''],
      ['i.json', '7', 'E_NOT_A_LIST', ''],
    ];
    const folder = await temporaryFolder();
    for (const [name, text, code, line] of cases) {
      const path = join(folder, name);
      await write(path, text);
      await assert.rejects(
        readImages(path, optional),
        { name: 'DataError', code, where: `${path}${line}` },
        name,
      );
    }
    const none = join(folder, 'none.csv');
    await assert.rejects(readImages(none, optional), { name: 'DataError', code: 'E_NOT_FOUND', where: none });
  });

  test('images of a list that share a name but for the extension are all used', async () => {
    const folder = await temporaryFolder();
    await write(join(folder, 'g.csv'), 'file\na.png\na.jpg\n');
    const images = await readImages(join(folder, 'g.csv'), optional);
    assert.deepEqual(
      images.map(({ key }) => key),
      ['a.png', 'a.jpg'],
    );
  });
});
