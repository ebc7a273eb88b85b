// docs/CONFIG.md from the schemas: every key, its type, its default and its description.

import type { z } from 'zod';
import { clipSchema } from './clip.ts';
import { dalleSchema } from './dalle.ts';
import { dvaeSchema } from './dvae.ts';
import { alternatives, describe, inputSchema, type JsonSchema } from './explain.ts';

/** The documented schemas; each one's description is its heading. */
const SCHEMAS: readonly z.ZodType[] = [dvaeSchema, dalleSchema, clipSchema];

const INTRODUCTION = `# Configuration

Written by \`node --import tsx scripts/config-docs.ts\` from the schemas in \`src/config\`; change those, not this file.

A configuration is a YAML file, given with \`--config FILE\`. \`--set path.to.key=value\` goes over it: the value is YAML,
lists are reached by index (\`a.0=…\`), and \`null\` takes a key out. An unknown key is an error that names the nearest known one.
`;

const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\n/g, ' ');

function defaultOf(schema: JsonSchema, required: boolean, isSection: boolean): string {
  if (required) return 'required';
  if (isSection) return schema.default === undefined ? 'off' : '';
  return schema.default === undefined ? 'none' : `\`${JSON.stringify(schema.default)}\``;
}

function rows(schema: JsonSchema, prefix = ''): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    if (typeof child === 'boolean') return [];
    const variants = alternatives(child);
    const isSection = variants.every((variant) => variant.properties !== undefined);
    const required = schema.required?.includes(key) ?? false;
    const columns = [
      `\`${prefix}${key}\``,
      isSection ? 'section' : describe(child),
      defaultOf(child, required, isSection),
      child.description ?? '',
    ];
    return [
      `| ${columns.map(cell).join(' | ')} |`,
      ...variants.flatMap((variant) => rows(variant, `${prefix}${key}.`)),
    ];
  });
}

function section(schema: z.ZodType): string {
  const root = inputSchema(schema);
  return [
    `## ${root.description ?? ''}`,
    '',
    '| key | type | default | meaning |',
    '| --- | --- | --- | --- |',
    ...rows(root),
    '',
  ].join('\n');
}

/** The whole of docs/CONFIG.md. */
export function configReference(): string {
  return [INTRODUCTION, ...SCHEMAS.map(section)].join('\n');
}
