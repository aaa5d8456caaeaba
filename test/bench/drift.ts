/**
 * `npm run bench -- drift --data DIR`: real drift through a real appliance, beside the field's own tools.
 *
 * DIR holds `master`, `a` and `b`, three trees of one server at three times. A live directory becomes `a`, is
 * snapshotted, becomes `b` in place, is snapshotted, and is rolled back to `a`. Prints bytes moved (both directions,
 * as the appliance counts them), CPU and memory of both sides, and the ratio to `zstd --patch-from`.
 */

import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Operation, Snapshot } from '@overdub/core';
import {
  become,
  commandFor,
  forgetPeak,
  type Overdub,
  peakMiB,
  type Ran,
  run,
  startAppliance,
  stopAppliance,
} from './appliance.ts';

const SERVER = 'drift';

interface Row {
  readonly what: string;
  readonly movedBytes?: number;
  readonly storedBytes?: number;
  readonly seconds?: number;
  /** User and system CPU of the agent's process and its children, and of the appliance meanwhile, seconds. */
  readonly agentCpu?: number;
  readonly applianceCpu?: number;
  readonly agentMiB?: number;
  readonly applianceMiB?: number;
  readonly note?: string;
}

export interface DriftReport {
  readonly rows: readonly Row[];
  /** Peak resident memory of the appliance, the largest of all steps. */
  readonly applianceMiB: number;
  /** Rollback's moved bytes over what `zstd --patch-from` needs from present to target, changed files only. */
  readonly rollbackRatio: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { data: { type: 'string' }, report: { type: 'string' } } });
  if (values.data === undefined)
    throw new Error('usage: drift --data DIR [--report FILE]   (DIR holds master, a, b)');
  const report = await measureDrift(resolve(values.data));
  printReport(report);
  if (values.report !== undefined) await writeFile(values.report, `${JSON.stringify(report, null, 2)}\n`);
}

/** Runs the whole measurement in a temporary directory, which it removes. */
export async function measureDrift(data: string): Promise<DriftReport> {
  const work = await mkdtemp(join(tmpdir(), 'overdub-drift-'));
  const appliance = await startAppliance(work);
  try {
    const live = join(work, 'live');
    const overdub = commandFor(appliance, work);
    const rows: Row[] = [];
    const step = async (work: Promise<Row>) => {
      const row = await work;
      rows.push({ ...row, applianceMiB: peakMiB(appliance.child) });
      forgetPeak(appliance.child);
      return row;
    };
    await step(importMaster(overdub, join(data, 'master')));
    await overdub('server', 'create', SERVER, '--master', 'drift');
    await become(live, join(data, 'a'));
    await step(snapshot(overdub, live, 'first overlay, a against the master'));
    await become(live, join(data, 'b'));
    await step(snapshot(overdub, live, 'next overlay, b applied in place'));
    await step(snapshot(overdub, live, 'nothing changed'));
    const back = await step(rollback(overdub, live));
    const zstd = await patchFrom(live, data, work);
    rows.push({ what: 'zstd -3 --patch-from, b to a, changed files', movedBytes: zstd });
    const applianceMiB = Math.max(...rows.map((row) => row.applianceMiB ?? 0));
    return { rows, applianceMiB, rollbackRatio: (back.movedBytes ?? 0) / zstd };
  } finally {
    await stopAppliance(appliance.child);
    await rm(work, { recursive: true, force: true });
  }
}

async function importMaster(overdub: Overdub, tree: string): Promise<Row> {
  const { seconds, applianceCpu } = await overdub('master', 'import', 'drift', tree);
  return { what: 'import of the master', seconds, applianceCpu };
}

async function snapshot(overdub: Overdub, live: string, what: string): Promise<Row> {
  const taken = await overdub('agent', 'snapshot', '--root', live, '--server', SERVER);
  const list = (await overdub('snapshot', 'list', SERVER)).json as Snapshot[];
  const stats = list.at(-1)?.stats;
  if (stats === undefined) throw new Error('the snapshot is not listed');
  return {
    what,
    movedBytes: stats.bytesReceived + stats.bytesSent,
    storedBytes: stats.bytesStored,
    ...costOf(taken),
    note: `${stats.filesChanged} files`,
  };
}

async function rollback(overdub: Overdub, live: string): Promise<Row> {
  const done = await overdub('agent', 'rollback', '--root', live, '--server', SERVER, '--snapshot', '~2');
  const result = done.json as Operation['result'] & { bytesReceived?: number; bytesSent?: number };
  return {
    what: 'rollback of b to a',
    movedBytes: (result?.bytesReceived ?? 0) + (result?.bytesSent ?? 0),
    ...costOf(done),
  };
}

function costOf({ seconds, agentCpu, applianceCpu, peakMiB }: Ran) {
  return { seconds, agentCpu, applianceCpu, agentMiB: peakMiB };
}

/** Bytes that `zstd -3 --patch-from` needs from b's changed files to a's: one stream each, in path order. */
async function patchFrom(live: string, data: string, work: string): Promise<number> {
  const present = join(data, 'b');
  // What a has otherwise than b, and the reverse: each side also holds files that the other lacks.
  await archive(live, await differing(live, present), join(work, 'target.tar'));
  await archive(present, await differing(present, live), join(work, 'present.tar'));
  const patch = join(work, 'patch.zst');
  const base = `--patch-from=${join(work, 'present.tar')}`;
  await run('zstd', ['-q', '-f', '-3', '--long=31', base, join(work, 'target.tar'), '-o', patch]);
  return (await stat(patch)).size;
}

/** Files of `from` that `to` lacks or has with other content. */
async function differing(from: string, to: string): Promise<string[]> {
  const args = ['-aHAXn', '--checksum', '--out-format=%n', `${from}/`, `${to}/`];
  const { stdout } = await run('rsync', args, { maxBuffer: 64 << 20 });
  return stdout.split('\n').filter((name) => name !== '' && !name.endsWith('/'));
}

async function archive(tree: string, names: readonly string[], file: string): Promise<void> {
  await writeFile(`${file}.names`, names.map((name) => name.replace(/ -> .*$/, '')).join('\n'));
  await run('tar', ['--sort=name', '--no-recursion', '-C', tree, '-cf', file, '-T', `${file}.names`]);
}

function printReport(report: DriftReport): void {
  const cell = (value: number | undefined, digits = 0): string =>
    (value === undefined ? '' : value.toFixed(digits)).padStart(12);
  const heads = ['moved', 'stored', 'seconds', 'agent CPU', 'appl. CPU', 'agent MiB', 'appl. MiB'];
  console.log('what'.padEnd(46) + heads.map((head) => head.padStart(12)).join(''));
  for (const row of report.rows) {
    const sizes = cell(row.movedBytes) + cell(row.storedBytes) + cell(row.seconds, 1);
    const costs = cell(row.agentCpu, 2) + cell(row.applianceCpu, 2);
    const memory = cell(row.agentMiB) + cell(row.applianceMiB);
    console.log(`${row.what.padEnd(46)}${sizes}${costs}${memory}  ${row.note ?? ''}`);
  }
  console.log(
    `appliance, peak: ${report.applianceMiB.toFixed(0)} MiB; rollback / zstd --patch-from: ${report.rollbackRatio.toFixed(2)}`,
  );
}

if (process.argv[1] === import.meta.filename) await main();
