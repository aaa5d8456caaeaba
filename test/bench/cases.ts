/** The large cases, each alone: one huge file, very many files, very many snapshots. */

import { copyFile, type FileHandle, mkdir, open, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './appliance.ts';
import { Ground } from './ground.ts';
import type { Figure } from './peers.ts';

const PAGE = 8192;
/** Of many snapshots so many are pruned, the oldest. */
const FORGOTTEN = 0.9;

interface Case {
  /** Bytes, files or snapshots, unless told otherwise. */
  readonly size: number;
  readonly run: (ground: Ground) => Promise<void>;
}

const CASE_BY_NAME: Readonly<Record<string, Case>> = {
  sparse: { size: 20e9, run: hugeFile(true) },
  dense: { size: 20e9, run: hugeFile(false) },
  files: { size: 1e6, run: manyFiles },
  snapshots: { size: 100, run: manySnapshots },
};

export const CASES: readonly string[] = Object.keys(CASE_BY_NAME);

/** Runs one case; `size` is bytes, files or snapshots. */
export async function runCase(name: string, size: number | undefined, work: string): Promise<Figure[]> {
  const chosen = CASE_BY_NAME[name];
  if (chosen === undefined) throw new Error(`there is no case ${name}; there are ${CASES.join(', ')}`);
  const ground = await Ground.prepare(work, size ?? chosen.size);
  await chosen.run(ground);
  return ground.figures;
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
  return async (ground) => {
    const pages = Math.floor(ground.size / PAGE);
    const path = join(ground.live, 'huge');
    const file = await open(path, 'w+');
    try {
      await file.truncate(pages * PAGE);
      const step = sparse ? 100 : 128;
      for (let page = 0; page < pages; page += step)
        await writePages(file, page, sparse ? 1 : Math.min(128, pages - page), page + 1);
      await ground.take('first overlay');
      for (let page = 7; page < pages; page += 1000) await writePages(file, page, 1, page + 12345);
      const changed = Math.ceil((pages - 7) / 1000) * PAGE;
      const next = 'next overlay, one page in 1000 changed';
      await ground.take(next);
      ground.note({ tool: 'the changed pages', step: next, storedBytes: changed, movedBytes: changed });
    } finally {
      await file.close();
    }
    // The disk is lost: it and its copy need not fit at a time.
    await rm(path);
    await ground.restore('restore to an empty disk', 'latest');
  };
}

async function writePages(file: FileHandle, page: number, count: number, seed: number): Promise<void> {
  await file.write(noise(count * PAGE, seed), 0, count * PAGE, page * PAGE);
}

/** Of the second image one file in ten is another; what only the others need is collected in the end. */
async function manyFiles(ground: Ground): Promise<void> {
  const pathOf = (at: number) => join(ground.live, `${Math.floor(at / 1000)}`, `file-${at}`);
  for (let at = 0; at < ground.size; at++) {
    if (at % 1000 === 0) await mkdir(join(ground.live, `${at / 1000}`));
    await writeFile(pathOf(at), `the ${at}th file\n`);
  }
  await ground.take('first overlay');
  await ground.take('nothing changed');
  for (let at = 0; at < ground.size; at += 10) await writeFile(pathOf(at), `another ${at}th file\n`);
  await ground.take('next overlay, one file in ten changed');
  const [first, same, last] = [
    await ground.snapshotId(0),
    await ground.snapshotId(1),
    await ground.snapshotId(2),
  ];
  await ground.run('diff of the two', 'diff', `case@${first}`, `case@${last}`);
  await ground.restore('restore to an empty disk', 'latest');
  await ground.run('the first removed', 'snapshot', 'remove', `case@${first}`);
  await ground.run('the second removed', 'snapshot', 'remove', `case@${same}`);
  await ground.run('collection', 'gc');
}

/** A file of 200 MB of which one page in a hundred changes from each to the next. */
async function manySnapshots(ground: Ground): Promise<void> {
  const pages = 25_000;
  const table = join(ground.live, 'table');
  const before = join(ground.work, 'before');
  const grown = { ours: 0, zstd: 0 };
  const file = await open(table, 'w+');
  try {
    for (let page = 0; page < pages; page += 100) await writePages(file, page, 100, page + 1);
    for (let nth = 0; nth < ground.size; nth++) {
      if (nth > 0) await copyFile(table, before);
      for (let page = nth % 100; page < pages; page += 100)
        await writePages(file, page, 1, page + nth * 7919);
      const { storedBytes = 0 } = await ground.take(`snapshot ${nth + 1}`);
      if (nth === 0) continue;
      grown.ours += storedBytes;
      grown.zstd += await patchBytes(before, table, join(ground.work, 'patch'));
    }
  } finally {
    await file.close();
  }
  const step = 'growth since the first snapshot';
  ground.note({ tool: 'overdub', step, storedBytes: grown.ours });
  ground.note({ tool: 'zstd --patch-from', step, storedBytes: grown.zstd });
  const bytes = pages * PAGE;
  const [newest, oldest] = ['restore of the newest', 'restore of the oldest'];
  await ground.restoreByTurns([
    { step: newest, snapshot: 'latest' },
    { step: oldest, snapshot: `~${ground.size - 1}` },
  ]);
  for (const step of [newest, oldest]) ground.note({ tool: 'its bytes', step, readBytes: bytes });
  await ground.forgetOldest(Math.floor(ground.size * FORGOTTEN));
  await ground.run('collection', 'gc');
  await ground.restore('restore of the newest, after it', 'latest');
}

/** What `zstd -3 --patch-from` needs from one file to the other. */
async function patchBytes(from: string, to: string, patch: string): Promise<number> {
  await run('zstd', ['-q', '-f', '-3', '--long=31', `--patch-from=${from}`, to, '-o', patch]);
  const { size } = await stat(patch);
  await rm(patch);
  return size;
}
