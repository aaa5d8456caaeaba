/** The large cases, each alone: one huge file, very many files, very many snapshots. */

import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Snapshot } from '@overdub/core';
import {
  commandFor,
  type Overdub,
  peakMiB,
  type RunningAppliance,
  startAppliance,
  stopAppliance,
} from './appliance.ts';
import type { Figure } from './peers.ts';

export const CASES = ['sparse', 'dense', 'files', 'snapshots'] as const;

const PAGE = 8192;
const GIB = 1024 ** 3;

/** What a case is given to work with. */
interface Ground {
  readonly live: string;
  readonly size: number;
  /** Takes a snapshot and notes its figures. */
  take(step: string): Promise<void>;
  restore(step: string, snapshot: string): Promise<void>;
}

const SIZES: Readonly<Record<string, number>> = {
  sparse: 20 * GIB,
  dense: 20 * GIB,
  files: 1e6,
  snapshots: 100,
};

/** Runs one case; `size` is bytes, files or snapshots. */
export async function runCase(name: string, size: number | undefined, work: string): Promise<Figure[]> {
  const run = { sparse: hugeFile(true), dense: hugeFile(false), files: manyFiles, snapshots: manySnapshots }[
    name
  ];
  if (run === undefined) throw new Error(`there is no case ${name}; there are ${CASES.join(', ')}`);
  const appliance = await startAppliance(work);
  try {
    const overdub = commandFor(appliance, work);
    const live = join(work, 'live');
    await mkdir(live);
    await overdub('server', 'create', 'case');
    const figures: Figure[] = [];
    const ground = groundOf(overdub, appliance, live, size ?? (SIZES[name] as number), work, figures);
    await run(ground);
    return figures;
  } finally {
    await stopAppliance(appliance.child);
  }
}

function groundOf(
  overdub: Overdub,
  appliance: RunningAppliance,
  live: string,
  size: number,
  work: string,
  figures: Figure[],
): Ground {
  const note = (step: string, ran: Awaited<ReturnType<Overdub>>, sizes: Partial<Figure>) => {
    const cpu = ran.agentCpu + ran.applianceCpu;
    const memory = Math.max(ran.peakMiB, peakMiB(appliance.child));
    figures.push({ tool: 'overdub', step, ...sizes, cpu, seconds: ran.seconds, peakMiB: memory });
  };
  let restores = 0;
  return {
    live,
    size,
    async take(step) {
      const ran = await overdub('agent', 'snapshot', '--root', live, '--server', 'case');
      const stats = ((await overdub('snapshot', 'list', 'case')).json as Snapshot[]).at(-1)?.stats;
      const moved = stats === undefined ? {} : { movedBytes: stats.bytesReceived + stats.bytesSent };
      note(step, ran, { ...moved, ...(stats === undefined ? {} : { storedBytes: stats.bytesStored }) });
    },
    async restore(step, snapshot) {
      const empty = join(work, `restored-${++restores}`);
      await mkdir(empty);
      const where = ['--root', empty, '--server', 'case', '--state', `${empty}-state`];
      note(step, await overdub('agent', 'restore', ...where, '--snapshot', snapshot), {});
    },
  };
}

/** The same bytes for the same seed, quickly; incompressible. */
function noise(bytes: number, seed: number): Buffer {
  const words = new Uint32Array(bytes / 4);
  let state = seed | 1;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return Buffer.from(words.buffer);
}

/** One page in a thousand changes. A sparse file has one page written in a hundred. */
function hugeFile(sparse: boolean): (ground: Ground) => Promise<void> {
  return async ({ live, size, take }) => {
    const pages = Math.floor(size / PAGE);
    const file = await open(join(live, 'huge'), 'w+');
    try {
      await file.truncate(pages * PAGE);
      const step = sparse ? 100 : 128;
      for (let page = 0; page < pages; page += step)
        await writePages(file, page, sparse ? 1 : Math.min(128, pages - page), page + 1);
      await take('first overlay');
      for (let page = 7; page < pages; page += 1000) await writePages(file, page, 1, page + 12345);
      await take(`one page in 1000 changed: ${Math.ceil(pages / 1000) * PAGE} bytes`);
    } finally {
      await file.close();
    }
  };
}

async function writePages(file: FileHandle, page: number, count: number, seed: number): Promise<void> {
  await file.write(noise(count * PAGE, seed), 0, count * PAGE, page * PAGE);
}

async function manyFiles({ live, size, take }: Ground): Promise<void> {
  for (let at = 0; at < size; at++) {
    const dir = join(live, `${Math.floor(at / 1000)}`);
    if (at % 1000 === 0) await mkdir(dir);
    await writeFile(join(dir, `file-${at}`), `the ${at}th file\n`);
  }
  await take('first overlay');
  await take('nothing changed');
}

/** A file of 200 MB of which one page in a hundred changes from each to the next. */
async function manySnapshots({ live, size, take, restore }: Ground): Promise<void> {
  const pages = 25_000;
  const file = await open(join(live, 'table'), 'w+');
  try {
    for (let page = 0; page < pages; page += 100) await writePages(file, page, 100, page + 1);
    for (let nth = 0; nth < size; nth++) {
      for (let page = nth % 100; page < pages; page += 100)
        await writePages(file, page, 1, page + nth * 7919);
      await take(`snapshot ${nth + 1}`);
    }
  } finally {
    await file.close();
  }
  await restore('restore of the newest', 'latest');
  await restore('restore of the oldest', `~${size - 1}`);
}
