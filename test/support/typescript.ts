/** Node's options for a child that runs TypeScript: what this process was started with. */
export const TYPESCRIPT: readonly string[] = process.execArgv.flatMap((option, i, all) =>
  option === '--import' ? [option, all[i + 1] as string] : option.startsWith('--import=') ? [option] : [],
);
