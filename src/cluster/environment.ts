// Who the workers are, as the environment says it: TF_CONFIG, which Kubernetes' operators set, and srun's variables.

import { z } from 'zod';
import { UsageError } from '../util/errors.ts';
import { type Address, parseAddress } from './address.ts';

/** This worker among all, and where worker 0 is. */
export interface Membership {
  readonly workers: number;
  readonly rank: number;
  readonly address: Address;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where membership may come from. */
export const SOURCES = ['tf-config', 'slurm'] as const;

/** @throws UsageError when the variables are missing or do not name this worker */
export const membershipFrom = (source: (typeof SOURCES)[number], environment: Environment): Membership =>
  source === 'tf-config' ? fromTfConfig(environment.TF_CONFIG) : fromSlurm(environment);

const tasks = z.array(z.string());
const index = z.union([z.int().min(0), z.string().regex(/^\d+$/).transform(Number)]);
const tfConfigSchema = z.object({
  cluster: z.object({
    chief: tasks.max(1).optional(),
    master: tasks.max(1).optional(),
    worker: tasks.optional(),
    ps: tasks.optional(),
  }),
  task: z.object({ type: z.string(), index }),
});

const wrongTfConfig = (message: string, fix = "see TensorFlow's guide to TF_CONFIG"): UsageError =>
  new UsageError(message, { code: 'E_TF_CONFIG', where: 'TF_CONFIG', fix });

/** The chief is worker 0, where there is one; evaluators do not count. */
function fromTfConfig(text: string | undefined): Membership {
  if (text === undefined || text === '') {
    throw wrongTfConfig(
      'TF_CONFIG is not set',
      'have it set by an operator such as TFJob, or give `workers`, `rank` and `join`',
    );
  }
  const { cluster, task } = parseTfConfig(text);
  if ((cluster.ps ?? []).length > 0 || task.type === 'ps') {
    throw wrongTfConfig(
      'TF_CONFIG has parameter servers (ps), which mm does not use: workers sum their gradients themselves',
      'leave the ps replicas out of the job',
    );
  }
  const chiefs = cluster.chief ?? cluster.master ?? [];
  const addresses = [...chiefs, ...(cluster.worker ?? [])];
  const isChief = task.type === 'chief' || task.type === 'master';
  if (!isChief && task.type !== 'worker')
    throw wrongTfConfig(
      `TF_CONFIG: a task of type ${JSON.stringify(task.type)} does not train`,
      'run mm in workers and chiefs only',
    );
  const rank = isChief ? task.index : chiefs.length + task.index;
  const own = isChief ? chiefs[task.index] : addresses[rank];
  if (own === undefined)
    throw wrongTfConfig(
      `TF_CONFIG: ${task.type} ${task.index} is not among the ${addresses.length} of the cluster`,
    );
  return { workers: addresses.length, rank, address: addressOf(addresses[0] as string) };
}

function parseTfConfig(text: string): z.output<typeof tfConfigSchema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw wrongTfConfig('TF_CONFIG is not JSON');
  }
  const parsed = tfConfigSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw wrongTfConfig(`TF_CONFIG: ${issue?.path.join('.') ?? ''}: ${issue?.message}`);
}

function addressOf(text: string): Address {
  try {
    return parseAddress(text);
  } catch {
    throw wrongTfConfig(
      `TF_CONFIG: ${JSON.stringify(text)} is not an address`,
      'give host and port, for example mm-worker-0:2222',
    );
  }
}

/** Ports of worker 0, by the numbers of the job and of its step: two jobs on one node take different ones. */
const PORTS = { first: 15_000, count: 20_000, perStep: 97 };

/** Task 0 of a step is on the first node of its list. */
function fromSlurm(environment: Environment): Membership {
  const number = (name: string): number => {
    const value = environment[name];
    if (value !== undefined && /^\d{1,9}$/.test(value)) return Number(value);
    throw new UsageError(value === undefined ? `${name} is not set` : `${name} is ${JSON.stringify(value)}`, {
      code: 'E_SLURM',
      where: name,
      fix: 'start the workers with srun, inside of the batch script or instead of it',
    });
  };
  const workers = number('SLURM_STEP_NUM_TASKS');
  const rank = number('SLURM_PROCID');
  const job = number('SLURM_JOB_ID');
  const step = number('SLURM_STEP_ID');
  const host = firstHost(environment.SLURM_STEP_NODELIST ?? '');
  if (host === undefined || rank >= workers) {
    throw new UsageError(
      `Slurm's variables do not fit together: task ${rank} of ${workers} on ${environment.SLURM_STEP_NODELIST}`,
      {
        code: 'E_SLURM',
        where: 'SLURM_STEP_NODELIST',
        fix: 'start the workers with srun, and leave its variables as they are',
      },
    );
  }
  const port = PORTS.first + ((job + PORTS.perStep * step) % PORTS.count);
  return { workers, rank, address: { host, port } };
}

/** The first host of a list such as `gpu[03-07,12],login1`. */
export function firstHost(list: string): string | undefined {
  const [, first] = /^([^[\],\s]*(?:\[[^[\]]+\][^[\],\s]*)*)(?:,|$)/.exec(list) ?? [];
  const host = first?.replaceAll(/\[(\d+)[^\]]*\]/g, '$1');
  return host && !/[[\]]/.test(host) ? host : undefined;
}
