// docs/CONFIG.md from the schemas: every key, its type, its default and its description, and notes on some.

import { z } from 'zod';
import { givenClipSchema } from './clip.ts';
import { givenDalleSchema } from './dalle.ts';
import { dalleMiniCheckpointSchema } from './dalle-mini.ts';
import { dvaeSchema } from './dvae.ts';
import { alternatives, inputSchema, type JsonSchema, typeInWords } from './explain.ts';
import { vqganModelSchema } from './vqgan.ts';

/** The documented schemas; the description of each is its heading. */
const SCHEMAS: readonly z.ZodType[] = [
  dvaeSchema,
  givenDalleSchema,
  givenClipSchema,
  z
    .strictObject({ model: vqganModelSchema })
    .describe('A VQGAN that mm convert read, in the config.yaml of its checkpoint; not for training'),
  z
    .strictObject(dalleMiniCheckpointSchema.shape)
    .describe('A DALL·E mini that mm convert read, in the config.yaml of its checkpoint; not for training'),
];

const INTRODUCTION = `# Configuration

Written by \`node --import tsx scripts/config-docs.ts\` from the schemas in \`src/config\`; change those, not this file.

A configuration is a YAML file, given with \`--config FILE\`.
\`--set path.to.key=value\` overrides it: the value is YAML, list items are reached by index (\`a.0=…\`), and \`null\` removes
a key. An unknown key is an error that names the closest known one.
A file that mm wrote begins with \`kind\` and \`version\`; files written by hand need neither.
Keys with a * have a note below the table.
`;

const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\n/g, ' ');

function defaultOf(schema: JsonSchema, required: boolean, isSection: boolean): string {
  if (required) return 'required';
  if (isSection) return schema.default === undefined ? 'off' : '';
  if (schema.default === undefined) return String(schema.otherwise ?? 'none');
  return `\`${JSON.stringify(schema.default)}\``;
}

/** A key of the table. */
interface Row {
  readonly path: string;
  readonly schema: JsonSchema;
  readonly isRequired: boolean;
  readonly isSection: boolean;
}

function rowsOf(schema: JsonSchema, prefix = ''): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    if (typeof child === 'boolean') return [];
    const variants = alternatives(child);
    const row: Row = {
      path: `${prefix}${key}`,
      schema: child,
      isRequired: schema.required?.includes(key) ?? false,
      isSection: variants.every((variant) => variant.properties !== undefined),
    };
    return [row, ...variants.flatMap((variant) => rowsOf(variant, `${row.path}.`))];
  });
}

const noteOf = ({ schema }: Row): string | undefined => schema.note as string | undefined;

function tableRow(row: Row): string {
  const { path, schema, isRequired, isSection } = row;
  const columns = [
    `\`${path}\``,
    isSection ? 'section' : typeInWords(schema),
    defaultOf(schema, isRequired, isSection),
    `${schema.description ?? ''}${noteOf(row) === undefined ? '' : ' *'}`,
  ];
  return `| ${columns.map(cell).join(' | ')} |`;
}

const MAX_COLUMNS = 110;

/** A list item, broken into lines. */
function listItem(text: string): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) as string;
    if (line !== '' && line.length + 1 + word.length > MAX_COLUMNS - 2) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return `- ${lines.join('\n  ')}`;
}

function section(schema: z.ZodType): string {
  const root = inputSchema(schema);
  const rows = rowsOf(root);
  const notes = rows.flatMap((row) => {
    const note = noteOf(row);
    return note === undefined ? [] : [listItem(`\`${row.path}\`: ${note}`)];
  });
  return [
    `## ${root.description ?? ''}`,
    '',
    '| key | type | default | meaning |',
    '| --- | --- | --- | --- |',
    ...rows.map(tableRow),
    '',
    ...notes,
    '',
  ].join('\n');
}

/** The whole of docs/CONFIG.md. */
export function configReference(): string {
  return [INTRODUCTION, ...SCHEMAS.map(section)].join('\n');
}
