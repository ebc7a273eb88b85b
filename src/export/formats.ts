// The formats of mm export, by the program that reads them.

export const EXPORT_FORMATS = [
  'transformers',
  'open-clip',
  'openai',
  'dalle-pytorch',
  'taming',
  'diffusers',
  'tokenizer',
  'saved-model',
] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
