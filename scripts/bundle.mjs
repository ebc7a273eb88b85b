// The second half of `npm run build`: makes one file of each .cjs in src/engine/bundled/ and the packages that it
// requires, so that who installs mm needs neither those packages nor their install scripts; writes the packages'
// licences beside them; and takes out of dist/ what tsc made of sources that are gone.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const FOLDER = 'engine/bundled';

/** Of @tensorflow/tfjs, tfjs-core and what it registers there (gradients, methods of tensors) are all that mm uses. */
const LEFT_OUT = /^@tensorflow\/tfjs-(layers|converter|data|backend-cpu|backend-webgl)$/;
/** Of tfjs-node: serves TensorBoard's summaries and SavedModels only, by half a megabyte. */
const PROTOCOL_BUFFERS = /\/proto\/api_pb$/;
/** What a package's own build has put into its file, where no bundler sees it. */
const WITHIN = { '@tensorflow/tfjs-core': ['long', 'seedrandom'] };

const leaveOut = {
  name: 'leave-out',
  setup({ onResolve, onLoad }) {
    for (const filter of [LEFT_OUT, PROTOCOL_BUFFERS])
      onResolve({ filter }, ({ path }) => ({ path, namespace: 'left-out' }));
    onLoad({ filter: /./, namespace: 'left-out' }, () => ({ contents: 'module.exports = {};' }));
  },
};

const entryPoints = readdirSync(join(root, 'src', FOLDER))
  .filter((name) => name.endsWith('.cjs'))
  .map((name) => join(root, 'src', FOLDER, name));

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints,
  outdir: join(root, 'dist', FOLDER),
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  // Binaries stay packages; node-fetch is never reached where there is a global fetch.
  external: ['@koromix/*', 'node-fetch'],
  plugins: [leaveOut],
  legalComments: 'inline',
  metafile: true,
});

/** The package of a file: its name and folder. */
function packageOf(path) {
  const [, folder, name] = /^(.*node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(path) ?? [];
  return name && [name, join(root, folder)];
}

const found = new Map(
  Object.keys(metafile.inputs)
    .map(packageOf)
    .filter((owner) => owner !== undefined),
);
for (const [name, others] of Object.entries(WITHIN)) {
  if (!found.has(name)) continue;
  for (const other of others) found.set(other, join(root, 'node_modules', other));
}

const APACHE = 'Apache-2.0';
const readText = (...path) => readFileSync(join(...path), 'utf8');

/** A package's own licence text; tfjs's packages come without, and say in each file that theirs is Apache-2.0. */
function licenceText(folder, licence) {
  const file = readdirSync(folder).find((name) => /^licen[sc]e(\.(md|txt))?$/i.test(name));
  if (file) return readText(folder, file);
  if (licence === APACHE) return 'Copyright Google LLC. The text of the licence is at the end.';
  const text = /^Copyright .*\n\nPermission is hereby granted[\s\S]*?SOFTWARE\.$/m.exec(
    readText(folder, 'README.md'),
  );
  if (!text) throw new Error(`${folder} comes without the text of its licence`);
  return text[0];
}

function section([name, folder]) {
  const { version, license, repository } = JSON.parse(readText(folder, 'package.json'));
  const where = (repository?.url ?? repository ?? '').replace(/^git\+/, '').replace(/\.git$/, '');
  const text = licenceText(folder, license).trim();
  const isApache = license === APACHE && text.includes('Apache License');
  return `${name} ${version}, ${license}\n${where}\n\n${isApache ? 'The text of the licence is at the end.' : text}`;
}

/** What was rewritten in TypeScript from a program of another language, under its licence. */
const PORTED = [
  `ftfy 6.3.1, Apache-2.0
https://github.com/rspeer/python-ftfy

Copyright 2023 Robyn Speer. Its repair of texts was ported to TypeScript, in tokenizers/cleaning.
The text of the licence is at the end.`,
];

const RULE = `\n\n${'-'.repeat(80)}\n\n`;
const INTRODUCTION = `The .cjs files in this folder hold code of the packages below, joined into one file each and with parts left out, and
otherwise unchanged. mm itself is under the MIT licence.`;
const sections = [...[...found].sort(([a], [b]) => a.localeCompare(b)).map(section), ...PORTED];
const apache = readText(root, 'node_modules', 'long', 'LICENSE').trim();
writeFileSync(
  join(root, 'dist', FOLDER, 'NOTICE.txt'),
  `${[INTRODUCTION, ...sections, apache].join(RULE)}\n`,
);

const sourceOf = (name) => name.replace(/(\.d\.ts|\.js|\.js\.map)$/, '.ts');
for (const name of readdirSync(join(root, 'dist'), { recursive: true })) {
  if (!/\.(js|js\.map|d\.ts|cjs)$/.test(name)) continue;
  if (!existsSync(join(root, 'src', sourceOf(name)))) rmSync(join(root, 'dist', name));
}
