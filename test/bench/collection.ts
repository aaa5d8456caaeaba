/**
 * `npm run bench -- collection [--chunks N] [--report FILE]`: what a collection holds in memory. A repository of N tiny
 * chunks (a million, unless told otherwise) in two images of which one is removed again, and every tenth chunk of it
 * lives on in the other: each step in a process of its own, its peak and its seconds.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Entry, Repository, Snapshot } from '@overdub/core';
import { openRepository } from '../../core/repository/index.ts';
import { systemClock } from '../../core/scheduler/clock.ts';
import { openLocalStore } from '../../plugins/storage-local/store.ts';

/** Of the first image's chunks one in so many is the second's as well. */
const SHARED = 10;
const PER_DIRECTORY = 1000;
const STEPS = ['fill', 'open', 'collect', 'verify', 'usage'] as const;

/** What one step cost. */
interface StepFigure {
  readonly step: string;
  readonly seconds: number;
  readonly peakMiB: number;
  /** Longest time that nothing else ran, milliseconds. */
  readonly longestPauseMs: number;
  readonly result: unknown;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      chunks: { type: 'string', default: '1000000' },
      report: { type: 'string' },
      step: { type: 'string' },
      work: { type: 'string' },
    },
  });
  const chunks = Number(values.chunks);
  if (values.step !== undefined && values.work !== undefined) {
    await runStep(values.step, values.work, chunks);
    return;
  }
  const work = await mkdtemp(join(tmpdir(), 'overdub-collection-'));
  try {
    const figures: StepFigure[] = [];
    for (const step of STEPS) figures.push(await inProcess(step, work, chunks));
    for (const { step, seconds, peakMiB, longestPauseMs, result } of figures) {
      const cells = [`${seconds.toFixed(1)} s`, `${peakMiB.toFixed(0)} MiB`, `${longestPauseMs} ms`];
      console.log(
        `${step.padEnd(10) + cells.map((cell) => cell.padStart(12)).join('')}  ${JSON.stringify(result)}`,
      );
    }
    if (values.report !== undefined)
      await writeFile(values.report, `${JSON.stringify({ chunks, figures }, null, 2)}\n`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function inProcess(step: string, work: string, chunks: number): Promise<StepFigure> {
  // As the appliance runs.
  const args = [
    ...process.execArgv,
    '--max-semi-space-size=8',
    import.meta.filename,
    '--step',
    step,
    '--work',
    work,
    '--chunks',
    `${chunks}`,
  ];
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`the step ${step} ended with ${status}`);
  return JSON.parse(await readFile(join(work, `${step}.json`), 'utf8')) as StepFigure;
}

async function runStep(step: string, work: string, chunks: number): Promise<void> {
  const began = performance.now();
  const pauses = watchPauses();
  const repository = await open(work);
  const result = await stepOf(step, repository, chunks);
  await repository.close();
  const figure: StepFigure = {
    step,
    seconds: (performance.now() - began) / 1000,
    peakMiB: process.resourceUsage().maxRSS / 1024,
    longestPauseMs: pauses(),
    result,
  };
  await writeFile(join(work, `${step}.json`), JSON.stringify(figure));
}

async function stepOf(step: string, repository: Repository, chunks: number): Promise<unknown> {
  if (step === 'fill') return fill(repository, chunks);
  if (step === 'open') return repository.stats();
  if (step === 'collect') return repository.collect();
  if (step === 'usage') return (await repository.usage()).uniqueBytes;
  const { sound, readChunks } = await repository.verify({ readData: true });
  return { sound, readChunks };
}

async function open(work: string): Promise<Repository> {
  const stateDir = join(work, 'state');
  await mkdir(stateDir, { recursive: true });
  const log = { debug: ignore, info: ignore, warn: console.warn, error: console.error };
  return openRepository({
    store: await openLocalStore(join(work, 'repository')),
    codecs: [],
    stateDir,
    clock: systemClock,
    log,
  });
}

/** Two images; then the first is removed, so that nine tenths of its chunks are garbage, in packs that are sparse. */
async function fill(repository: Repository, chunks: number): Promise<unknown> {
  const half = Math.floor(chunks / 2);
  await commit(repository, 'first', half, (at) => at);
  await commit(repository, 'second', half, (at) => (at % SHARED === 0 ? at : half + at));
  await repository.removeSnapshot('bench', 'first');
  const { packs, storedBytes } = await repository.stats();
  return { packs, storedBytes };
}

async function commit(
  repository: Repository,
  id: string,
  files: number,
  seed: (at: number) => number,
): Promise<void> {
  const session = await repository.ingest({ label: id });
  const manifest = await session.writeManifest(entries());
  async function* entries(): AsyncGenerator<Entry> {
    const owned = { uid: 0, gid: 0, mtimeNs: '1' };
    for (let at = 0; at < files; at++) {
      const dir = `${Math.floor(at / PER_DIRECTORY)}`.padStart(6, '0');
      if (at % PER_DIRECTORY === 0) yield { path: dir, type: 'directory', mode: 0o755, ...owned };
      const bytes = Buffer.from(`the ${seed(at)}th file\n`);
      const digest = createHash('sha256').update(bytes).digest('hex');
      const chunk = { digest, bytes: bytes.length };
      await session.addChunk(digest, bytes);
      const path = `${dir}/${`${at % PER_DIRECTORY}`.padStart(4, '0')}`;
      yield { path, type: 'file', mode: 0o644, ...owned, content: { ...chunk, chunks: [chunk] } };
    }
  }
  await session.flush();
  const time = '2026-01-01T00:00:00.000Z';
  const snapshot: Snapshot = {
    id,
    server: 'bench',
    manifest,
    startedAt: time,
    endedAt: time,
    consistency: 'crash',
    reason: 'manual',
    suspect: false,
    pinned: false,
    skipped: [],
    skippedTotal: 0,
    stats: { bytesReceived: 0, bytesSent: 0, bytesStored: 0, filesChanged: files },
  };
  await repository.commitSnapshot(snapshot);
  await session.close();
}

/** Returns what the longest pause was until now. */
function watchPauses(): () => number {
  let [last, longest] = [performance.now(), 0];
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - 10);
    last = now;
  }, 10);
  timer.unref();
  return () => Math.round(longest);
}

function ignore(): void {
  // Only what goes wrong is of interest here.
}

await main();
