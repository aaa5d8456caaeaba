/** The suite every `Imager` driver must pass: what is scanned can be put back, all of it, exactly. Runs as root. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type {
  ApplyOptions,
  ContentSource,
  ContentStream,
  FileStamp,
  Imager,
  ScanOptions,
} from '../../contracts/imager.ts';
import type { Entry, SkippedPath } from '../../domain/manifest.ts';
import { collect } from '../collect.ts';
import { applyTo, ContentShelf, readTree, stream } from './imager-shelf.ts';
import { NASTY_COUNT, nastyTree } from './imager-trees.ts';

/** An imager and a root of its own for each case; roots are plain directories. */
export interface ImagerUnderTest {
  readonly imager: Imager;
}

/** Registers the suite with vitest. */
export function imagerConformance(name: string, { imager }: ImagerUnderTest): void {
  describe(`${name}: Imager conformance`, () => {
    let base: string;
    let from: string;
    let to: string;
    let shelf: ContentShelf;
    beforeEach(() => {
      base = mkdtempSync(join(tmpdir(), 'overdub-imager-'));
      from = join(base, 'from');
      to = join(base, 'to');
      mkdirSync(from);
      mkdirSync(to);
      shelf = new ContentShelf();
    });
    afterEach(() => rmSync(base, { recursive: true, force: true }));
    const fixture = () => ({ imager, from, to, shelf });
    scanning(fixture);
    restoring(fixture);
    telling(fixture);
    narrowing(fixture);
    faults(fixture);
  });
}

type Fixture = () => { imager: Imager; from: string; to: string; shelf: ContentShelf };

function scanning(fixture: Fixture): void {
  it('lists everything in manifest order, hard links after their first entry, sockets told and left out', async () => {
    const { imager, from, shelf } = fixture();
    await nastyTree(from);
    const skipped: SkippedPath[] = [];
    const entries = await readTree(imager, from, shelf, { onSkip: (path) => skipped.push(path) });
    expect(entries).toHaveLength(NASTY_COUNT);
    expect(entries[0]).toMatchObject({ path: '', type: 'directory' });
    const byPath = new Map(entries.map((entry) => [entry.path, entry]));
    expect(byPath.get('links/z')).toMatchObject({ type: 'hardlink', target: 'links/a' });
    expect(byPath.get('sparse')?.sparse).toBe(true);
    expect(byPath.get('nodes/null')).toMatchObject({ type: 'character', device: { major: 1, minor: 3 } });
    expect(byPath.get('modes/suid')?.mode).toBe(0o4755);
    expect(byPath.get('times/ns')?.mtimeNs).toBe('1700000000123456789');
    expect(byPath.get('times/old')?.mtimeNs).toBe('-1000000001');
    expect(skipped).toEqual([{ path: 'nodes/socket', reason: 'socket' }]);
  });

  it('leaves out what globs exclude and what is not asked for', async () => {
    const { imager, from, shelf } = fixture();
    await nastyTree(from);
    const skipped: SkippedPath[] = [];
    const excluded = await readTree(imager, from, shelf, {
      excludes: ['links/**', '*.empty'],
      onSkip: (path) => skipped.push(path),
    });
    expect(excluded.filter(({ path }) => path.startsWith('links/') || path.endsWith('.empty'))).toEqual([]);
    expect(skipped.filter(({ reason }) => reason === 'excluded').length).toBeGreaterThan(2);
    const only = await readTree(imager, from, shelf, { only: ['links', 'modes/suid'] });
    expect(only.map(({ path }) => path)).toEqual(['links', 'links/a', 'links/m', 'links/z', 'modes/suid']);
  });

  it('opens files for random access, and nothing through a symbolic link', async () => {
    const { imager, from } = fixture();
    writeFileSync(join(from, 'digits'), '0123456789');
    execFileSync('ln', ['-s', 'digits', join(from, 'link')]);
    execFileSync('ln', ['-s', '/etc', join(from, 'etc')]);
    execFileSync('mkfifo', [join(from, 'pipe')]);
    const tree = imager.openTree(from);
    const file = await tree.open('digits');
    const refused: [string, unknown][] = [];
    for (const path of ['link', 'etc/passwd', 'pipe', 'gone']) {
      try {
        await tree.open(path);
      } catch (error) {
        refused.push([path, (error as { code?: unknown }).code]);
      }
    }
    tree.close();
    tree.close();
    expect(Buffer.from(await file.read(7, 100)).toString()).toBe('789');
    expect(await file.read(10, 5)).toHaveLength(0);
    expect((await file.stamp()).size).toBe(10);
    await file.close();
    expect(refused.map(([path]) => path)).toEqual(['link', 'etc/passwd', 'pipe', 'gone']);
    expect(refused.slice(2).map(([, code]) => code)).toEqual(['INPUT_INVALID', 'ENOENT']);
    await expect(async () => tree.open('digits')).rejects.toThrow();
    expect(() => imager.openTree(join(from, 'gone'))).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
  });

  it('reads at once what it offers to, and no more than is there', async () => {
    const { imager, from } = fixture();
    const path = join(from, 'digits');
    writeFileSync(path, '0123456789');
    const tree = imager.openTree(from);
    const file = await tree.open('digits');
    const three = Buffer.alloc(3);
    if (file.readNow?.(4, three) ?? false) expect(three.toString()).toBe('456');
    writeFileSync(path, '01234');
    expect(file.readNow?.(4, three) ?? false).toBe(false);
    expect(file.readNow?.(0, Buffer.alloc(64 << 20)) ?? false).toBe(false);
    expect(file.bytes).toBe(10);
    expect((await file.stamp()).size).toBe(5);
    expect(Buffer.from(await file.read(0, 10)).toString()).toBe('01234');
    await file.close();
    tree.close();
  });
}

function restoring(fixture: Fixture): void {
  it('puts a nasty tree back exactly, and then has nothing to do', async () => {
    const { imager, from, to, shelf } = fixture();
    await nastyTree(from);
    const entries = await readTree(imager, from, shelf);
    const result = await applyTo(imager, to, entries, shelf);
    expect(result.written).toBe(NASTY_COUNT - 1);
    expect(await readTree(imager, to, shelf)).toEqual(entries);
    expect(statSync(join(to, 'sparse')).blocks * 512).toBeLessThan(1 << 20);
    expect(shelf.announced).toEqual(shelf.opened);
    const before = statSync(join(to, 'links/a'), { bigint: true });
    const again = await applyTo(imager, to, entries, shelf);
    expect(again).toMatchObject({ written: 0, removed: 0, metadataOnly: 0, writtenBytes: 0, changes: [] });
    expect(statSync(join(to, 'links/a'), { bigint: true }).ctimeNs).toBe(before.ctimeNs);
  });

  it('turns any tree into any other: types swapped, links regrouped, metadata alone', async () => {
    const { imager, from, to, shelf } = fixture();
    await nastyTree(from);
    await nastyTree(to, 'other');
    const entries = await readTree(imager, from, shelf);
    await applyTo(imager, to, entries, shelf);
    expect(await readTree(imager, to, shelf)).toEqual(entries);
  });

  it('changes metadata without rewriting contents', async () => {
    const { imager, from, shelf } = fixture();
    await nastyTree(from);
    const entries = await readTree(imager, from, shelf);
    const inode = statSync(join(from, 'modes/suid')).ino;
    execFileSync('chmod', ['600', join(from, 'modes/suid')]);
    execFileSync('chown', ['7:8', join(from, 'modes/suid')]);
    shelf.opened.length = 0;
    const result = await applyTo(imager, from, entries, shelf);
    expect(result).toMatchObject({ written: 0, metadataOnly: 1, removed: 0 });
    expect(shelf.opened).toEqual([]);
    expect(statSync(join(from, 'modes/suid')).ino).toBe(inode);
    expect(await readTree(imager, from, shelf)).toEqual(entries);
  });

  it('relinks a group whose first file is replaced', async () => {
    const { imager, from, shelf } = fixture();
    await nastyTree(from);
    const entries = await readTree(imager, from, shelf);
    writeFileSync(join(from, 'links/m'), 'written through another name');
    await applyTo(imager, from, entries, shelf);
    expect(await readTree(imager, from, shelf)).toEqual(entries);
  });
}

/** Ways in which a tree may be made. */
const WAYS: readonly Pick<ApplyOptions, 'blank' | 'mayUseThread'>[] = [
  {},
  { blank: true },
  { blank: true, mayUseThread: true },
];

function telling(fixture: Fixture): void {
  it.each(WAYS.flatMap((way) => [-1, 50_000].map((atHandBytes) => ({ ...way, atHandBytes }))))(
    'tells of each file the stamp that a scan finds, in order: %j',
    async ({ atHandBytes, ...way }) => {
      const { imager, from, to, shelf } = fixture();
      shelf.atHandBytes = atHandBytes;
      const blank = way.blank === true;
      await nastyTree(from);
      if (!blank) await nastyTree(to, 'other');
      const entries = await readTree(imager, from, shelf);
      const told = new Map<string, FileStamp>();
      const onFile = (path: string, stamp: FileStamp) => void told.set(path, stamp);
      await applyTo(imager, to, entries, shelf, { ...way, onFile });
      const linked = new Set(entries.flatMap(({ type, target }) => (type === 'hardlink' ? [target] : [])));
      const scan: ScanOptions = { excludes: [], onSkip: () => {}, signal: new AbortController().signal };
      for await (const { entry, stamp } of imager.scan(to, scan)) {
        if (linked.has(entry.path)) continue;
        if (told.has(entry.path)) expect([entry.path, told.get(entry.path)]).toEqual([entry.path, stamp]);
        else if (blank) expect(entry.type).not.toBe('file');
      }
      const files = entries.filter(({ path }) => told.has(path)).map(({ path }) => path);
      expect([...told.keys()]).toEqual(files);
      expect(files.length).toBeGreaterThan(3);
      expect(await readTree(imager, to, shelf)).toEqual(entries);
    },
  );

  it('tells nothing in a dry run', async () => {
    const { imager, from, to, shelf } = fixture();
    writeFileSync(join(from, 'f'), 'x');
    const told: string[] = [];
    const onFile = (path: string) => void told.push(path);
    await applyTo(imager, to, await readTree(imager, from, shelf), shelf, { dryRun: true, onFile });
    expect(told).toEqual([]);
  });
}

function narrowing(fixture: Fixture): void {
  it('leaves kept and excluded paths alone, in directories that must go too', async () => {
    const { imager, to, shelf } = fixture();
    for (const name of ['kept/a', 'gone/x', 'gone/stay/y', 'cache/z']) {
      mkdirSync(join(to, name, '..'), { recursive: true });
      writeFileSync(join(to, name), name);
    }
    const [root] = (await readTree(imager, to, shelf)) as [Entry];
    const options = { keep: ['/kept/', 'gone/stay/y'], excludes: ['cache/**'] };
    await applyTo(imager, to, [root], shelf, options);
    expect(existsSync(join(to, 'gone/x'))).toBe(false);
    for (const name of ['kept/a', 'gone/stay/y', 'cache/z'])
      expect(readFileSync(join(to, name), 'utf8')).toBe(name);
  });

  it('with `only` touches nothing else, and makes the directories above what is chosen', async () => {
    const { imager, from, to, shelf } = fixture();
    await nastyTree(from);
    const entries = await readTree(imager, from, shelf);
    writeFileSync(join(to, 'bystander'), 'still here');
    await applyTo(imager, to, entries, shelf, { only: ['deep'] });
    const made = await readTree(imager, to, shelf);
    const deep = entries.filter(({ path }) => path === 'deep' || path.startsWith('deep/'));
    expect(made.filter(({ path }) => path !== '' && path !== 'bystander')).toEqual(deep);
    expect(readFileSync(join(to, 'bystander'), 'utf8')).toBe('still here');
  });

  it('changes nothing in a dry run, and tells what it would', async () => {
    const { imager, from, to, shelf } = fixture();
    await nastyTree(from);
    writeFileSync(join(to, 'extra'), 'x');
    const entries = await readTree(imager, from, shelf);
    const before = await readTree(imager, to, shelf);
    const dry = await applyTo(imager, to, entries, shelf, { dryRun: true });
    expect(await readTree(imager, to, shelf)).toEqual(before);
    const wet = await applyTo(imager, to, entries, shelf);
    expect({ ...dry, changes: [] }).toEqual({ ...wet, changes: [] });
    expect(dry.changes).toEqual(wet.changes);
  });
}

function faults(fixture: Fixture): void {
  it.each([1, 2, 4, 7, 9].flatMap((failAt) => WAYS.map((way) => ({ failAt, ...way }))))(
    'interrupted and run again, it ends the same: %j',
    async ({ failAt, ...way }) => {
      const { imager, from, to, shelf } = fixture();
      shelf.atHandBytes = 50_000;
      await nastyTree(from);
      if (way.blank !== true) await nastyTree(to, 'other');
      const entries = await readTree(imager, from, shelf);
      shelf.opened.length = 0;
      shelf.failAt = failAt;
      await expect(applyTo(imager, to, entries, shelf, way)).rejects.toThrow('the connection broke');
      shelf.failAt = Number.POSITIVE_INFINITY;
      await applyTo(imager, to, entries, shelf, way);
      expect(await readTree(imager, to, shelf)).toEqual(entries);
    },
  );

  it.each(WAYS)(
    'leaves nothing of a file whose content does not match, and replaces what stands there: %j',
    async (way) => {
      const { imager, from, to, shelf } = fixture();
      shelf.atHandBytes = 50_000;
      writeFileSync(join(from, 'f'), 'right');
      const entries = await readTree(imager, from, shelf);
      const right = entries[1]?.content?.digest as string;
      shelf.corrupt(right, Buffer.from('wrong'));
      const apply = applyTo(imager, to, entries, shelf, way);
      await expect(apply).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
      expect(existsSync(join(to, 'f'))).toBe(false);
      writeFileSync(join(to, 'f'), 'in the way');
      shelf.corrupt(right, Buffer.from('right'));
      await applyTo(imager, to, entries, shelf, way);
      expect(readFileSync(join(to, 'f'), 'utf8')).toBe('right');
    },
  );

  it('compares contents with their digests unless whoever gives them has, and their lengths always', async () => {
    const { imager, from, to, shelf } = fixture();
    writeFileSync(join(from, 'f'), 'right');
    const entries = await readTree(imager, from, shelf);
    const given = (text: string, more: Partial<ContentStream>): ContentSource => ({
      announce() {},
      open: () => ({ ...more, [Symbol.asyncIterator]: () => stream([Buffer.from(text)]) }),
    });
    const vouching = (text: string) => given(text, { verified: true });
    const atHand = (text: string, verified: boolean) => given(text, { verified, atHand: Buffer.from(text) });
    const apply = async (source: ContentSource) => {
      const present = await readTree(imager, to, new ContentShelf());
      await imager.apply(to, stream(entries), stream(present), source, {
        signal: new AbortController().signal,
        onProgress: () => {},
        excludes: [],
      });
    };
    const doubtful: ContentSource = { announce() {}, open: () => stream([Buffer.from('wrong')]) };
    await expect(apply(doubtful)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await expect(apply(vouching('longer than right'))).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await expect(apply(vouching('no'))).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await expect(apply(atHand('wrong', false))).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await expect(apply(atHand('no', true))).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect(existsSync(join(to, 'f'))).toBe(false);
    for (const source of [vouching('right'), atHand('right', false), atHand('right', true)]) {
      await apply(source);
      expect(readFileSync(join(to, 'f'), 'utf8')).toBe('right');
      rmSync(join(to, 'f'));
    }
  });

  it('keeps the old file when what arrives does not match its digest', async () => {
    const { imager, from, to, shelf } = fixture();
    writeFileSync(join(from, 'f'), 'right');
    writeFileSync(join(to, 'f'), 'old');
    const entries = await readTree(imager, from, shelf);
    const digest = entries[1]?.content?.digest as string;
    const options: ApplyOptions = {
      signal: new AbortController().signal,
      onProgress: () => {},
      excludes: [],
    };
    for (const wrong of ['wrong', 'righ', 'right!']) {
      const present = await readTree(imager, to, new ContentShelf());
      shelf.corrupt(digest, Buffer.from(wrong));
      const apply = imager.apply(to, stream(entries), stream(present), shelf, options);
      await expect(apply).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
      expect(readFileSync(join(to, 'f'), 'utf8')).toBe('old');
    }
    expect(
      (await collect(imager.scan(to, { excludes: [], onSkip: () => {}, signal: options.signal }))).length,
    ).toBe(2);
  });

  it('never writes through a symbolic link that stands where a directory was', async () => {
    const { imager, from, to, shelf } = fixture();
    mkdirSync(join(from, 'd'));
    writeFileSync(join(from, 'd/f'), 'payload');
    const entries = await readTree(imager, from, shelf);
    const outside = join(to, '..', 'outside');
    mkdirSync(outside);
    const present = await readTree(imager, from, new ContentShelf());
    execFileSync('ln', ['-s', outside, join(to, 'd')]);
    const stale = present.map((entry) =>
      entry.path === 'd/f' ? { ...entry, content: shelf.put(Buffer.from('x')) } : entry,
    );
    const apply = imager.apply(to, stream(entries), stream(stale), shelf, {
      signal: new AbortController().signal,
      onProgress: () => {},
      excludes: [],
    });
    await expect(apply).rejects.toThrow();
    expect(existsSync(join(outside, 'f'))).toBe(false);
  });

  it('stops by the signal', async () => {
    const { imager, from, to, shelf } = fixture();
    await nastyTree(from);
    const entries = await readTree(imager, from, shelf);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(applyTo(imager, to, entries, shelf, { signal })).rejects.toThrow('enough');
    await expect(readTree(imager, from, shelf, { signal })).rejects.toThrow('enough');
  });
}
