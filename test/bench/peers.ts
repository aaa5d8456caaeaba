/** The field's own tools on the drift workload, each command under time(1). One live directory, as for us. */

import { readFileSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { become, run } from './appliance.ts';

/** One step of one tool. Absent figures do not apply. */
export interface Figure {
  readonly tool: string;
  readonly step: string;
  readonly storedBytes?: number;
  readonly movedBytes?: number;
  /** What the appliance read for it. */
  readonly readBytes?: number;
  /** User and system, of all processes that took part, seconds. */
  readonly cpu?: number;
  readonly seconds?: number;
  /** The largest process. */
  readonly peakMiB?: number;
  /** Of ours each, where the two are told apart. */
  readonly agentMiB?: number;
  readonly applianceMiB?: number;
}

export const STEPS = {
  first: 'first overlay',
  next: 'next overlay',
  same: 'nothing changed',
  restore: 'restore to an empty disk',
  rollback: 'roll back in place',
} as const;

interface Spent {
  readonly cpu: number;
  readonly seconds: number;
  readonly peakMiB: number;
}

/** Runs one command; its output is thrown away, a failure is not. */
export async function timed(
  work: string,
  cwd: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Spent> {
  const times = join(work, 'peer-times');
  await run('/usr/bin/time', ['-o', times, '-f', '%e %U %S %M', ...argv], { cwd, env, maxBuffer: 256 << 20 });
  const [seconds = 0, user = 0, system = 0, kib = 0] = readFileSync(times, 'utf8')
    .trim()
    .split(' ')
    .map(Number);
  return { seconds, cpu: user + system, peakMiB: kib / 1024 };
}

async function bytesOf(path: string): Promise<number> {
  const { stdout } = await run('du', ['-sb', path]);
  return Number(stdout.split('\t')[0]);
}

interface Backup {
  readonly tool: string;
  readonly repository: string;
  readonly env: NodeJS.ProcessEnv;
  readonly init: readonly string[];
  save(tree: number): readonly string[];
  readonly restore: readonly string[];
}

function borg(work: string): Backup {
  const repository = join(work, 'borg');
  const env = {
    ...process.env,
    BORG_BASE_DIR: join(work, 'borg-home'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
    BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
  };
  return {
    tool: 'borg',
    repository,
    env,
    init: ['borg', 'init', '-e', 'none', repository],
    save: (nth) => ['borg', 'create', '-C', 'zstd,3', `${repository}::${nth}`, '.'],
    restore: ['borg', 'extract', `${repository}::2`],
  };
}

function restic(work: string): Backup {
  const repository = join(work, 'restic');
  const env = {
    ...process.env,
    RESTIC_PASSWORD: 'x',
    RESTIC_REPOSITORY: repository,
    RESTIC_CACHE_DIR: join(work, 'restic-cache'),
  };
  return {
    tool: 'restic',
    repository,
    env,
    init: ['restic', '-q', 'init'],
    save: () => ['restic', '-q', 'backup', '--compression', 'auto', '.'],
    restore: ['restic', '-q', 'restore', 'latest', '--target', '.'],
  };
}

/** Master, a, b and b again from one live directory; then b onto an empty one. */
async function backup(of: Backup, data: string, live: string, work: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  await run(of.init[0] as string, of.init.slice(1), { env: of.env });
  const steps = [undefined, STEPS.first, STEPS.next, STEPS.same];
  for (const [nth, tree] of ['master', 'a', 'b', 'b'].entries()) {
    if (nth < 3) await become(live, join(data, tree));
    const before = await bytesOf(of.repository);
    const spent = await timed(work, live, of.save(nth), of.env);
    const step = steps[nth];
    const storedBytes = (await bytesOf(of.repository)) - before;
    if (step !== undefined) figures.push({ tool: of.tool, step, storedBytes, ...spent });
  }
  const spent = await timed(work, await freshDirectory(work), of.restore, of.env);
  figures.push({ tool: of.tool, step: STEPS.restore, ...spent });
  return figures;
}

/** One delta between two tars: what the best general tools need with both sides at hand, in one process. */
async function deltas(data: string, work: string): Promise<Figure[]> {
  const tars = new Map<string, string>();
  for (const tree of ['master', 'a', 'b']) {
    const tar = join(work, `${tree}.tar`);
    await run('tar', ['--sort=name', '--xattrs', '--numeric-owner', '-C', join(data, tree), '-cf', tar, '.']);
    tars.set(tree, tar);
  }
  const figures: Figure[] = [];
  const out = join(work, 'delta');
  for (const [step, from, to] of [
    [STEPS.first, 'master', 'a'],
    [STEPS.next, 'a', 'b'],
  ] as const) {
    const [base, target] = [tars.get(from) as string, tars.get(to) as string];
    const zstd = ['zstd', '-q', '-f', '-3', '--long=31', `--patch-from=${base}`, target, '-o', out];
    const xdelta = ['xdelta3', '-e', '-f', '-6', '-B', '2147483648', '-s', base, target, out];
    for (const [tool, argv] of [
      ['zstd -3 --patch-from', zstd],
      ['xdelta3 -6', xdelta],
    ] as const) {
      const spent = await timed(work, work, argv);
      figures.push({ tool, step, storedBytes: (await stat(out)).size, ...spent });
    }
  }
  for (const tar of tars.values()) await rm(tar);
  await rm(out);
  return figures;
}

async function rsync(data: string, live: string, work: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  const archive = ['rsync', '-aHAX', '--delete', '--numeric-ids'];
  for (const [tool, extra] of [
    ['rsync by time', []],
    ['rsync --checksum', ['--checksum']],
  ] as const) {
    await become(live, join(data, 'b'));
    const spent = await timed(work, work, [...archive, ...extra, `${join(data, 'a')}/`, `${live}/`]);
    figures.push({ tool, step: STEPS.rollback, ...spent });
  }
  return figures;
}

/**
 * An empty directory below `work`. Nobody removes it before the whole run is over: ext4 looks at each inode that was freed in the last
 * minutes whenever it makes a file (`recently_deleted`, fs/ext4/ialloc.c), which is 60 % of the CPU of a restore that comes after
 * the removal of a tree of 25,000 files, whoever restores it.
 */
export async function freshDirectory(work: string): Promise<string> {
  return await mkdtemp(join(work, 'tree-'));
}

/** All peers, once. `work` is scratch space of the caller, empty, and is left full. */
export async function peerRound(data: string, work: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const tool of [borg(work), restic(work)])
    figures.push(...(await backup(tool, data, await freshDirectory(work), work)));
  figures.push(...(await rsync(data, await freshDirectory(work), work)), ...(await deltas(data, work)));
  return figures;
}
