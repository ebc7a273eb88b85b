// The directions of imports that the folders promise, and the few other rules that only a look at all files shows.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The rooms, from the top down: each imports itself and what stands below it (docs/ARCHITECTURE.md). */
const ROOMS = [
  'cli',
  'api',
  'train',
  'eval',
  'inference',
  'export',
  'convert',
  'models',
  'nn',
  'report',
  'checkpoint',
  'data',
  'tokenizers',
  'engine',
  'config',
  'cluster',
  'util',
];

/** The wings of a room, from the top down, where they too stand in one order. */
const WINGS: Readonly<Record<string, readonly string[]>> = {
  engine: ['session', 'distributed', 'ops', 'tfjs', 'graph', 'native', 'library', 'bundled'],
};

/** Below, and yet not for them: models are mathematics. */
const FORBIDDEN: Readonly<Record<string, readonly string[]>> = {
  models: ['data', 'checkpoint', 'report'],
  nn: ['data', 'checkpoint', 'report'],
};

/** Packages that only some folders know. */
const OWNERS: readonly { readonly name: RegExp; readonly folders: readonly string[] }[] = [
  { name: /^koffi$/, folders: ['engine'] },
  { name: /^@tensorflow\//, folders: ['engine'] },
  { name: /^sharp$/, folders: ['data', 'report'] },
  { name: /^(yargs|cli-progress|pino)$/, folders: ['cli', 'util'] },
];

interface Import {
  readonly specifier: string;
  readonly kind: 'static' | 'type' | 'dynamic';
}

/** The imports of a TypeScript source: static, of types only, and called (`import()`, `require()`). */
function findImports(source: string): Import[] {
  const code = source.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '');
  const statements = code.matchAll(/^(?:import|export)\s+(type\s)?(?:[\w*{][^;'"]*?\sfrom\s*)?'([^']+)'/gm);
  const calls = code.matchAll(/(?:\bimport|\brequire|\bcreateRequire\([^()]*\))\(\s*'([^']+)'\s*\)/g);
  return [
    ...Array.from(statements, ([, type, specifier]) => ({
      specifier: specifier!,
      kind: type === undefined ? ('static' as const) : ('type' as const),
    })),
    ...Array.from(calls, ([, specifier]) => ({ specifier: specifier!, kind: 'dynamic' as const })),
  ];
}

interface Source {
  /** Relative to src, with forward slashes. */
  readonly path: string;
  readonly folder: string;
  /** The folder in the folder, or the file. */
  readonly wing: string;
  readonly lines: number;
  readonly packages: readonly Import[];
  /** Files of src, relative to it. */
  readonly files: readonly Import[];
}

function readSources(): Source[] {
  const names = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const text = readFileSync(join(ROOT, 'src', name), 'utf8');
      const imports = findImports(text);
      const inside = imports.filter(({ specifier }) => specifier.startsWith('.'));
      return {
        path: name.split(sep).join('/'),
        folder: name.split(sep)[0]!,
        wing: name.split(sep)[1]!,
        lines: text.split('\n').length - 1,
        packages: imports.filter(
          ({ specifier }) => !specifier.startsWith('.') && !specifier.startsWith('node:'),
        ),
        files: inside.map(({ specifier, kind }) => ({
          specifier: relative(join(ROOT, 'src'), join(ROOT, 'src', dirname(name), specifier))
            .split(sep)
            .join('/'),
          kind,
        })),
      };
    })
    .sort((a, b) => a.path.localeCompare(b.path));
}

const sources = readSources();
const byPath = new Map(sources.map((source) => [source.path, source]));

test('the reader of imports sees each form of them', () => {
  const source = `
    // import a from 'comment';
    /* import b from 'block'; */
import './side-effect.ts';
import { one, type Two } from './named.ts';
import type { Three } from './type.ts';
import fallback, * as all from './all.ts';
import {
  several,
  lines,
} from './lines.ts';
export { four } from './export.ts';
export * from './star.ts';
export type { Five } from './export-type.ts';
export const text = "import x from 'string'";
const lazy = () => import('./lazy.ts');
const loaded = createRequire(import.meta.url)('loaded');
const required = require('required');
type Inline = import('./inline.ts').Inline;
`;
  assert.deepEqual(
    findImports(source).map(({ specifier, kind }) => `${kind} ${specifier}`),
    [
      'static ./side-effect.ts',
      'static ./named.ts',
      'type ./type.ts',
      'static ./all.ts',
      'static ./lines.ts',
      'static ./export.ts',
      'static ./star.ts',
      'type ./export-type.ts',
      'dynamic ./lazy.ts',
      'dynamic loaded',
      'dynamic required',
      'dynamic ./inline.ts',
    ],
  );
});

test('each room imports itself and rooms below it only', () => {
  const offences = sources.flatMap(({ path, folder, files }) => {
    const rank = ROOMS.indexOf(folder);
    if (rank < 0) return [`src/${path} is in none of the rooms ${ROOMS.join(', ')}`];
    return files
      .map(({ specifier }) => specifier)
      .filter((target) => {
        const owner = target.split('/')[0]!;
        return ROOMS.indexOf(owner) < rank || FORBIDDEN[folder]?.includes(owner);
      })
      .map((target) => `src/${path} imports src/${target}`);
  });
  assert.deepEqual(offences, []);
});

test('each wing of the engine imports itself and wings below it only', () => {
  const offences = sources.flatMap(({ path, folder, wing, files }) => {
    const wings = WINGS[folder];
    if (!wings) return [];
    const rank = wings.indexOf(wing);
    if (rank < 0) return [`src/${path} is in none of the wings ${wings.join(', ')}`];
    return files
      .map(({ specifier }) => specifier.split('/'))
      .filter(([owner, other]) => owner === folder && wings.indexOf(other!) < rank)
      .map((target) => `src/${path} imports src/${target.join('/')}`);
  });
  assert.deepEqual(offences, []);
});

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
const nameOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

/** Packages whose code the build makes part of mm: what the files in engine/bundled require. */
const BUNDLED_FOLDER = join(ROOT, 'src', 'engine', 'bundled');
const bundled = readdirSync(BUNDLED_FOLDER)
  .flatMap((name) => findImports(readFileSync(join(BUNDLED_FOLDER, name), 'utf8')))
  .map(({ specifier }) => nameOf(specifier));

test('packages are imported where they belong, and are dependencies; of bundled ones, types only', () => {
  const offences = sources.flatMap(({ path, folder, packages }) =>
    packages.flatMap(({ specifier, kind }) => [
      ...OWNERS.filter(({ name, folders }) => name.test(specifier) && !folders.includes(folder)).map(
        ({ folders }) => `src/${path} imports ${specifier}, which belongs to ${folders.join(' and ')}`,
      ),
      ...(nameOf(specifier) in manifest.dependencies ||
      (kind === 'type' && [...bundled, '@tensorflow/tfjs-core'].includes(nameOf(specifier)))
        ? []
        : [`src/${path} imports ${specifier}, which is no dependency`]),
    ]),
  );
  assert.deepEqual(offences, []);
});

test('what is bundled need not be installed, and goes with the binaries that are', () => {
  const { dependencies, optionalDependencies, devDependencies } = manifest;
  assert.deepEqual(new Set(bundled), new Set(['@tensorflow/tfjs', '@tensorflow/tfjs-node-gpu', 'koffi']));
  assert.deepEqual(
    bundled.filter((name) => name in dependencies || name in optionalDependencies),
    [],
  );
  // koffi refuses binaries of another version.
  const binaries = Object.entries(optionalDependencies).filter(([name]) =>
    name.startsWith('@koromix/koffi-'),
  );
  assert.ok(binaries.length > 0);
  for (const [name, version] of binaries) assert.equal(version, devDependencies.koffi, name);
});

test('no file imports itself by way of others, types included; what a command loads when it runs may', () => {
  const finished = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string[] => {
    if (trail.includes(path)) return [[...trail.slice(trail.indexOf(path)), path].join(' → ')];
    if (finished.has(path)) return [];
    const eager = byPath.get(path)?.files.filter(({ kind }) => kind !== 'dynamic') ?? [];
    const cycles = eager.flatMap(({ specifier }) => visit(specifier, [...trail, path]));
    finished.add(path);
    return cycles;
  };
  assert.deepEqual(
    sources.flatMap(({ path }) => visit(path, [])),
    [],
  );
});

/** Packages, and files of engine/bundled, that a file loads at once, with all that it imports statically. */
function loadedBy(start: string): { path: string; specifier: string }[] {
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { specifier, kind } of byPath.get(path)?.files ?? []) if (kind === 'static') visit(specifier);
  };
  visit(start);
  assert.ok(reached.size > 3);
  return [...reached].flatMap((path) => {
    const { packages = [], files = [] } = byPath.get(path) ?? {};
    return [...packages, ...files.filter(({ specifier }) => specifier.endsWith('.cjs'))]
      .filter(({ kind }) => kind !== 'type')
      .map(({ specifier }) => ({ path, specifier }));
  });
}

test('help loads neither TensorFlow nor sharp: nothing that main.ts imports at once does', () => {
  const heavy = loadedBy('cli/main.ts')
    .filter(({ specifier }) => /^(koffi|sharp|@tensorflow\/.*|.*\.cjs)$/.test(specifier))
    .map(({ path, specifier }) => `src/${path} imports ${specifier}`);
  assert.deepEqual(heavy, []);
});

test('programs that import the package do not load what only the command line needs', () => {
  const loaded = loadedBy('api/mm.ts');
  for (const heavy of ['sharp', 'engine/bundled/tfjs.cjs'])
    assert.ok(loaded.some(({ specifier }) => specifier === heavy));
  assert.deepEqual(
    loaded.filter(({ specifier }) => /^(yargs|cli-progress|pino)$/.test(specifier)),
    [],
  );
});

test('every model has the files config and model, and a loss if mm trains it', () => {
  const wingsOf = (room: string): Set<string> =>
    new Set(sources.filter(({ folder }) => folder === room).map(({ wing }) => wing));
  const models = [...wingsOf('models')];
  const trained = models.filter((model) => wingsOf('train').has(model));
  assert.ok(trained.length >= 3);
  const expected = [
    ...models.flatMap((model) => [`models/${model}/config.ts`, `models/${model}/model.ts`]),
    ...trained.map((model) => `models/${model}/loss.ts`),
  ];
  const losses = sources.map(({ path }) => path).filter((path) => /^models\/\w+\/loss\.ts$/.test(path));
  assert.deepEqual(
    expected.filter((path) => !byPath.has(path)),
    [],
  );
  // What is not trained has no loss that nothing uses.
  assert.equal(losses.length, trained.length);
});

test('files are named for what they own and stay below 300 lines', () => {
  const offences = sources
    .filter(({ path, lines }) => lines > 300 || /(^|\/)(utils?|helpers?|misc|index)\.ts$/.test(path))
    .map(({ path, lines }) => `src/${path} (${lines} lines)`);
  assert.deepEqual(offences, []);
});
