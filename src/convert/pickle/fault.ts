/** What is wrong with a pickle, in a few words; the reader adds where it stands. */
export class PickleFault extends Error {
  readonly fix: string;

  constructor(what: string, fix = 'fetch or write the file again') {
    super(what);
    this.fix = fix;
  }
}
