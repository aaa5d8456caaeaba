/** Copies of files that keep changing, and files that hooks put in place of others. */

import { randomUUID } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ContentRef,
  type Imager,
  OverdubError,
  type RandomReader,
  type SkippedPath,
  type TreeFile,
  type TreeReader,
} from '@overdub/core/agent';
import { EitherCuts } from './name-content.ts';
import { readPieces } from './read-file.ts';
import type { RecordLine } from './record.ts';

/** A copy of ours has no stamp: nobody has looked at it before. */
export type OpenFile = Omit<TreeFile, 'stamp'> & Partial<Pick<TreeFile, 'stamp'>>;

/** Opens where a line's bytes lie: its copy, or its path in the tree. */
export function openSource(tree: TreeReader, line: RecordLine): Promise<OpenFile> {
  return line.copy === undefined ? openIn(tree, line.entry.path) : openPlain(line.copy);
}

/** Whatever fails rejects. */
async function openIn(tree: TreeReader, path: string): Promise<TreeFile> {
  return tree.open(path);
}

/** A plain file of ours. */
export async function openPlain(path: string): Promise<OpenFile> {
  const file = await open(path, 'r');
  const { size } = await file.stat();
  return {
    bytes: size,
    async read(offset, length) {
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - offset)));
      let at = 0;
      while (at < buffer.length) {
        const { bytesRead } = await file.read(buffer, at, buffer.length - at, offset + at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return buffer.subarray(0, at);
    },
    close: () => file.close(),
  };
}

export interface CaptureOptions {
  readonly imager: Imager;
  readonly root: string;
  readonly signal: AbortSignal;
  /** Told of each file that was captured or is gone. */
  readonly onSkip: (skipped: SkippedPath) => void;
}

/** Where copies of one snapshot lie; removed as a whole. */
export class Copies {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = join(dir, 'copies');
  }

  /** Copies a file's bytes as they are at this moment, and names them. `before` is what the file held. */
  async take(
    source: RandomReader,
    signal: AbortSignal,
    before?: ContentRef,
  ): Promise<{ path: string; content: ContentRef }> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const path = join(this.#dir, randomUUID());
    const file = await open(path, 'wx', 0o600);
    const hasher = new EitherCuts(before);
    try {
      for await (const piece of readPieces(source, signal)) {
        hasher.update(piece);
        await file.write(piece);
      }
    } finally {
      await file.close();
    }
    return { path, content: hasher.finish() };
  }

  /** These lines; those of `paths` say what the files hold now, from copies. Files that are gone are left out. */
  async *capture(
    lines: AsyncIterable<RecordLine>,
    paths: ReadonlySet<string>,
    { imager, root, signal, onSkip }: CaptureOptions,
  ): AsyncGenerator<RecordLine> {
    const tree = imager.openTree(root);
    try {
      for await (const line of lines) {
        if (paths.has(line.entry.path)) yield* this.#captured(tree, line, { signal, onSkip });
        else yield line;
      }
    } finally {
      tree.close();
    }
  }

  /** The line by what the file holds now; none when it is gone. */
  async *#captured(
    tree: TreeReader,
    { entry, before }: RecordLine,
    { signal, onSkip }: Pick<CaptureOptions, 'signal' | 'onSkip'>,
  ): AsyncGenerator<RecordLine> {
    const source = await openIn(tree, entry.path).catch(() => undefined);
    if (source === undefined) {
      onSkip({ path: entry.path, reason: 'vanished' });
      return;
    }
    try {
      const { mtimeNs } = await source.stamp();
      const { path, content } = await this.take(source, signal, before);
      onSkip({ path: entry.path, reason: 'changing' });
      yield {
        entry: { ...entry, mtimeNs, content },
        changed: true,
        copy: path,
        ...(before === undefined ? {} : { before }),
      };
    } finally {
      await source.close();
    }
  }

  async clear(): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }
}

/** CONFLICT: the copy itself changed while it was sent. */
export function tooLively(path: string): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `${JSON.stringify(path)} could not be captured: its copy changed while it was sent.`,
    'Look at what writes into the agent’s state directory; then take the snapshot again.',
  );
}
