/** A fault of a pickle; `readPickle` adds its position and throws it as a DataError. */
export class PickleFault extends Error {
  readonly fix: string;

  constructor(what: string, fix = 'download or save the file again') {
    super(what);
    this.fix = fix;
  }
}
