import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { FoundEntry, ScannedEntry, SkippedPath } from '@overdub/core/agent';
import { applyTo, ContentShelf, readTree } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { treeImager } from '../imager.ts';
import { openByComponents, openRoot } from './beneath.ts';
import { mountPoints } from './filesystems.ts';
import { deviceNumber, makeNode } from './libc.ts';
import { listNames } from './list.ts';
import { stampOf, statAt, statOpen } from './stat.ts';

let base: string;
let root: string;
const mounted: string[] = [];
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'overdub-scan-'));
  root = join(base, 'root');
  mkdirSync(root);
});
afterEach(() => {
  for (const target of mounted.splice(0).reverse()) execFileSync('umount', [target]);
  rmSync(base, { recursive: true, force: true });
});

const mount = (target: string, ...args: string[]) => {
  mkdirSync(join(root, target), { recursive: true });
  execFileSync('mount', [...args, join(root, target)]);
  mounted.push(join(root, target));
};

async function scan(excludes: readonly string[] = []) {
  const skipped: SkippedPath[] = [];
  const entries = await readTree(treeImager, root, new ContentShelf(), {
    excludes,
    onSkip: (path) => skipped.push(path),
  });
  return { entries, skipped, paths: entries.map(({ path }) => path) };
}

describe('mounted filesystems', () => {
  it('are scanned when they live on local disks, told and left out when not', async () => {
    const image = join(base, 'disk.img');
    execFileSync('truncate', ['-s', '16M', image]);
    execFileSync('mkfs.ext4', ['-q', '-F', image]);
    mount('srv', '-o', 'loop', image);
    mount('tmp', '-t', 'tmpfs', 'tmpfs');
    writeFileSync(join(root, 'srv/data'), 'on another disk');
    writeFileSync(join(root, 'tmp/volatile'), 'x');
    mkdirSync(join(root, 'real'));
    writeFileSync(join(root, 'real/file'), 'x');
    mount('bound', '--bind', join(root, 'real'));
    const { paths, skipped, entries } = await scan();
    expect(paths).toEqual(['', 'bound', 'real', 'real/file', 'srv', 'srv/data', 'srv/lost+found', 'tmp']);
    expect(skipped).toEqual([
      { path: 'bound', reason: 'other-filesystem' },
      { path: 'tmp', reason: 'pseudo-filesystem' },
    ]);
    expect(entries.find(({ path }) => path === 'tmp')?.mtimeNs).toBe('0');
  });

  it('are known by their unescaped names', () => {
    expect(mountPoints('1 2 0:1 / /a\\040b rw - tmpfs t rw\n')).toEqual(new Set(['/a b']));
  });
});

it('goes deeper than any path may be long, and back', async () => {
  let at = root;
  const name = 'd'.repeat(200);
  for (let depth = 0; depth < 30; depth++) {
    execFileSync('mkdir', [name], { cwd: at });
    at = join(at, name);
    if (at.length > 3800) break;
  }
  const script = `cd "$0"; for i in 1 2 3 4 5 6; do mkdir ${name}; cd ${name}; done; printf deep > file`;
  execFileSync('bash', ['-c', script, at]);
  const { entries, paths } = await scan();
  expect(paths.at(-1)?.length).toBeGreaterThan(4096);
  const shelf = new ContentShelf();
  const kept = await readTree(treeImager, root, shelf);
  const to = join(base, 'to');
  mkdirSync(to);
  await applyTo(treeImager, to, kept, shelf);
  expect(await readTree(treeImager, to, shelf)).toEqual(entries);
});

it('opens component by component where the kernel has no openat2, links refused alike', () => {
  mkdirSync(join(root, 'a/b'), { recursive: true });
  writeFileSync(join(root, 'a/b/c'), 'x');
  symlinkSync('a', join(root, 'l'));
  const rootFd = openRoot(root);
  const fd = openByComponents(rootFd, ['a', 'b', 'c'], constants.O_RDONLY);
  expect(readFileSync(fd, 'utf8')).toBe('x');
  closeSync(fd);
  expect(() => openByComponents(rootFd, ['l', 'b', 'c'], constants.O_RDONLY)).toThrow(/ENOTDIR|ELOOP/);
  closeSync(rootFd);
});

it('gives back what it was told while times stand, and looks anew when they do not', async () => {
  writeFileSync(join(root, 'f'), 'x');
  symlinkSync('f', join(root, 'l'));
  const scanned = async (known = new Map<string, ScannedEntry>()) => {
    const found = new Map<string, ScannedEntry>();
    const options = { excludes: [], onSkip: () => undefined, signal: new AbortController().signal };
    const still = (path: string, { stamp }: FoundEntry) => {
      const before = known.get(path);
      return before !== undefined && isDeepStrictEqual(before.stamp, stamp) ? before : undefined;
    };
    for await (const one of treeImager.scan(root, { ...options, known: still })) {
      found.set(one.entry.path, one);
    }
    return found;
  };
  const first = await scanned();
  const second = await scanned(first);
  expect([...second.keys()]).toEqual(['', 'f', 'l']);
  for (const [path, { entry }] of second) expect(entry).toBe(first.get(path)?.entry);
  // Longer than a tick of the clock that stamps files.
  await new Promise((done) => setTimeout(done, 50));
  chmodSync(join(root, 'f'), 0o600);
  rmSync(join(root, 'l'));
  symlinkSync('g', join(root, 'l'));
  const third = await scanned(second);
  expect(third.get('f')?.entry.mode).toBe(0o600);
  expect(third.get('l')?.entry.target).toBe('g');
  expect(third.get('')?.entry).not.toBe(second.get('')?.entry);
});

it('says that a root is missing or no directory', async () => {
  writeFileSync(join(base, 'file'), '');
  for (const path of [join(base, 'gone'), join(base, 'file')]) {
    await expect(readTree(treeImager, path, new ContentShelf())).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
  }
});

it('leaves no temporary file behind, and removes those of a run that was killed', async () => {
  writeFileSync(join(root, '.overdub-new-1-x-1'), 'half');
  writeFileSync(join(root, 'f'), 'x');
  const shelf = new ContentShelf();
  const target = (await readTree(treeImager, root, shelf)).filter(({ path }) => !path.startsWith('.overdub'));
  const result = await applyTo(treeImager, root, target, shelf);
  expect(result.removed).toBe(1);
  expect((await scan()).paths).toEqual(['', 'f']);
});

it('numbers devices as glibc does', () => {
  expect(deviceNumber(8, 1)).toBe(0x801n);
  for (const [major, minor] of [
    [1, 3],
    [259, 70000],
    [4095, 1048575],
  ] as const) {
    makeNode(join(root, 'node'), 0o020600, major, minor);
    expect(lstatSync(join(root, 'node'), { bigint: true }).rdev).toBe(deviceNumber(major, minor));
    expect(inRoot((fd) => statAt(fd, 'node').stands)).toEqual({ major, minor });
    rmSync(join(root, 'node'));
  }
});

function inRoot<T>(work: (fd: number) => T): T {
  const fd = openRoot(root);
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

it('reads the fields that lstat reads, of every kind of file and time', () => {
  writeFileSync(join(root, 'file'), 'x'.repeat(70_000));
  linkSync(join(root, 'file'), join(root, 'again'));
  symlinkSync('file', join(root, 'link'));
  mkdirSync(join(root, 'directory'), { mode: 0o1750 });
  execFileSync('truncate', ['-s', '5G', join(root, 'sparse')]);
  const times = ['1969-12-31T23:59:58.25Z', '1970-01-01T00:00:00.5Z', '2100-01-01T00:00:00.000000001Z'];
  for (const time of times) execFileSync('touch', ['-d', time, join(root, `at-${time}`)]);
  const names = inRoot(listNames);
  expect(names).toHaveLength(8);
  for (const name of names) {
    const wanted = lstatSync(join(root, name), { bigint: true });
    const { mtimeNs, ctimeNs, blocks, size, uid, gid, mode, dev, ino, nlink } = wanted;
    const numbers = { mode, links: nlink, uid, gid, size, blocks };
    expect(
      inRoot((fd) => statAt(fd, name)),
      name,
    ).toMatchObject({
      ...Object.fromEntries(Object.entries(numbers).map(([field, value]) => [field, Number(value)])),
      ...{ mtimeNs: String(mtimeNs), ctimeNs: String(ctimeNs), inode: String(ino), device: String(dev) },
    });
  }
  expect(inRoot((fd) => stampOf(statOpen(fd))).inode).toBe(String(lstatSync(root).ino));
  expect(() => inRoot((fd) => statAt(fd, 'gone'))).toThrow(/ENOENT/);
});

it('lists more names than fit into one piece, whatever bytes they are of', () => {
  const raw = Buffer.from([0x66, 0xff, 0x0a, 0x80]);
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), raw]), '');
  const wanted = Array.from({ length: 600 }, (_, at) => `${at}-${'n'.repeat(at % 200)}`);
  for (const name of wanted) writeFileSync(join(root, name), '');
  const found = inRoot(listNames);
  expect(found).toEqual([...wanted, raw.toString('latin1')].sort());
  expect(inRoot((fd) => statAt(fd, raw.toString('latin1')).size)).toBe(0);
});
