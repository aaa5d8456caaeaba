/** Boot artifacts out of files and texts. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { type Artifact, type NetbootService, OverdubError } from '@overdub/core/agent';

/** A regular file as it is now; `undefined` when there is none of that name. Links are followed. */
export async function fileArtifact(file: string): Promise<Artifact | undefined> {
  const facts = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (!facts?.isFile()) return undefined;
  return {
    bytes: facts.size,
    contentType: 'application/octet-stream',
    etag: `"${facts.ino.toString(16)}-${facts.size.toString(16)}-${Math.trunc(facts.mtimeMs).toString(16)}"`,
    openFile: () => open(file),
    async *read(range) {
      if (range?.length === 0) return;
      const span = range && { start: range.offset, end: range.offset + range.length - 1 };
      yield* createReadStream(file, { highWaterMark: 65_536, ...span }) as AsyncIterable<Uint8Array>;
    },
  };
}

interface MissingFile {
  readonly plugin: string;
  /** Absolute. */
  readonly file: string;
  /** What does not work without it: `no uefi-arm64 machine could boot through GRUB`. */
  readonly without: string;
  /** The root of the system, or where somebody unpacked the packages. */
  readonly tree: string;
  /** Debian's packages that have it. */
  readonly packages: string;
}

/** PREREQUISITE_MISSING: a file of Debian's packages that machines will ask for is not there. */
export function missingFile({ plugin, file, without, tree, packages }: MissingFile): OverdubError {
  return new OverdubError(
    'PREREQUISITE_MISSING',
    `${plugin}: ${file} is not there, so ${without}.`,
    tree === '/'
      ? `Install it from Debian’s packages: apt-get install ${packages}`
      : `Unpack Debian’s ${packages} there: dpkg -x FILE.deb ${tree}`,
    { plugin },
  );
}

/** A text, in UTF-8. */
export function textArtifact(text: string): Artifact {
  const content = Buffer.from(text);
  return {
    bytes: content.length,
    contentType: 'text/plain; charset=utf-8',
    etag: `"${createHash('sha256').update(content).digest('hex').slice(0, 32)}"`,
    async *read(range) {
      yield range === undefined ? content : content.subarray(range.offset, range.offset + range.length);
    },
  };
}

/** Is there an artifact of this name? A plugin that ought to have it, and says NOT_FOUND, has none either. */
export async function isServed(netboot: Pick<NetbootService, 'artifact'>, name: string): Promise<boolean> {
  try {
    return (await netboot.artifact(name)) !== undefined;
  } catch (error) {
    if (error instanceof OverdubError && error.code === 'NOT_FOUND') return false;
    throw error;
  }
}
