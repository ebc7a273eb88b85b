import assert from 'node:assert/strict';
import { readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import * as tar from 'tar-stream';
import { decodeImage } from '../../../../src/data/decode.ts';
import { ImageFault } from '../../../../src/data/image.ts';
import { Faults } from '../../../../src/data/sources/faults.ts';
import { archivesOf, baseFolder, readImages } from '../../../../src/data/sources/resolve.ts';
import { DataError, UsageError } from '../../../../src/util/errors.ts';
import { keepingLogger, noise, plain, temporaryFolder, write } from '../../../support/images.ts';

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
  test('examples by stem, with captions of .txt or of img2dataset’s .json, in the order of the archives', async () => {
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
      images.map(({ key, caption }) => [key, caption]),
      [
        ['a-000/000', undefined],
        ['b-001/000', 'a red square'],
        [`b-001/${long}`, undefined],
        ['b-001/sub/001', 'a blue square'],
        ['b-001/bad', undefined],
      ],
    );
    assert.deepEqual(await Promise.all(images.slice(0, 4).map(colour)), [
      [0, 0, 255],
      [255, 0, 0],
      [0, 0, 255],
      [0, 0, 255],
    ]);
    assert.equal(images[1]!.path, join(folder, 'b-001.tar', '000.png'));
    assert.equal(await baseFolder(folder), folder);
    assert.equal(await baseFolder(join(folder, 'a-000.tar')), folder);

    const one = await readImages(
      join(folder, '{000..001}.tar').replace('{', 'a-{').replace('001', '000'),
      optional,
    );
    assert.equal(one.length, 1);
    const captioned = await readImages(folder, {
      captions: 'required',
      faults: new Faults(keepingLogger().log),
    });
    assert.equal(captioned.length, 2);
    await assert.rejects(readImages(folder, { captions: 'required' }), /3 of 5 images have no caption/);
    const bare = await readImages(folder, { captions: 'ignore' });
    assert.ok(bare.every(({ caption }) => caption === undefined));
  });

  test('a pattern in braces names archives, padded as it is written', async () => {
    assert.deepEqual(await archivesOf('x/t-{008..010}.tar'), ['x/t-008.tar', 'x/t-009.tar', 'x/t-010.tar']);
    await assert.rejects(archivesOf('x/t-{3..1}.tar'), UsageError);
    await assert.rejects(readImages('x/t-{0..1}.tar', optional), /no such archive/);
  });

  test('what cannot be used is refused by name', async () => {
    const folder = await temporaryFolder();
    const whole = await pack([
      ['0.jpg', await noise(64, 64, 'jpeg')],
      ['1.jpg', await noise(64, 64, 'jpeg')],
    ]);
    const at = (name: string): string => join(folder, name);
    await write(at('cut/cut.tar'), whole.subarray(0, 6000));
    await assert.rejects(
      readImages(at('cut'), optional),
      (error: DataError) =>
        error instanceof DataError &&
        /not a whole tar/.test(error.message) &&
        error.where === at('cut/cut.tar'),
    );
    await write(at('text.tar'), 'no tar at all, but long enough '.repeat(60));
    await assert.rejects(readImages(at('text.tar'), optional), /not a whole tar file/);
    await write(at('a.tar.gz'), gzipSync(whole));
    await assert.rejects(readImages(at('a.tar.gz'), optional), /compressed archive/);
    await write(
      at('twins.tar'),
      await pack([
        ['0.jpg', red],
        ['0.png', red],
      ]),
    );
    await assert.rejects(readImages(at('twins.tar'), optional), /share a name: 0\.jpg, 0\.png/);
    await write(at('none.tar'), await pack([['0.txt', 'words']]));
    await assert.rejects(readImages(at('none.tar'), optional), /hold no image/);
    await write(at('mixed/a.tar'), whole);
    await write(at('mixed/a.png'), red);
    await assert.rejects(readImages(at('mixed'), optional), /both images and tars/);

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
  const both = [
    ['a', 'a red square, "quoted"'],
    ['deep/b', undefined],
  ];
  const list = async (name: string, text: string): Promise<[string, string | undefined][]> => {
    const folder = await temporaryFolder();
    await write(join(folder, 'a.png'), red);
    await write(join(folder, 'deep/b.png'), blue);
    await write(join(folder, name), text);
    const images = await readImages(join(folder, name), optional);
    assert.deepEqual(await colour(images[0]!), [255, 0, 0]);
    return images.map(({ key, caption }) => [key, caption]);
  };

  test('CSV and TSV, quoted as RFC 4180 has it, with the columns of other programs', async () => {
    assert.deepEqual(
      await list(
        'list.csv',
        'id,filepath,title\r\n1,a.png,"a red square, ""quoted""\nsecond line"\r\n2,deep/b.png,\r\n3,a.png,later\r\n',
      ),
      both,
    );
    assert.deepEqual(
      await list('list.tsv', 'caption\tfile\n"a red square, ""quoted"""\ta.png\n\tdeep/b.png'),
      both,
    );
  });

  test('JSON lines', async () => {
    assert.deepEqual(
      await list(
        'list.jsonl',
        '{"image":"a.png","text":"a red square, \\"quoted\\""}\n\n{"file_name":"./deep/b.png"}\n',
      ),
      both,
    );
  });

  test('COCO’s captions, beside the images or in their folder of annotations; the first of several captions', async () => {
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
          { image_id: 7, caption: 'second' },
        ],
      }),
    );
    const images = await readImages(join(folder, 'annotations/captions_val2017.json'), optional);
    assert.deepEqual(
      images.map(({ path, caption }) => [path, caption]),
      [
        [join(folder, 'val2017/7.png'), 'first'],
        [join(folder, 'val2017/8.png'), undefined],
      ],
    );
    assert.deepEqual(await colour(images[0]!), [255, 0, 0]);
  });

  test('what is wrong is said with its line', async () => {
    const cases: [string, string, RegExp, RegExp][] = [
      ['a.csv', 'id,words\n1,x\n', /no image is named/, /a\.csv:1$/],
      ['b.csv', 'file,caption\na.png,x\n\n,y\n', /no field 1/, /b\.csv:4$/],
      ['c.jsonl', '{"file":"a.png"}\n{"file":\n', /not JSON/, /c\.jsonl:2$/],
      ['d.jsonl', '{"caption":"x"}\n', /no image is named/, /d\.jsonl:1$/],
      ['e.json', '[]', /not a list of COCO captions/, /e\.json$/],
      ['f.csv', 'file\n', /names no image/, /f\.csv$/],
      ['g.csv', 'file\na.png\na.jpg\n', /share a name/, /g\.csv$/],
    ];
    const folder = await temporaryFolder();
    for (const [name, text, what, where] of cases) {
      await write(join(folder, name), text);
      await assert.rejects(readImages(join(folder, name), optional), (error: DataError) => {
        assert.ok(error instanceof DataError, String(error));
        assert.match(error.message, what);
        assert.match(error.where ?? '', where);
        return true;
      });
    }
    await assert.rejects(readImages(join(folder, 'none.csv'), optional), /cannot be read/);
  });
});
