// Text out of files in messages.

/** The text on one line, without control characters, which terminals obey; cut after `max` characters. */
export function printable(text: string, max = 300): string {
  const plain = text.replaceAll(/\p{Cc}+/gu, ' ');
  return plain.length > max ? `${plain.slice(0, max)}…` : plain;
}
