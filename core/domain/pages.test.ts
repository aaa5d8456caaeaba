import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OverdubError } from '../errors.ts';
import { collect } from '../testing/collect.ts';
import { digestOf, EMPTY_DIGEST } from './content-ref.ts';
import type { Digest, Entry, ManifestRef } from './manifest.ts';
import { PageBuilder } from './page-builder.ts';
import { decodeIndex, encodeIndex } from './page-index.ts';
import { walkEntries, walkPages } from './page-walk.ts';
import { decodePage, encodePage } from './pages.ts';
import { comparePaths } from './path.ts';

const digest = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => digestOf(bytes));
const chunk = fc.record({ digest, bytes: fc.integer({ min: 1, max: 8 << 20 }) });
const content = fc.tuple(digest, fc.array(chunk, { maxLength: 4 })).map(([whole, chunks]) => ({
  digest: chunks.length === 0 ? EMPTY_DIGEST : chunks.length === 1 ? (chunks[0]?.digest ?? whole) : whole,
  bytes: chunks.reduce((sum, one) => sum + one.bytes, 0),
  chunks,
}));
const name = fc.oneof(
  fc.stringMatching(/^[a-z.-]{1,6}x$/),
  fc.constantFrom('é', '\udc80\udcff', '😀', 'a b"\\'),
);
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const common = {
  path,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.nat(),
  gid: fc.nat(),
  mtimeNs: fc.bigInt({ min: -(10n ** 18n), max: 10n ** 19n }).map(String),
};
const xattrs = fc.dictionary(
  fc.stringMatching(/^user\.[a-z]{1,5}$/),
  fc.constantFrom('', 'AAE=', 'c2VsZg=='),
);
const entry: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({ ...common, type: fc.constant('directory' as const), xattrs }),
  fc.record({ ...common, type: fc.constant('file' as const), content }),
  fc.record({ ...common, type: fc.constant('file' as const), content, sparse: fc.constant(true as const) }),
  fc.record({ ...common, type: fc.constant('symlink' as const), target: fc.constantFrom('../x', '/etc') }),
  fc.record({ ...common, type: fc.constant('hardlink' as const), target: path }),
  fc.record({
    ...common,
    type: fc.constant('block' as const),
    device: fc.record({ major: fc.nat(255), minor: fc.nat() }),
  }),
  fc.record({ ...common, type: fc.constant('fifo' as const) }),
);
/** Sorted, unique, and nothing below what is no directory. */
const image = fc.array(entry, { maxLength: 60 }).map((entries) => {
  const sorted: Entry[] = [];
  for (const one of entries.sort((a, b) => comparePaths(a.path, b.path))) {
    const blocked = sorted.some(
      (other) =>
        other.path === one.path || (other.type !== 'directory' && one.path.startsWith(`${other.path}/`)),
    );
    if (!blocked) sorted.push(one);
  }
  return sorted;
});

function file(filePath: string, bytes = 1): Entry {
  const only = { digest: digestOf(Buffer.from(`${filePath}${bytes}`)), bytes };
  const owner = { mode: 0o644, uid: 0, gid: 0, mtimeNs: '1' };
  return { path: filePath, type: 'file', ...owner, content: { ...only, chunks: [only] } };
}

function build(entries: Iterable<Entry>): { pages: Map<Digest, Uint8Array>; manifest: ManifestRef } {
  const builder = new PageBuilder();
  const pages = new Map<Digest, Uint8Array>();
  for (const one of entries) for (const page of builder.add(one)) pages.set(page.digest, page.bytes);
  const last = builder.finish();
  for (const page of last.pages) pages.set(page.digest, page.bytes);
  expect(pages.get(last.manifest.root)).toEqual(last.root);
  return { pages, manifest: last.manifest };
}

const reader = (pages: ReadonlyMap<Digest, Uint8Array>) => async (wanted: Digest) => {
  const bytes = pages.get(wanted);
  if (bytes === undefined) throw new Error(`page ${wanted} was never given back`);
  return bytes;
};

const numbered = (count: number, changed = -1) =>
  Array.from({ length: count }, (_, at) =>
    file(`usr/share/${String(at).padStart(6, '0')}`, at === changed ? 99 : 1),
  );

function invalid(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(OverdubError);
    expect((error as OverdubError).code).toBe('IMAGE_INVALID');
    return (error as OverdubError).message;
  }
  throw new Error('nothing was refused');
}

describe('pages', () => {
  it('come back as they went in', () => {
    fc.assert(
      fc.property(image, (entries) => {
        expect(decodePage(encodePage(entries))).toEqual(entries);
      }),
    );
  });

  it('are refused or decoded, never anything else, whatever the bytes', () => {
    const original = Buffer.from(encodePage([file('a'), file('b', 3), file('c')]));
    const flip = fc.tuple(fc.nat(original.length - 1), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(flip, ([at, mask]) => {
        const bytes = Buffer.from(original);
        bytes[at] = (bytes[at] as number) ^ mask;
        try {
          decodePage(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'IMAGE_INVALID' });
        }
      }),
      { numRuns: 500 },
    );
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void invalid(() => decodePage(bytes))));
  });

  it.each([
    ['an escaping path', { ...file('x'), path: '../x' }],
    ['an absolute path', { ...file('x'), path: '/etc' }],
    ['a file without content', { ...file('x'), content: undefined }],
    ['a mode out of range', { ...file('x'), mode: 0o10000 }],
    ['a chunk above the limit', file('x', (8 << 20) + 1)],
    [
      'a hard link that leaves the image',
      { ...file('x'), type: 'hardlink', content: undefined, target: '../y' },
    ],
  ])('refuse %s', (_, bad) => {
    invalid(() => encodePage([bad as Entry]));
  });

  it('refuse disorder, doubles, and entries below a link', () => {
    invalid(() => encodePage([file('b'), file('a')]));
    invalid(() => encodePage([file('a'), file('a')]));
    const { content: _, ...rest } = file('etc');
    const link: Entry = { ...rest, type: 'symlink', target: '/' };
    expect(invalid(() => encodePage([link, file('etc/shadow')]))).toContain('no directory');
  });
});

describe('PageBuilder', () => {
  it('gives pages from which the entries come back', async () => {
    await fc.assert(
      fc.asyncProperty(image, async (entries) => {
        const { pages, manifest } = build(entries);
        expect(await collect(walkEntries(manifest, reader(pages)))).toEqual(entries);
        expect(manifest.entries).toBe(entries.length);
        expect(manifest.bytes).toBe(entries.reduce((sum, one) => sum + (one.content?.bytes ?? 0), 0));
      }),
    );
  });

  it('costs one page and its index pages for one changed file among many', () => {
    const before = build(numbered(50_000)).pages;
    const after = build(numbered(50_000, 25_000)).pages;
    const fresh = [...after].filter(([key]) => !before.has(key));
    expect(fresh.length).toBeLessThanOrEqual(4);
    expect(fresh.reduce((sum, [, bytes]) => sum + bytes.length, 0)).toBeLessThan(120_000);
  });

  it('costs a few pages for one inserted file among many', () => {
    const before = build(numbered(50_000)).pages;
    const entries = numbered(50_000);
    entries.splice(25_000, 0, file('usr/share/024999a'));
    const fresh = [...build(entries).pages].filter(([key]) => !before.has(key));
    expect(fresh.length).toBeLessThanOrEqual(5);
  });

  it('gives the root of an empty image, and is then finished', async () => {
    const { pages, manifest } = build([]);
    expect(await collect(walkEntries(manifest, reader(pages)))).toEqual([]);
    const builder = new PageBuilder();
    builder.finish();
    expect(() => builder.add(file('a'))).toThrow(TypeError);
  });

  it('reads only the pages that hold a subtree', async () => {
    const entries = [...numbered(5_000), file('var/log/a'), file('var/log/b'), file('var/www')];
    const { pages, manifest } = build(entries);
    let reads = 0;
    const read = async (wanted: Digest) => {
      reads += 1;
      return reader(pages)(wanted);
    };
    const found = await collect(walkEntries(manifest, read, { under: 'var/log' }));
    expect(found.map((one) => one.path)).toEqual(['var/log/a', 'var/log/b']);
    expect(reads).toBeLessThan(8);
  });
});

describe('walkPages', () => {
  it('refuses a manifest that promises other totals than its root', async () => {
    const { pages, manifest } = build(numbered(10));
    const walk = walkPages({ ...manifest, entries: 11 }, reader(pages));
    await expect(collect(walk)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });

  it('refuses pages swapped on the way', async () => {
    const { pages, manifest } = build(numbered(500));
    const root = decodeIndex(pages.get(manifest.root) as Uint8Array);
    const [first, second] = root.pages;
    const swapped = async (wanted: Digest) =>
      reader(pages)(wanted === second?.digest ? (first?.digest as Digest) : wanted);
    await expect(collect(walkEntries(manifest, swapped))).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
    });
  });

  it('refuses malformed index pages', () => {
    const page = { digest: digestOf(Buffer.from('x')), pageBytes: 3, first: 'a', entries: 1, bytes: 1 };
    const good = encodeIndex({ level: 1, pages: [page] });
    expect(decodeIndex(good).pages).toEqual([page]);
    invalid(() => decodeIndex(encodeIndex({ level: 99, pages: [page] })));
    invalid(() => decodeIndex(encodeIndex({ level: 1, pages: [page, page] })));
    invalid(() => decodeIndex(encodeIndex({ level: 1, pages: [{ ...page, first: '/a' }] })));
    invalid(() => decodeIndex(good.subarray(0, good.length - 3)));
  });
});
