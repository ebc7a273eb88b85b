/** Node's options for a child that runs TypeScript, in any folder: what this process was started with. */
export const TYPESCRIPT: readonly string[] = process.execArgv.flatMap((option, i, all) => {
  if (option === '--import') return [option, import.meta.resolve(all[i + 1] as string)];
  if (option.startsWith('--import='))
    return ['--import', import.meta.resolve(option.slice('--import='.length))];
  return [];
});
