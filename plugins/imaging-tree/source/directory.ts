/** A root filesystem in a directory of the appliance. */

import type { ImageSource, SourceEntry } from '@overdub/core';
import { OverdubError, type SkippedPath } from '@overdub/core/agent';
import { PSEUDO_DIRECTORIES } from '../tree/excludes.ts';
import { openFile } from '../tree/open.ts';
import { scanTree } from '../tree/scan.ts';

const PIECE = 1024 * 1024;

/** See {@link ImageSource}. Leaves out sockets and what lies in /dev, /proc, /run and /sys; nothing else. */
export function directorySource(root: string): ImageSource {
  return { entries: (signal) => directoryEntries(root, signal), close: async () => {} };
}

async function* directoryEntries(root: string, signal: AbortSignal): AsyncGenerator<SourceEntry> {
  let lost: SkippedPath | undefined;
  const onSkip = (skipped: SkippedPath) => {
    if (['unreadable', 'vanished', 'changing'].includes(skipped.reason)) lost ??= skipped;
  };
  const pseudo = PSEUDO_DIRECTORIES.map((name) => `/${name}/**`);
  for await (const { entry, stamp } of scanTree(root, { excludes: [], onSkip, signal }, pseudo)) {
    if (lost !== undefined) throw incomplete(root, lost);
    if (entry.type !== 'file' || stamp === undefined) yield { entry };
    else yield { entry, bytes: stamp.size, open: () => fileBytes(root, entry.path, stamp.size) };
  }
  if (lost !== undefined) throw incomplete(root, lost);
}

async function* fileBytes(root: string, path: string, bytes: number): AsyncGenerator<Uint8Array> {
  const file = openFile(root, path);
  try {
    for (let at = 0; at < bytes; ) {
      const piece = await file.read(at, Math.min(PIECE, bytes - at));
      if (piece.length === 0) throw incomplete(root, { path, reason: 'changing' });
      at += piece.length;
      yield piece;
    }
  } finally {
    file.close();
  }
}

function incomplete(root: string, { path, reason }: SkippedPath): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    `${root} cannot be read whole: ${JSON.stringify(path)} is ${reason}.`,
    'Import as root, from a directory that nothing is writing to.',
  );
}
