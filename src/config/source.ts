// A YAML file as plain values, with the line and column of every key.

import { readFileSync, statSync } from 'node:fs';
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { UsageError } from '../util/errors.ts';
import { throwProblems } from './problems.ts';

const MAX_BYTES = 2 ** 20;
const KEYS = "docs/CONFIG.md in mm's folder lists the keys";
/** Bounds the size of nested aliases. */
const MAX_ALIASES = 100;

export type Path = readonly PropertyKey[];

export interface YamlSource {
  readonly value: unknown;
  /** `file:line:column` of the value at `path`, or of the key of its deepest parent that exists. */
  locate(path: Path): string;
  /** The same for the key at `path`. */
  locateKey(path: Path): string;
  /** The number of keys of `path` that the file has. */
  depth(path: Path): number;
}

function readText(file: string): string {
  let bytes: Buffer;
  try {
    const stats = statSync(file);
    if (stats.isDirectory()) {
      throw new UsageError('the configuration is a folder', {
        code: 'E_CONFIG_FILE',
        where: file,
        fix: 'name the YAML file in it',
      });
    }
    if (stats.size > MAX_BYTES) {
      throw new UsageError(`the configuration has ${stats.size} bytes; at most ${MAX_BYTES} are read`, {
        code: 'E_CONFIG_FILE',
        where: file,
        fix: 'name a YAML file',
      });
    }
    bytes = readFileSync(file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new UsageError(missing ? 'there is no such configuration file' : (error as Error).message, {
      code: 'E_CONFIG_FILE',
      where: file,
      fix: missing
        ? "check the path; configs/ in mm's folder has ready ones"
        : 'check the file and its permissions',
      cause: error,
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new UsageError('the configuration is not UTF-8 text', {
      code: 'E_CONFIG_FILE',
      where: file,
      fix: 'name a YAML file, or save it as UTF-8',
      cause,
    });
  }
}

/** The nodes of a key and its value; `key` is undefined at the root and in lists. */
interface Found {
  readonly key: unknown;
  readonly value: unknown;
}

/** The nodes along `path`, root first, as far as the document has them. */
function walk(document: Document, path: Path): Found[] {
  const found: Found[] = [{ key: undefined, value: document.contents }];
  for (const part of path) {
    const last = found.at(-1)!.value;
    const node = isAlias(last) ? last.resolve(document) : last;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(part));
      if (pair === undefined) break;
      found.push({ key: pair.key, value: pair.value });
    } else if (isSeq(node) && Number(part) < node.items.length) {
      found.push({ key: undefined, value: node.items[Number(part)] });
    } else break;
  }
  return found;
}

/**
 * Reads and parses a YAML file that holds a map.
 * @throws UsageError with the place of every syntax error
 */
export function readYaml(file: string): YamlSource {
  const text = readText(file);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const code = 'E_CONFIG_SYNTAX';
  const fix = 'correct the YAML; indent with spaces, and quote text that has : # or brackets in it';
  const syntax = [...document.errors, ...document.warnings];
  if (syntax.length > 0) {
    const problems = syntax.map(({ message, pos }) => ({ where: place(pos[0]), what: message }));
    throwProblems(problems, file, { code, fix });
  }
  if (document.contents === null) {
    throw new UsageError('the configuration is empty', { code, where: file, fix: KEYS });
  }
  if (!isMap(document.contents)) {
    throw new UsageError('the configuration is not a map of keys', {
      code,
      where: place(document.contents.range?.[0] ?? 0),
      fix: `write "key: value" lines; ${KEYS}`,
    });
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (cause) {
    // yaml reports unresolved aliases, and too many aliases, only here and without a place.
    if (!(cause instanceof ReferenceError)) throw cause;
    throw new UsageError(cause.message, { code, where: file, fix, cause });
  }
  const start = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);
  const locateKey = (path: Path): string => {
    const { key, value: node } = walk(document, path).at(-1)!;
    return place(start(key) ?? start(node) ?? 0);
  };
  const depth = (path: Path): number => walk(document, path).length - 1;
  const locate = (path: Path): string => {
    const offset = depth(path) === path.length ? start(walk(document, path).at(-1)!.value) : undefined;
    return offset === undefined ? locateKey(path) : place(offset);
  };
  return { value, locate, locateKey, depth };
}
