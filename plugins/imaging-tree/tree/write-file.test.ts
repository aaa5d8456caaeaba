/** A file that cannot be written: the same reason whichever way its bytes come, and nothing of it left. */

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ContentStream, digestOf } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FileJob, shortBytes, writeFile, writeShortFile } from './write-file.ts';

const BYTES = Buffer.alloc(100_000, 'short');
const WHOLE = { digest: digestOf(BYTES), bytes: BYTES.length };
const CONTENT = { ...WHOLE, chunks: [WHOLE] };
const isRoot = process.getuid?.() === 0;

/** Bytes of the right length that are others. */
const WRONG = Buffer.alloc(BYTES.length, 'wrong');

let dir: string;
let dirfd: number;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'overdub-write-'));
  dirfd = openSync(dir, 'r');
});
afterEach(() => {
  closeSync(dirfd);
  rmSync(dir, { recursive: true, force: true });
});

interface Case {
  /** Another directory than the test's: open, and where its names can be listed. */
  readonly at?: { readonly fd: number; readonly path?: string };
  readonly bytes?: Buffer;
  readonly plainly?: boolean;
  readonly signal?: AbortSignal;
  readonly xattrs?: Readonly<Record<string, string>>;
}

function jobOf({ bytes = BYTES, plainly = false, signal, xattrs }: Case): FileJob {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const metadata = { mode: 0o640, uid, gid, mtimeNs: '1700000000000000000' };
  const stream: ContentStream = {
    atHand: bytes,
    async *[Symbol.asyncIterator]() {
      yield bytes;
    },
  };
  return {
    entry: {
      path: 'f',
      type: 'file',
      ...metadata,
      content: CONTENT,
      ...(xattrs && { xattrs }),
    },
    bytes: stream,
    onBytes: () => undefined,
    signal: signal ?? new AbortController().signal,
    plainly,
  };
}

/** Both ways to write it: what each came to, and what it left in the directory. */
async function both(one: Case) {
  const { fd, path } = one.at ?? { fd: dirfd, path: dir };
  const ways = {
    atHand: async (job: FileJob) => writeShortFile(fd, 'f', job, shortBytes(job) as Uint8Array),
    asItComes: (job: FileJob) => writeFile(fd, 'f', job),
  };
  const came: { failure: unknown; left: readonly string[] }[] = [];
  for (const write of Object.values(ways)) {
    const failure = await write(jobOf(one)).then(
      () => undefined,
      ({ code, syscall, message }: NodeJS.ErrnoException) =>
        syscall === undefined ? { code, message } : { code, syscall },
    );
    came.push({ failure, left: path === undefined ? [] : readdirSync(path) });
  }
  return came as [(typeof came)[0], (typeof came)[0]];
}

describe.each([false, true])(
  'a short file that cannot be written; under its own name at once: %s',
  (plainly) => {
    /** Both ways fail with this, and leave only this. */
    async function bothFail(one: Case, failure: object, left: readonly string[] = []) {
      const [atHand, asItComes] = await both({ plainly, ...one });
      expect(atHand.failure).toMatchObject(failure);
      expect(atHand).toEqual(asItComes);
      expect(atHand.left).toEqual(left);
    }

    it('since its directory takes no names', async () => {
      const gone = join(dir, 'gone');
      mkdirSync(gone);
      const fd = openSync(gone, 'r');
      rmdirSync(gone);
      await bothFail({ at: { fd } }, { code: 'ENOENT', syscall: 'open' });
      closeSync(fd);
    });

    it.skipIf(isRoot)('since its directory may not be written', async () => {
      chmodSync(dir, 0o500);
      await bothFail({}, { code: 'EACCES', syscall: 'open' });
      chmodSync(dir, 0o700);
    });

    it('since a directory has its name', async () => {
      mkdirSync(join(dir, 'f/full'), { recursive: true });
      await bothFail({}, { syscall: 'rename' }, ['f']);
      expect(readdirSync(join(dir, 'f'))).toEqual(['full']);
    });

    it('since its bytes are others, and the file that has its name stays', async () => {
      await bothFail({ bytes: WRONG }, { code: 'REPOSITORY_DAMAGED' });
      writeFileSync(join(dir, 'f'), 'old');
      await bothFail({ bytes: WRONG }, { code: 'REPOSITORY_DAMAGED' }, ['f']);
      expect(readFileSync(join(dir, 'f'), 'utf8')).toBe('old');
    });

    it('since its metadata cannot be set', async () => {
      await bothFail({ xattrs: { 'nowhere.note': 'eA==' } }, { code: 'ENOTSUP' });
    });

    it('since it was given up', async () => {
      await bothFail({ signal: AbortSignal.abort(new Error('given up')) }, { message: 'given up' });
    });

    it.runIf(isRoot)('since the disk is full', async () => {
      const small = join(dir, 'small');
      mkdirSync(small);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small]);
      const fd = openSync(small, 'r');
      try {
        await bothFail({ at: { fd, path: small } }, { code: 'ENOSPC', syscall: 'write' });
      } finally {
        closeSync(fd);
        execFileSync('umount', [small]);
      }
    });
  },
);

it('is written alike both ways where nothing is in the way', async () => {
  for (const plainly of [false, true]) {
    const came = await both({ plainly });
    expect(came).toEqual([
      { failure: undefined, left: ['f'] },
      { failure: undefined, left: ['f'] },
    ]);
    expect(readFileSync(join(dir, 'f')).equals(BYTES)).toBe(true);
    rmSync(join(dir, 'f'));
  }
});
