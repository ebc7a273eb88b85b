// The package: what `import … from 'mm'` gives. Kept small, so that it can stay as it is.

export { DataError, EngineError, UsageError, UserError } from '../util/errors.ts';
export type { PreviewPicture, Prime, SampleOptions } from './options.ts';
export { type SampledPicture, sample } from './sample.ts';
