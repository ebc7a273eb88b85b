// mm report: a training run as one HTML page.

import { join } from 'node:path';
import { defineCommand } from '../command.ts';
import { TEXT, withExamples } from '../help.ts';

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      yargs
        .positional('run', {
          type: 'string',
          demandOption: true,
          describe: 'run folder of a training command; the run may still be going on',
        })
        .option('out', {
          ...TEXT,
          defaultDescription: 'report.html in the run folder',
          describe: 'HTML file to write',
        }),
      [
        ['curves, images over time, times and configuration, in runs/dalle/report.html', 'report runs/dalle'],
        ['another file', 'report runs/dvae --out dvae.html'],
      ],
    ),

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
