/** `overdub agent snapshot|restore|rollback`: the agent's work on a directory of this machine. */

import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CommandContribution, CommandIo } from '@overdub/core';
import { OverdubError, type RestoreResult, type Snapshot, type SnapshotReason } from '@overdub/core/agent';
import type { Appliance } from '../program/link/appliance.ts';
import { codecsOf, imagerOf } from '../program/options.ts';
import { nowNs } from '../program/tasks/context.ts';
import { recordRestored, restoreImage } from '../program/transfer/restore.ts';
import { takeSnapshot } from '../program/transfer/snapshot.ts';
import { recordOf, recordPath } from '../program/transfer/state.ts';
import { connect, explained, megabytes, parse, required, serverName, stateDirFor } from './context.ts';

const COMMON = {
  root: { type: 'string' },
  server: { type: 'string' },
  state: { type: 'string' },
} as const;
const RESTORE = {
  ...COMMON,
  snapshot: { type: 'string' },
  'dry-run': { type: 'boolean' },
  keep: { type: 'string', multiple: true },
  only: { type: 'string', multiple: true },
} as const;
const ROLLBACK = { ...RESTORE, 'no-safety-snapshot': { type: 'boolean' } } as const;

/** Everything one directory's work needs. */
interface Door {
  readonly io: CommandIo;
  readonly appliance: Appliance;
  readonly root: string;
  readonly server: string;
  readonly stateDir: string;
}

/** Part of the agent's bundle: `overdub` runs them from there, so that a command does not load a whole appliance. */
export const directoryCommands: readonly CommandContribution[] = [
  {
    path: ['agent', 'snapshot'],
    summary: 'Take a snapshot of a directory as a server',
    usage: 'overdub agent snapshot --root DIR --server NAME [--state DIR] [--hooks DIR]',
    examples: [
      'overdub agent snapshot --root / --server web-1',
      'overdub agent snapshot --root /srv/containers/web --server web-1 --json',
    ],
    bundled: true,
    run: snapshotCommand,
  },
  {
    path: ['agent', 'restore'],
    summary: 'Make a directory equal to a snapshot',
    usage:
      'overdub agent restore --root DIR --server NAME [--snapshot WHICH] [--dry-run] [--keep PATH]… [--only PATH]… [--state DIR]',
    examples: [
      'overdub agent restore --root /mnt/new --server web-1',
      'overdub agent restore --root /mnt/new --server web-1 --snapshot 2026-11-22T12:45+01:00 --only etc',
    ],
    bundled: true,
    run: restoreCommand,
  },
  {
    path: ['agent', 'rollback'],
    summary: 'Take a safety snapshot of a directory, then make it equal to an earlier one',
    usage:
      'overdub agent rollback --root DIR --server NAME [--snapshot WHICH] [--dry-run] [--no-safety-snapshot] [--keep PATH]… [--only PATH]… [--state DIR]',
    examples: [
      'overdub agent rollback --root /srv/containers/web --server web-1 --snapshot ~1 --dry-run',
      'overdub agent rollback --root /srv/containers/web --server web-1 --snapshot 2026-11-22T12:45+01:00',
    ],
    bundled: true,
    run: rollbackCommand,
  },
];

async function snapshotCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const options = parse('agent snapshot', args, { ...COMMON, hooks: { type: 'string' } } as const);
  return await withDoor('agent snapshot', options, io, async (door) => {
    const taken = await snapshotOf(
      door,
      'manual',
      options.hooks ?? (door.root === '/' ? '/etc/overdub' : undefined),
    );
    printSnapshot(io, taken);
  });
}

async function restoreCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const options = parse('agent restore', args, RESTORE);
  return await withDoor('agent restore', options, io, async (door) => {
    printRestore(io, await restoreTo(door, options, undefined), options['dry-run'] ?? false);
  });
}

async function rollbackCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const options = parse('agent rollback', args, ROLLBACK);
  return await withDoor('agent rollback', options, io, async (door) => {
    const dryRun = options['dry-run'] ?? false;
    const safety =
      dryRun || options['no-safety-snapshot'] === true ? undefined : await safetySnapshot(door, options);
    const selector = safety?.selector ?? options.snapshot;
    const chosen = { ...options, ...(selector === undefined ? {} : { snapshot: selector }) };
    const record = safety && (await recordOf(door.stateDir, safety.taken.manifest));
    const result = await restoreTo(door, chosen, record);
    printRestore(io, result, dryRun, safety?.taken);
  });
}

/** Evidence and undo. The target is looked up first: a wrong name costs no snapshot. */
async function safetySnapshot(
  door: Door,
  options: RestoreOptions,
): Promise<{ taken: Snapshot; selector: string }> {
  const { appliance, io, server } = door;
  const selector = options.snapshot ?? 'latest';
  await appliance.beginRestore({ server, selector, dryRun: true, keep: [], only: [] }, io.signal);
  return { taken: await snapshotOf(door, 'safety', undefined), selector };
}

async function withDoor(
  command: string,
  options: { root?: string | undefined; server?: string | undefined; state?: string | undefined },
  io: CommandIo,
  work: (door: Door) => Promise<void>,
): Promise<number> {
  const server = serverName(options.server, command);
  const root = resolve(required(options.root, '--root', command));
  if (root === '/' && command !== 'agent snapshot') throw notOnRoot(command);
  const info = await stat(root).catch(() => undefined);
  if (info?.isDirectory() !== true) {
    throw new OverdubError('NOT_FOUND', `${root} is no directory.`, 'Make it, or name another with --root.');
  }
  const stateDir = await stateDirFor(root, server, options.state);
  const appliance = await connect(io, server);
  try {
    await work({ io, appliance, root, server, stateDir });
    return 0;
  } catch (error) {
    throw explained(error);
  } finally {
    appliance.close();
  }
}

async function halvesOf(io: CommandIo) {
  const halves = (await io.agentHalves?.()) ?? [];
  const imager = imagerOf(halves, 'tree');
  if (imager !== undefined) return { imager, codecs: codecsOf(halves) };
  throw new OverdubError(
    'DRIVER_MISSING',
    'No configured plugin reads and writes directory trees.',
    'Add the plugin imaging-tree to the configuration.',
  );
}

async function snapshotOf(
  door: Door,
  reason: SnapshotReason,
  hooksDir: string | undefined,
): Promise<Snapshot> {
  const { io, appliance, root, server, stateDir } = door;
  const { imager, codecs } = await halvesOf(io);
  const task = await appliance.beginSnapshot({ server, reason }, io.signal);
  const alive = keepAlive(appliance, task.id);
  try {
    return await takeSnapshot(
      {
        appliance,
        imager,
        codecs,
        root,
        stateDir,
        still: false,
        signal: io.signal,
        onProgress: () => undefined,
        print: (line) => io.error(line),
        nowNs,
        sleep: async (ms, signal) =>
          void (await delay(ms, undefined, signal === undefined ? {} : { signal })),
        ...(hooksDir === undefined ? {} : { hooksDir }),
      },
      task,
    );
  } catch (error) {
    const body =
      error instanceof OverdubError
        ? error.toJSON()
        : new OverdubError('AGENT_LOST', String(error), '').toJSON();
    await appliance
      .report(task.id, { state: 'failed', error: body }, new AbortController().signal)
      .catch(() => undefined);
    throw error;
  } finally {
    alive.stop();
  }
}

/** A sign of life every few seconds: a long scan is not a lost agent. */
function keepAlive(appliance: Appliance, task: string): { stop(): void } {
  const over = new AbortController();
  const beat = async () => {
    while (!over.signal.aborted) {
      await delay(5000, undefined, { signal: over.signal });
      await appliance.report(task, { state: 'running', progress: {} }, over.signal).catch(() => undefined);
    }
  };
  beat().catch(() => undefined);
  return { stop: () => over.abort() };
}

interface RestoreOptions {
  readonly snapshot?: string | undefined;
  readonly 'dry-run'?: boolean | undefined;
  readonly keep?: string[] | undefined;
  readonly only?: string[] | undefined;
}

async function restoreTo(
  door: Door,
  options: RestoreOptions,
  vouched: string | undefined,
): Promise<RestoreResult> {
  const { io, appliance, root, server, stateDir } = door;
  const { imager, codecs } = await halvesOf(io);
  const keep = options.keep ?? [];
  const only = options.only ?? [];
  const dryRun = options['dry-run'] ?? false;
  const selector = options.snapshot ?? 'latest';
  const task = await appliance.beginRestore({ server, selector, dryRun, keep, only }, io.signal);
  const context = {
    appliance,
    imager,
    codecs,
    root,
    workDir: join(stateDir, 'work'),
    record: recordPath(stateDir),
    signal: io.signal,
    onProgress: () => undefined,
    print: (line: string) => io.error(line),
    nowNs,
    ...(vouched === undefined ? {} : { vouched }),
  };
  const order = { server, image: task.image, excludes: task.server.excludes, dryRun, keep, only };
  const result = await restoreImage(context, order);
  await recordRestored(context, order, stateDir);
  return result;
}

function printSnapshot(io: CommandIo, taken: Snapshot): void {
  if (io.json) {
    io.print(JSON.stringify(taken));
    return;
  }
  const { stats, server, id, consistency, manifest, skippedTotal } = taken;
  io.print(`${server}@${id}  ${consistency}, ${manifest.entries} entries, ${megabytes(manifest.bytes)}`);
  const moved = megabytes(stats.bytesReceived + stats.bytesSent);
  io.print(`changed ${stats.filesChanged} files, moved ${moved}, stored ${megabytes(stats.bytesStored)}`);
  if (skippedTotal > 0) io.print(`left out ${skippedTotal}: see overdub snapshot show ${server}@${id}`);
}

function printRestore(io: CommandIo, result: RestoreResult, dryRun: boolean, safety?: Snapshot): void {
  if (io.json) {
    io.print(
      JSON.stringify({ dryRun, ...result, ...(safety === undefined ? {} : { safetySnapshot: safety }) }),
    );
    return;
  }
  if (safety !== undefined) io.print(`safety snapshot ${safety.server}@${safety.id}`);
  for (const change of result.changes) io.print(`${change.action.padEnd(9)} ${change.path || '.'}`);
  const would = dryRun ? 'would write' : 'wrote';
  const moved = megabytes(result.bytesReceived + (result.bytesSent ?? 0));
  io.print(
    `${would} ${result.written} files (${megabytes(result.writtenBytes)}), removed ${result.removed}, metadata only ${result.metadataOnly}; moved ${moved}`,
  );
}

function notOnRoot(command: string): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `overdub ${command} does not work on /: a running system cannot be replaced from within.`,
    'Roll the server back through the appliance: overdub rollback SERVER --to SNAPSHOT.',
  );
}
