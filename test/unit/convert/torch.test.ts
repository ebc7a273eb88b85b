import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SafetensorsFile } from '../../../src/checkpoint/safetensors.ts';
import { External, PickleObject, type PickleValue } from '../../../src/convert/pickle/values.ts';
import { TorchFile } from '../../../src/convert/torch/file.ts';
import { stateDict } from '../../../src/convert/torch/state-dict.ts';
import { DataError } from '../../../src/util/errors.ts';
import { RandomStream } from '../../../src/util/random.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/torch/${name}`, import.meta.url));

let root: string;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'mm-torch-'));
});
after(() => rmSync(root, { recursive: true }));

async function opened<T>(path: string, use: (file: TorchFile) => T | Promise<T>): Promise<T> {
  const file = await TorchFile.open(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

async function safetensors(name: string) {
  const file = await SafetensorsFile.open(fixture(name));
  return file.readAll().finally(() => file.close());
}

/** The elements of the tensors of `value`, a dictionary or module. */
async function readTensors(value: PickleValue, where: string) {
  const all = new Map();
  for (const [name, tensor] of stateDict(value, where)) all.set(name, await tensor.read());
  return all;
}

describe('files of torch.save', () => {
  for (const name of ['zip.pt', 'protocol-5.pt', 'legacy.pt']) {
    test(`${name}: tensors of every type, views and shared storages have the values of torch`, async () => {
      const expected = await safetensors('tensors.safetensors');
      await opened(fixture(name), async ({ value }) => {
        const weights = (value as Map<string, PickleValue>).get('weights')!;
        const tensors = await readTensors(weights, name);
        assert.equal(tensors.size, 16);
        for (const [key, tensor] of expected) assert.deepEqual(tensors.get(key), tensor, key);
      });
    });

    test(`${name}: settings are read as plain data`, async () => {
      await opened(fixture(name), ({ value }) => {
        const contents = value as Map<string, PickleValue>;
        const settings = Object.fromEntries(contents.get('settings') as Map<string, PickleValue>);
        assert.deepEqual(settings, {
          layers: 3,
          rate: 0.5,
          name: 'näme',
          big: 2n ** 70n,
          negative: -300,
          on: true,
          none: null,
        });
        assert.deepEqual(contents.get('tuple'), [1, [2, 3], [4, 5], new Set([6])]);
        const namespace = contents.get('namespace') as PickleObject;
        assert.equal(namespace.className, 'argparse.Namespace');
        assert.equal(namespace.get('depth'), 2);
        assert.deepEqual((contents.get('device') as PickleObject).args, ['cpu']);
        assert.equal((contents.get('path') as PickleObject).args.join('/'), 'a/b');
        assert.deepEqual(Buffer.from(contents.get('bytes') as Uint8Array), Buffer.from([0, 255]));
      });
    });
  }

  test('parameters and buffers of TorchScript have the names of state_dict()', async () => {
    const expected = await safetensors('script.safetensors');
    await opened(fixture('script.pt'), async ({ value }) => {
      const tensors = await readTensors(value, 'script.pt');
      assert.deepEqual([...tensors.keys()].sort(), [...expected.keys()].sort());
      for (const [key, tensor] of expected) assert.deepEqual(tensors.get(key), tensor, key);
    });
  });
});

/** A file of the older layout with the pickle `operations` as its object. @param keys pickle of the storages' keys */
function legacy(operations: string, keys = '\x80\x02].', storages = ''): Buffer {
  const magic = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.';
  const version = '\x80\x02M\xe9\x03.';
  return Buffer.from(`${magic}${version}\x80\x02}.\x80\x02${operations}${keys}${storages}`, 'latin1');
}

/** The pickle of a text shorter than 256 bytes. */
const text = (value: string): string => `\x8c${String.fromCharCode(value.length)}${value}`;
const int = (value: number): string => `J${Buffer.from(Int32Array.of(value).buffer).toString('latin1')}`;
/** The float32 storage "0" of `count` elements. */
const storage = (count: number): string =>
  `(${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cpu')}${int(count)}NtQ`;
const tensor = (count: number, offset: string, shape: string, strides: string): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${storage(count)}${offset}${shape}${strides}\x89NtR.`;
const KEYS = `\x80\x02](${text('0')}e.`;
const elements = (count: number, values: number): string =>
  Buffer.concat([
    Buffer.from(BigInt64Array.of(BigInt(count)).buffer),
    Buffer.from(new Float32Array(values).fill(1).buffer),
  ]).toString('latin1');

/** The error of reading a file with this content. */
async function errorOf(name: string, content: Uint8Array): Promise<DataError> {
  const path = join(root, name);
  writeFileSync(path, content);
  try {
    await opened(path, async ({ value }) => {
      if (value instanceof External || value instanceof PickleObject) {
        for (const part of stateDict(value, path).values()) await part.read();
      }
    });
  } catch (error) {
    assert.ok(error instanceof DataError, `${error}`);
    assert.ok(error.where?.startsWith(path), error.where);
    assert.ok(error.fix);
    return error;
  }
  return assert.fail(`${name} was read`);
}

test('classes that weights do not need are data: names, arguments, items and attributes', async () => {
  const values: Readonly<Record<string, string>> = {
    'by its class': `ctorch.optim.adam\nAdam\n)\x81.`,
    'with keyword arguments': `cmy.project\nThing\n)}${text('a')}Ns\x92.`,
    'with items': `cmy.project\nDict\n)\x81${text('a')}Ns(${text('b')}Nu.`,
    'with elements': `cmy.project\nList\n)\x81Na(NNe.`,
    'by copyreg': `ccopyreg\n_reconstructor\n(cmy.project\nThing\ncbuiltins\nobject\nNtR.`,
    'by getattr': `cbuiltins\ngetattr\n(cmy.project\nEnum\n${text('X')}tR.`,
    'by calling what a call gives': `cbuiltins\ngetattr\n(cmy.project\nEnum\n${text('X')}tR)R.`,
    'named as in JavaScript': 'cconstructor\nprototype\n)R.',
  };
  for (const [name, operations] of Object.entries(values)) {
    const path = join(root, 'data.pt');
    writeFileSync(path, legacy(operations));
    await opened(path, ({ value }) => {
      assert.ok(value instanceof PickleObject, name);
      assert.match(
        value.className,
        /^(torch\.optim\.adam\.Adam|my\.project\.\w+|builtins\.getattr(\(\))?|constructor\.prototype)$/,
        name,
      );
      if (name === 'with items') assert.deepEqual([...value.entries.keys()], ['a', 'b']);
      if (name === 'with elements') assert.deepEqual(value.items, [null, null, null]);
    });
  }
});

type Details = readonly [code: string, detail?: RegExp];

/** Checks the code, and that the message has the names and numbers of `detail`. */
function assertError(
  { code, message, where = '' }: DataError,
  [expected, detail]: Details,
  what: string,
): void {
  assert.equal(code, expected, `${what}: ${message}`);
  if (code === UNSUPPORTED) assert.match(where, /, byte \d+ \(\w+\)$/, what);
  if (detail) assert.match(message, detail, what);
}

const DAMAGED = 'E_FILE_DAMAGED';
const UNSUPPORTED = 'E_PICKLE_UNSUPPORTED';
const NOT_TORCH = 'E_NOT_TORCH';

describe('a file that is not read is an error with a code, its place and a fix', () => {
  const square = `${int(2)}${int(2)}\x86`;
  const cases: Record<string, [content: Buffer, ...Details]> = {
    'a function that runs commands': [
      legacy(`cos\nsystem\n${text('touch /tmp/x')}\x85R.`),
      UNSUPPORTED,
      /os\.system/,
    ],
    'a function that runs commands, named on the stack': [
      legacy(`${text('posix')}${text('system')}\x93${text('ls')}\x85R.`),
      UNSUPPORTED,
      /posix\.system/,
    ],
    'a function of Python 2': [
      legacy(`c__builtin__\neval\n${text('1')}\x85R.`),
      UNSUPPORTED,
      /builtins\.eval/,
    ],
    'a method reached through a known class': [
      legacy('ctorch._utils\n_rebuild_tensor_v2.__globals__\n.'),
      UNSUPPORTED,
      /_rebuild_tensor_v2\.__globals__/,
    ],
    'a call of a storage class': [legacy('ctorch\nFloatStorage\n)R.'), UNSUPPORTED, /torch\.FloatStorage/],
    'a call of a text': [legacy(`${text('f')})R.`), UNSUPPORTED, /calls text/],
    'an operation of protocol 0': [legacy('I1\n.'), UNSUPPORTED, /0x49/],
    'a protocol of the future': [legacy('\x80\x09N.'), UNSUPPORTED, /\b9\b/],
    'a value from an empty stack': [legacy('0.'), UNSUPPORTED, /mark/],
    'a memo that was never stored': [legacy('h\x07.'), UNSUPPORTED, /value 7/],
    'a key without a value': [legacy('}(Nu.'), UNSUPPORTED, /key/],
    'items of a list': [legacy('](NNu.'), UNSUPPORTED, /a list/],
    'an integer of 2 GiB': [legacy('\x8b\xff\xff\xff\x7f.'), UNSUPPORTED, /2147483647 bytes/],
    'a text past the end': [legacy('\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.'), DAMAGED],
    'a tensor larger than its storage': [
      legacy(tensor(3, int(0), square, square), KEYS, elements(3, 3)),
      UNSUPPORTED,
      /\[2,2\].* 5 elements of storage 0, .* 12 bytes/,
    ],
    'a tensor before its storage': [
      legacy(tensor(4, int(-1), square, square), KEYS, elements(4, 4)),
      UNSUPPORTED,
      /offset .*-1/,
    ],
    'a tensor of terabytes by strides of 0': [
      legacy(
        tensor(4, int(0), `${int(2 ** 30)}${int(2 ** 30)}\x86`, `${int(0)}${int(0)}\x86`),
        KEYS,
        elements(4, 4),
      ),
      UNSUPPORTED,
      /\[1073741824,1073741824\]/,
    ],
    'another count before the elements': [
      legacy(tensor(4, int(0), square, `${int(2)}${int(1)}\x86`), KEYS, elements(5, 4)),
      DAMAGED,
      /storage 0 has 5 elements, not 4/,
    ],
    'missing elements': [
      legacy(tensor(4, int(0), square, `${int(2)}${int(1)}\x86`), KEYS, elements(4, 3)),
      DAMAGED,
      /\d+ of \d+ bytes/,
    ],
    'a pickle that torch did not write': [Buffer.from('\x80\x02}.', 'latin1'), NOT_TORCH],
    'another format': [Buffer.from('hello'), NOT_TORCH],
    'an empty file': [Buffer.alloc(0), NOT_TORCH, /empty/],
  };
  for (const [name, [content, ...details]] of Object.entries(cases)) {
    test(name, async () => assertError(await errorOf('file.pt', content), details, name));
  }

  test('a truncated file, wherever it ends', async () => {
    for (const name of ['zip.pt', 'legacy.pt', 'script.pt']) {
      const whole = readFileSync(fixture(name));
      for (const share of [0.01, 0.2, 0.5, 0.9, 0.999]) {
        const error = await errorOf(name, whole.subarray(0, Math.ceil(whole.length * share)));
        assertError(error, [DAMAGED], `${name} at ${share}`);
      }
    }
  });

  test('a changed byte in the tensors of a zip archive', async () => {
    const whole = readFileSync(fixture('script.pt'));
    const weight = (await safetensors('script.safetensors')).get('layers.0.linear.weight')!;
    const at = whole.indexOf(Buffer.from(weight.data.buffer));
    assert.ok(at > 0);
    whole[at]! ^= 1;
    assertError(await errorOf('changed.pt', whole), [DAMAGED, /data\/\d+ .*checksum/], 'changed.pt');
  });

  test('a zip archive of another program', async () => {
    const whole = readFileSync(fixture('zip.pt'));
    const renamed = Buffer.from(whole.toString('latin1').replaceAll('data.pkl', 'data.txt'), 'latin1');
    assertError(await errorOf('other.pt', renamed), [NOT_TORCH, /data\.pkl/], 'other.pt');
  });

  test('modules that are nested and shared until there are too many names', async () => {
    // Each level holds the one below twice: 2⁴⁰ names from a few hundred bytes.
    const levels = 40;
    const make = `c__torch__\nM\n)\x81`;
    let operations = `${make}q\x00`;
    for (let level = 1; level <= levels; level++) {
      const below = `h${String.fromCharCode(level - 1)}`;
      operations += `${make}}(${text('a')}${below}${text('b')}${below}ubq${String.fromCharCode(level)}`;
    }
    assertError(
      await errorOf('bomb.pt', legacy(`${operations}.`)),
      ['E_WEIGHTS_UNKNOWN', /nested/],
      'bomb.pt',
    );
  });

  test('a module that holds itself', async () => {
    const operations = `c__torch__\nM\n)\x81q\x00}${text('a')}h\x00sb.`;
    assertError(await errorOf('loop.pt', legacy(operations)), ['E_WEIGHTS_UNKNOWN', /nested/], 'loop.pt');
  });

  test('a file with changed bytes is read or is an error of the data, wherever they are', async () => {
    const whole = readFileSync(fixture('legacy.pt'));
    const random = new RandomStream('changed bytes');
    let errors = 0;
    for (let round = 0; round < 300; round++) {
      const changed = Buffer.from(whole);
      for (let i = 0; i < 3; i++) changed[random.integer(changed.length)] = random.integer(256);
      const path = join(root, 'fuzz.pt');
      writeFileSync(path, changed);
      await opened(path, async ({ value }) => {
        const weights = value instanceof Map ? value.get('weights') : undefined;
        for (const part of stateDict(weights ?? null, path).values()) await part.read();
      }).catch((error: unknown) => {
        if (!(error instanceof DataError)) throw error;
        errors++;
      });
    }
    assert.ok(errors > 100, `${errors} errors`);
  });

  test('an object that is not a model', async () => {
    await opened(fixture('zip.pt'), ({ value }) => {
      const code = 'E_WEIGHTS_UNKNOWN';
      assert.throws(() => stateDict(value, 'zip.pt'), {
        code,
        where: 'zip.pt',
        message: /weights .*a dictionary/,
      });
      assert.throws(() => stateDict(3, 'x.pt'), { code, where: 'x.pt', message: /number 3/ });
    });
  });

  test('a file that does not exist', async () => {
    const where = join(root, 'missing.pt');
    await assert.rejects(TorchFile.open(where), { code: 'E_NOT_FOUND', where });
  });
});
