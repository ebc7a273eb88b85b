// mm report: a training run as one HTML page.

import { join } from 'node:path';
import { defineCommand } from '../command.ts';

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'the folder of a training run, finished or going on',
      })
      .option('out', {
        type: 'string',
        requiresArg: true,
        describe: 'the page to write; report.html in the run without it',
      })
      .example(
        '$0 report runs/dalle',
        'curves, images over time, times and configuration in runs/dalle/report.html',
      )
      .example('$0 report runs/dvae --out dvae.html', 'elsewhere'),

  async run({ run: path, out = join(path, 'report.html') }, { json, print }) {
    const [{ readRun }, { writeRunPage }] = await Promise.all([
      import('../../report/run/record.ts'),
      import('../../report/pages/run-page.ts'),
    ]);
    const run = await readRun(path);
    await writeRunPage(out, run);
    print(out);
    const { kind, steps, metrics, checkpoints, sessions } = run;
    json({ out, kind, steps, logged: metrics.at(-1)?.step ?? 0, checkpoints, sessions });
  },
});
