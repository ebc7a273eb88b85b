// Tables as text: the separator, the quotation marks and the line ends are found by looking.

import Papa from 'papaparse';

export interface TableRow {
  readonly cells: readonly string[];
  /** The line in the file where the row starts, from 1. */
  readonly line: number;
}

export interface Table {
  readonly header: readonly string[];
  /** Without the header, and without empty lines. */
  readonly rows: readonly TableRow[];
  readonly separator: string;
  /** Quotation marks that look like those around cells, and are part of the text. */
  readonly keepsQuotes: boolean;
}

const SEPARATORS = [',', '\t', ';', '|'] as const;

/**
 * Reads a table whose first row is its header. A row ends with its line, and goes on while a quoted cell does, as RFC
 * 4180 has it; a carriage return alone ends a row only in files that have no line feed.
 * @param separator found when it is not given: the one with which a column has a name that `isWanted`
 */
export function readTable(
  text: string,
  { separator, isWanted }: { separator?: string | undefined; isWanted(name: string): boolean },
): Table {
  const lines = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n');
  const plain = lines.includes('\n') ? lines : lines.replaceAll('\r', '\n');
  const chosen = separator ?? findSeparator(plain, isWanted);
  const { rows: read, keepsQuotes } = choose(plain, chosen);
  const [header, ...rows] = read;
  return { header: header?.cells ?? [], rows, separator: chosen, keepsQuotes };
}

/** The separator that gives the first line a wanted name; of several, the one with the most columns. */
function findSeparator(text: string, isWanted: (name: string) => boolean): string {
  const end = text.indexOf('\n');
  const first = end < 0 ? text : text.slice(0, end);
  const candidates = SEPARATORS.map((separator) => {
    const names = parse(first, separator, true).rows[0]?.cells ?? [];
    return { separator, columns: names.length, score: names.some(isWanted) ? names.length : 0 };
  });
  const best = candidates.reduce((a, b) => (b.score > a.score ? b : a));
  if (best.score > 0) return best.separator;
  return candidates.reduce((a, b) => (b.columns > a.columns ? b : a)).separator;
}

interface Parsed {
  readonly rows: readonly TableRow[];
  /** A quoted cell does not end, or goes on after its last quotation mark. */
  readonly isDamaged: boolean;
}

function parse(text: string, separator: string, hasQuotes: boolean): Parsed {
  if (!hasQuotes) {
    const rows = text.split('\n').map((line, i) => ({ cells: line.split(separator), line: i + 1 }));
    return { rows: rows.filter(isFilled), isDamaged: false };
  }
  const { data, errors } = Papa.parse<string[]>(text, { delimiter: separator, newline: '\n' });
  let line = 1;
  const rows = data.map((cells) => {
    const row = { cells, line };
    line += 1 + cells.reduce((sum, cell) => sum + cell.split('\n').length - 1, 0);
    return row;
  });
  return { rows: rows.filter(isFilled), isDamaged: errors.some(({ type }) => type === 'Quotes') };
}

const isFilled = ({ cells }: TableRow): boolean => cells.length > 1 || cells[0] !== '';

/**
 * One of the readings. Between tabs a quotation mark is a character unless the file quotes: then every cell that has
 * one is quoted properly, and some need to be, or all are. Elsewhere cells are quoted unless that fails.
 */
function choose(text: string, separator: string): Pick<Table, 'rows' | 'keepsQuotes'> {
  const withoutQuotes = (keepsQuotes: boolean) => ({ rows: parse(text, separator, false).rows, keepsQuotes });
  if (!text.includes('"')) return withoutQuotes(false);
  const quoted = parse(text, separator, true);
  if (separator === '\t') {
    const unquoted = parse(text, separator, false);
    const hasQuotedHeader = unquoted.rows[0]?.cells.every((cell) => /^".*"$/.test(cell)) ?? false;
    if (!hasQuotedHeader && isEven(unquoted) && !doublesMarks(text, quoted) && !quotesCells(unquoted))
      return {
        rows: unquoted.rows,
        keepsQuotes: quoted.isDamaged || quoted.rows.length !== unquoted.rows.length,
      };
  }
  if (!quoted.isDamaged && isEven(quoted)) return { rows: quoted.rows, keepsQuotes: false };
  // Blanks before a quotation mark, as people write lists by hand.
  const blanks = new RegExp(`(^|\\n|\\${separator}) +"`, 'g');
  const trimmed = parse(text.replaceAll(blanks, '$1"'), separator, true);
  if (!trimmed.isDamaged && isEven(trimmed)) return { rows: trimmed.rows, keepsQuotes: false };
  return quoted.isDamaged ? withoutQuotes(true) : { rows: quoted.rows, keepsQuotes: false };
}

/** Whether every row has a cell for each column. */
const isEven = ({ rows: [header, ...rows] }: Parsed): boolean =>
  rows.every(({ cells }) => cells.length === header?.cells.length);

/** Whether a cell in quotation marks has one within, written twice, as only programs that quote write it. */
const doublesMarks = (text: string, { rows, isDamaged }: Parsed): boolean =>
  !isDamaged &&
  rows.some(({ cells }) =>
    cells.some((cell) => cell.includes('"') && text.includes(`"${cell.replaceAll('"', '""')}"`)),
  );

/** Whether a file whose lines are its rows puts cells into quotation marks. */
function quotesCells({ rows }: Parsed): boolean {
  const all = rows.flatMap(({ cells }) => cells).filter((cell) => cell !== '');
  const marked = all.filter((cell) => cell.includes('"'));
  const inner = marked.map((cell) => /^"((?:[^"]|"")*)"$/.exec(cell)?.[1]);
  if (inner.includes(undefined)) return false;
  // Programs quote all cells, or those with a quotation mark, a carriage return, or a blank at an end.
  return marked.length === all.length || inner.every((cell) => /["\r]|^\s|\s$/.test(cell as string));
}
