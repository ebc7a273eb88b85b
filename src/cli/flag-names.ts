// Spellings of a flag.

/** `batch-size` as the key of the API's option: `batchSize`. */
export const camelCase = (flag: string): string =>
  flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** An option's key as a flag without its dashes: `batch-size`. */
export const kebabCase = (key: string): string =>
  key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
