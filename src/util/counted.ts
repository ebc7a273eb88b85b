// Numbers with the noun they count.

/** "1 image", "2 images", "0 images". @param nouns the plural, where it is more than an s */
export const counted = (count: number, noun: string, nouns = `${noun}s`): string =>
  `${count} ${count === 1 ? noun : nouns}`;
