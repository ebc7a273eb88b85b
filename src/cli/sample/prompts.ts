// The prompts of mm sample: those of the command line, then those of files.

import { readFile } from 'node:fs/promises';
import { textLines } from '../../data/sources/captions.ts';
import { DataError, UsageError } from '../../util/errors.ts';

export interface PromptFlags {
  readonly prompt?: readonly string[] | undefined;
  readonly prompts?: readonly string[] | undefined;
  readonly complete?: readonly string[] | undefined;
  readonly like?: string | undefined;
}

/**
 * All prompts in order, without the blank lines of files. May be none with `--complete` or `--like`.
 * @throws UsageError when there are none otherwise
 * @throws DataError for a file that cannot be read or has no prompts
 */
export async function readPrompts({
  prompt = [],
  prompts: files = [],
  complete,
  like,
}: PromptFlags): Promise<string[]> {
  const prompts = [...prompt];
  for (const file of files) {
    const lines = textLines(await readText(file));
    if (lines.length === 0) {
      throw new DataError('the file has no prompts', {
        code: 'E_PROMPTS_FILE',
        where: file,
        fix: 'write a prompt on each line',
      });
    }
    for (const line of lines) prompts.push(line);
  }
  if (prompts.length > 0 || complete !== undefined || like !== undefined) return prompts;
  throw new UsageError('there is no prompt', {
    code: 'E_PROMPT_MISSING',
    option: 'prompts',
    fix: 'say what the image shows: --prompt "a red circle", or --prompts FILE with one on each line',
  });
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    const what =
      cause.code === 'ENOENT'
        ? 'there is no such file of prompts'
        : `the file of prompts cannot be read (${cause.code})`;
    throw new DataError(what, {
      code: 'E_PROMPTS_FILE',
      where: path,
      fix: 'check the path and the permissions',
      cause,
    });
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError('the file of prompts is not UTF-8 text', {
      code: 'E_PROMPTS_FILE',
      where: path,
      fix: 'name a text file with a prompt on each line, saved as UTF-8',
      cause,
    });
  }
}
