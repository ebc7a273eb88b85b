// The ids around a text, from the post-processor of a tokenizer.json.

import { z } from 'zod';

export interface AroundText {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

const pair = z.tuple([z.string(), z.int()]);
const special = z.object({ SpecialToken: z.object({ id: z.string() }) });
const processor = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['BertProcessing', 'RobertaProcessing']), cls: pair, sep: pair }),
  z.object({
    type: z.literal('TemplateProcessing'),
    single: z.array(z.union([special, z.object({ Sequence: z.unknown() })])),
  }),
]);

/** At most one id on each side is known; another post-processor gives none. */
export function aroundText(value: unknown, idOf: (token: string) => number | undefined): AroundText {
  const steps = z.object({ processors: z.array(z.unknown()) }).safeParse(value);
  if (steps.success)
    return Object.assign({}, ...steps.data.processors.map((step) => aroundText(step, idOf))) as AroundText;
  const parsed = processor.safeParse(value);
  if (!parsed.success) return {};
  if (parsed.data.type !== 'TemplateProcessing') {
    return { start: parsed.data.cls[1], end: parsed.data.sep[1] };
  }
  const { single } = parsed.data;
  const at = single.findIndex((part) => 'Sequence' in part);
  const idAt = (i: number): number | undefined => {
    const part = single[i];
    return part && 'SpecialToken' in part ? idOf(part.SpecialToken.id) : undefined;
  };
  return { start: idAt(at - 1), end: idAt(at + 1) };
}
