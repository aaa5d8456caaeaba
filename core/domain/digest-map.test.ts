import fc from 'fast-check';
import { expect, it } from 'vitest';
import { digestOf } from './content-ref.ts';
import { DigestMap } from './digest-map.ts';

const digest = (at: number) => digestOf(Buffer.from(`${at}`));

it('behaves as a map does', () => {
  const change = fc.tuple(fc.nat(3000), fc.nat(2 ** 32 - 2));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4000 }), (changes) => {
      const map = new DigestMap();
      const model = new Map<string, number>();
      for (const [at, value] of changes) {
        map.set(digest(at), value);
        model.set(digest(at), value);
      }
      expect(map.size).toBe(model.size);
      for (const [key, value] of model) expect(map.get(key)).toBe(value);
      expect(map.get(digest(-1))).toBeUndefined();
    }),
    { numRuns: 20 },
  );
});

it('grows', () => {
  const map = new DigestMap();
  for (let at = 0; at < 10_000; at++) map.set(digest(at), at);
  expect(map.size).toBe(10_000);
  for (let at = 0; at < 10_000; at++) expect(map.get(digest(at))).toBe(at);
});
