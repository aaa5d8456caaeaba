import { type ChunkRef, type ContentRef, digestOf } from '@overdub/core/agent';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { align } from './align.ts';

const KIB = 1024;
const chunk = (name: string, bytes = 300 * KIB): ChunkRef => ({ digest: digestOf(Buffer.from(name)), bytes });
const content = (...chunks: ChunkRef[]): ContentRef => ({
  digest: digestOf(Buffer.from(chunks.map((one) => one.digest).join())),
  bytes: chunks.reduce((sum, one) => sum + one.bytes, 0),
  chunks,
});

describe('aligning a target with what is there', () => {
  it('fetches everything when nothing is there', () => {
    const target = content(chunk('a'), chunk('b'));
    expect(align(target, undefined)).toEqual([{ kind: 'raw', chunks: target.chunks }]);
    expect(align(content(), undefined)).toEqual([]);
  });

  it('cuts what is fetched into pieces that fit in memory, however large the file', () => {
    const target = content(
      ...Array.from({ length: 100 }, (_, n) => chunk(`n${n}`)),
      chunk('large', 8192 * KIB),
    );
    const segments = align(target, undefined);
    expect(segments.flatMap((segment) => (segment.kind === 'raw' ? segment.chunks : []))).toEqual(
      target.chunks,
    );
    for (const segment of segments) {
      const chunks = segment.kind === 'raw' ? segment.chunks : [];
      const bytes = chunks.reduce((sum, one) => sum + one.bytes, 0);
      expect(bytes <= 2048 * KIB || chunks.length === 1).toBe(true);
    }
  });

  it('takes equal chunks from where they lie, and makes a changed one from its neighbourhood', () => {
    const [a, b, c, x] = ['a', 'b', 'c', 'x'].map((name) => chunk(name)) as [
      ChunkRef,
      ChunkRef,
      ChunkRef,
      ChunkRef,
    ];
    const segments = align(content(a, x, c), content(a, b, c));
    expect(segments.map((segment) => segment.kind)).toEqual(['local', 'delta', 'local']);
    expect(segments[1]).toMatchObject({ chunks: [x], base: expect.arrayContaining([b]) });
    expect(segments[2]).toEqual({ kind: 'local', chunk: c, offset: 600 * KIB });
  });

  it('follows a shift of the content', () => {
    const many = Array.from({ length: 40 }, (_, n) => chunk(`n${n}`));
    const changed = many.map((one, n) => (n === 30 ? chunk('new') : one));
    const segments = align(content(chunk('inserted', 900 * KIB), ...changed), content(...many));
    const delta = segments.find(
      (segment) => segment.kind === 'delta' && segment.chunks[0]?.digest === chunk('new').digest,
    );
    expect(delta).toMatchObject({ base: expect.arrayContaining([many[30]]) });
  });

  it('covers every chunk once, in order, with bases that lie where it says', () => {
    const names = fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 30 });
    fc.assert(
      fc.property(names, names, (wanted, there) => {
        const sized = (n: number) => chunk(`c${n}`, (n + 1) * 200 * KIB);
        const target = content(...wanted.map(sized));
        const present = content(...there.map(sized));
        const segments = align(target, present);
        const covered = segments.flatMap((segment) =>
          segment.kind === 'local' ? [segment.chunk] : segment.chunks,
        );
        expect(covered).toEqual(target.chunks);
        for (const segment of segments) {
          if (segment.kind === 'raw') continue;
          const expected = segment.kind === 'local' ? [segment.chunk] : segment.base;
          const from = segment.kind === 'local' ? segment.offset : segment.baseOffset;
          let offset = 0;
          const found = present.chunks.filter((one) => {
            offset += one.bytes;
            return offset > from;
          });
          expect(found.slice(0, expected.length)).toEqual(expected);
        }
      }),
    );
  });
});
