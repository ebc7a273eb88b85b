// The package: what `import … from 'mm'` gives. Kept small, so that it can stay stable.

export { DataError, EngineError, type ErrorCode, UsageError, UserError } from '../util/errors.ts';
export type { PreviewImage, Prime, SampleOptions } from './options.ts';
export { type SampledImage, sample } from './sample.ts';
