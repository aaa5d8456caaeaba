/** Copies of files that keep changing, and files that hooks put in place of others. */

import { randomUUID } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ContentRef,
  type FileStamp,
  type Imager,
  OverdubError,
  type RandomReader,
} from '@overdub/core/agent';
import { EitherCuts } from './name-content.ts';
import { readPieces } from './read-file.ts';
import type { RecordLine } from './record.ts';

/** A copy of ours has no stamp: nobody has looked at it before. */
export type OpenFile = RandomReader & { stamp?(): Promise<FileStamp>; close(): Promise<void> };

/** Opens where a line's bytes lie: its copy, or its path below the root. */
export async function openSource(
  where: { readonly imager: Imager; readonly root: string },
  line: RecordLine,
): Promise<OpenFile> {
  return line.copy === undefined
    ? await where.imager.open(where.root, line.entry.path)
    : await openPlain(line.copy);
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
