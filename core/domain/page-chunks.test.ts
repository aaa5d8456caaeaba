import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf, EMPTY_DIGEST } from './content-ref.ts';
import type { Entry } from './manifest.ts';
import { chunksOfPage } from './page-chunks.ts';
import { decodePage, encodePage, PAGE_HEADER } from './pages.ts';

const D = (seed: string) => digestOf(Buffer.from(seed));
const common = { mode: 0o644, uid: 0, gid: 1000, mtimeNs: '-1795725642602860000' };
const one = (seed: string, bytes = 5) => ({ digest: D(seed), bytes, chunks: [{ digest: D(seed), bytes }] });
const file = (path: string, over: Partial<Entry> = {}): Entry => ({
  ...common,
  path,
  type: 'file',
  content: one(path),
  ...over,
});

/** What the page's entries say. */
function decoded(page: Uint8Array): string[] {
  return decodePage(page).flatMap(({ content }) => content?.chunks.map(({ digest }) => digest) ?? []);
}

const pageOf = (...lines: readonly string[]) => Buffer.from(`${[PAGE_HEADER, ...lines].join('\n')}\n`);
const line = (path: string, rest: string) =>
  `{"p":${JSON.stringify(path)},"t":"f","m":420,"u":0,"g":0,"n":"1"${rest}}`;

describe('the chunks of a page', () => {
  it('are those of its files, in order, whatever else it lists', () => {
    const several = [D('1'), D('2')].map((digest) => ({ digest, bytes: 3 }));
    const entries: Entry[] = [
      { ...common, path: '', type: 'directory', xattrs: { 'user.{odd}[': 'AAE=' } },
      file('a'),
      file('b', { content: { digest: EMPTY_DIGEST, bytes: 0, chunks: [] } }),
      file('c', { content: { digest: D('whole'), bytes: 6, chunks: several }, sparse: true }),
      { ...common, path: 'd', type: 'symlink', target: `","t":"f","c":[5,"${D('no')}"]` },
      file('e', { xattrs: { 'security.capability': 'AQAAAgAgAAA=', 'user.x': '' } }),
      { ...common, path: 'f', type: 'block', device: { major: 8, minor: 1 } },
      file('g "\\\n\u00e9\udc80'),
      { ...common, path: 'h', type: 'hardlink', target: 'a' },
      file('i', { content: one('a') }),
    ];
    const page = encodePage(entries);
    expect(chunksOfPage(page)).toEqual([D('a'), D('1'), D('2'), D('e'), D('g "\\\n\u00e9\udc80'), D('a')]);
    expect(chunksOfPage(page)).toEqual(decoded(page));
  });

  it('are as many as a page holds: one file of 100 GB', () => {
    const chunks = Array.from({ length: 105_000 }, (_, at) => ({ digest: D(`${at}`), bytes: 1024 * 1024 }));
    const content = { digest: D('whole'), bytes: chunks.length * 1024 * 1024, chunks };
    const found = chunksOfPage(encodePage([file('a', { content }), file('b')]));
    expect(found).toHaveLength(105_001);
    expect(found.slice(0, -1).every((digest, at) => digest === chunks[at]?.digest)).toBe(true);
  });

  it('are what the decoder gives, whatever a file is called', () => {
    const names = fc.uniqueArray(
      fc.oneof(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
        fc.constantFrom('"c":[5,"', '\\', '\\"', '","t":"d"', '}', '\n{"p":"x","t":"f"', '\u2028'),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(names, fc.boolean(), (list, hasXattrs) => {
        const entries = list
          .filter((name) => !/[\0/]/.test(name) && name !== '.' && name !== '..')
          .map((name) => file(name, hasXattrs ? { xattrs: { [`user.${name}`]: 'AAE=' } } : {}));
        let page: Uint8Array | undefined;
        try {
          page = encodePage(
            entries.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path))),
          );
        } catch {
          return;
        }
        expect(chunksOfPage(page)).toEqual(decoded(page));
      }),
      { numRuns: 300 },
    );
  });

  it('are the decoder’s where a page is written in another way: nothing is smuggled in or left out', () => {
    const [x, y] = [D('x'), D('y')];
    const pages = [
      pageOf(line('a', `,"c":[5,"${x}"],"c":[5,"${y}"]`)),
      pageOf(line('a', `,"zz":{"c":[5,"${x}"]},"c":[5,"${y}"]`)),
      pageOf(line('a', `,"c":[5,"${y}"],"zz":["${x}"]`)),
      pageOf(`{"t":"f","p":"a","m":420,"u":0,"g":0,"n":"1","c":[5,"${y}"]}`),
      pageOf(`{ "p":"a","t":"f","m":420,"u":0,"g":0,"n":"1","c":[5, "${y}"]}`),
      pageOf(line('a', `,"c":[5,"${y}"],"p":"b"`)),
      pageOf(`{"p":"a","t":"d","m":420,"u":0,"g":0,"n":"1","c":[5,"${y}"],"t":"f"}`),
      pageOf(`{"p":"a","t":"l","m":420,"u":0,"g":0,"n":"1","\\u0074":"f","c":[5,"${y}"]}`),
      pageOf(line('a', `,"c":[5,"${D('whole')}",[["${y}",5]]],"c":[5,"${y}"]`)),
    ];
    for (const page of pages) {
      expect(decoded(page)).toEqual([y]);
      expect(chunksOfPage(page)).toEqual([y]);
    }
  });

  it.each([
    ['no page', Buffer.from('something else\n')],
    ['cut off', Buffer.from(`${PAGE_HEADER}\n${line('a', `,"c":[5,"${D('x')}"]`)}`)],
    ['no JSON', pageOf('{"p":"a","t":"f",')],
    ['a file without content', pageOf(line('a', ''))],
    ['a list of chunks that is none', pageOf(line('a', `,"c":[5,"${D('x')}",[["${D('x')}",5],]]`))],
    ['a name of millions of escapes', pageOf(`{"p":"${'\\n'.repeat(3_900_000)}","t":"f"}`)],
    ['another', pageOf(line('a', `,"c":[5,"${D('x')}",[["${D('x')}"],5]]`))],
  ])('are refused where there are none: %s', (_, page) => {
    expect(() => chunksOfPage(page)).toThrow(expect.objectContaining({ code: 'IMAGE_INVALID' }));
  });
});
