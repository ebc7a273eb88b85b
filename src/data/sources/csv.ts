// CSV and TSV as RFC 4180 has them.

export interface CsvRow {
  readonly cells: readonly string[];
  /** The line in the file where the row starts, from 1. */
  readonly line: number;
}

/**
 * The rows of a table; empty lines are left out. Quoted cells may hold separators, line breaks, and quotes written
 * twice; spaces around the quotes do not count.
 */
export function parseCsv(text: string, separator: ',' | '\t'): CsvRow[] {
  const cell = new RegExp(`(?: *"((?:[^"]|"")*)" *|([^${separator}\\r\\n]*))(${separator}|\\r?\\n|$)`, 'y');
  const rows: CsvRow[] = [];
  let [line, start] = [1, 1];
  let cells: string[] = [];
  while (cell.lastIndex < text.length) {
    const found = cell.exec(text);
    if (!found) break;
    const [whole, quoted, plain, end] = found;
    cells.push(quoted === undefined ? (plain as string) : quoted.replaceAll('""', '"'));
    line += whole.split('\n').length - 1;
    if (end === separator) continue;
    if (cells.length > 1 || cells[0] !== '') rows.push({ cells, line: start });
    [start, cells] = [line, []];
  }
  if (cells.length > 0) rows.push({ cells, line: start });
  return rows;
}
