/**
 * A file that cannot be written: the same reason whichever way its bytes come, and nothing of it left. One that can: its owner and mode
 * whatever the directory gives.
 */

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ContentStream, digestOf } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setXattr } from './libc.ts';
import {
  checkedShort,
  type FileJob,
  wantedOf,
  writeFile,
  writeShortFile,
  writeSpecial,
} from './write-file.ts';

const BYTES = Buffer.alloc(100_000, 'short');
const WHOLE = { digest: digestOf(BYTES), bytes: BYTES.length };
const CONTENT = { ...WHOLE, chunks: [WHOLE] };
const OWN = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
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
    atHand: async (job: FileJob) => writeShortFile(fd, 'f', wantedOf(job), checkedShort(job) as Uint8Array),
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

describe('owner and mode are those of the entry', () => {
  /** `u::rwx,g::---,o::---` as a default ACL: acl(5), version 2, of each entry tag, permissions, id. */
  const CLOSED = Buffer.from('0200000001000700ffffffff04000000ffffffff20000000ffffffff', 'hex');
  const asked = { mode: 0o664, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

  /** What the file is that was written plainly, in each of both ways. */
  async function written(owner: typeof asked) {
    const left: object[] = [];
    for (const write of [
      async (job: FileJob) => writeShortFile(dirfd, 'f', wantedOf(job), BYTES),
      (job: FileJob) => writeFile(dirfd, 'f', job),
    ]) {
      const job = jobOf({ plainly: true });
      const stamp = await write({ ...job, entry: { ...job.entry, ...owner } });
      const { mode, uid, gid, ino, ctimeNs } = lstatSync(join(dir, 'f'), { bigint: true });
      expect(stamp).toMatchObject({ inode: String(ino), ctimeNs: String(ctimeNs) });
      left.push({ mode: Number(mode) & 0o7777, uid: Number(uid), gid: Number(gid) });
      rmSync(join(dir, 'f'));
    }
    return left;
  }

  it('where it is made with them', async () => {
    expect(await written({ ...asked, mode: 0o444 })).toEqual(Array(2).fill({ ...asked, mode: 0o444 }));
  });

  it('and nobody else may read it while its content comes, unless he may afterwards', async () => {
    const seen: number[] = [];
    for (const [owner, mode] of [
      [asked, 0o640],
      [{ ...asked, mode: 0o4755 }, 0o4755],
      [{ ...asked, uid: 4711 }, 0o664],
    ] as const) {
      if (owner.uid !== asked.uid && !isRoot) continue;
      const job = jobOf({ plainly: true });
      const bytes: ContentStream = {
        async *[Symbol.asyncIterator]() {
          seen.push(lstatSync(join(dir, 'f')).mode & 0o7777);
          yield BYTES;
        },
      };
      await writeFile(dirfd, 'f', { ...job, bytes, entry: { ...job.entry, ...owner, mode } });
      expect(lstatSync(join(dir, 'f')).mode & 0o7777).toBe(mode);
      rmSync(join(dir, 'f'));
    }
    expect(seen).toEqual([0o640, 0o600, 0o600].slice(0, seen.length));
    expect(seen.length).toBeGreaterThanOrEqual(2);
  });

  it('whatever the umask takes away', async () => {
    const before = process.umask(0o077);
    try {
      expect(await written(asked)).toEqual([asked, asked]);
    } finally {
      process.umask(before);
    }
  });

  it('whatever ACL the directory gives', async () => {
    try {
      setXattr(dir, 'system.posix_acl_default', CLOSED, true);
    } catch (error) {
      // Not every filesystem that tests may lie on has them.
      expect((error as NodeJS.ErrnoException).code).toBe('ENOTSUP');
      return;
    }
    expect(await written(asked)).toEqual([asked, asked]);
    writeFileSync(join(dir, 'other'), '');
    expect(lstatSync(join(dir, 'other')).mode & 0o777).toBe(0o600);
  });

  it.runIf(isRoot)('whatever group the directory gives, and of others', async () => {
    chownSync(dir, 0, 4711);
    chmodSync(dir, 0o2755);
    const others = { mode: 0o4755, uid: 4712, gid: 4713 };
    expect(await written(asked)).toEqual([asked, asked]);
    expect(await written(others)).toEqual([others, others]);
  });
});

describe('a symbolic link, or a pipe', () => {
  const metadata = { path: 'name', mode: 0o640, uid: OWN.uid, gid: OWN.gid, mtimeNs: '1700000000000000000' };
  const link = { ...metadata, type: 'symlink', target: 'somewhere' } as const;
  const pipe = { ...metadata, type: 'fifo' } as const;

  it.each([true, false])('is made, plainly (%s) or not, also where something has its name', (plainly) => {
    for (const [entry, isIt] of [
      [link, () => readlinkSync(join(dir, 'name')) === 'somewhere'],
      [pipe, () => lstatSync(join(dir, 'name')).isFIFO()],
    ] as const) {
      rmSync(join(dir, 'name'), { force: true });
      for (let count = 0; count < 2; count++) {
        writeSpecial(dirfd, 'name', entry, plainly);
        expect(isIt()).toBe(true);
        expect(lstatSync(join(dir, 'name')).mtimeMs).toBe(1_700_000_000_000);
      }
      rmSync(join(dir, 'name'));
      writeFileSync(join(dir, 'name'), 'a file');
      writeSpecial(dirfd, 'name', entry, plainly);
      expect(isIt()).toBe(true);
      expect(readdirSync(dir)).toEqual(['name']);
    }
  });

  it.each([true, false])('that cannot be finished leaves nothing, plainly (%s) or not', (plainly) => {
    const wrong = { ...link, mtimeNs: 'never' };
    expect(() => writeSpecial(dirfd, 'name', wrong, plainly)).toThrow();
    expect(readdirSync(dir)).toEqual([]);
  });
});
