import { describe, expect, it } from 'vitest';
import { digestOf } from './content-ref.ts';
import { DigestTable, hashOf } from './digest-table.ts';

const digest = (at: number) => digestOf(Buffer.from(`${at}`));
const small = () => new DigestTable((count) => new Uint8Array(count));

it('gives all of many digests back, in the order in which they came', () => {
  const table = small();
  const all = Array.from({ length: 20_000 }, (_, at) => digest(at));
  for (const one of all) table.put(one, 1);
  for (const one of all) table.put(one, 2);
  expect([...table.digests()]).toEqual(all);
  expect(table.size).toBe(all.length);
  expect(all.every((one) => table.get(one) === 2)).toBe(true);
  expect(table.get(digest(-1))).toBe(0);
});

it('tells digests apart that differ in their last word only', () => {
  const table = small();
  const all = Array.from({ length: 100 }, (_, at) => `${'0'.repeat(56)}${at.toString(16).padStart(8, '0')}`);
  for (const [at, one] of all.entries()) table.put(one, at + 1);
  expect(all.map((one) => table.get(one))).toEqual(all.map((_, at) => at + 1));
});

it('adds bits to a number', () => {
  const table = small();
  table.mark(digest(1), 1);
  table.mark(digest(1), 4);
  expect([table.get(digest(1)), table.size]).toEqual([5, 1]);
});

it('takes little for few and at most 42 bytes each for many', () => {
  const table = small();
  table.put(digest(0), 1);
  expect(table.bytes).toBeLessThan(4096);
  for (let at = 0; at < 100_000; at++) table.put(digest(at), 1);
  expect(table.bytes / table.size).toBeLessThan(42);
});

it('refuses what is no digest', () => {
  expect(() => small().get('abc')).toThrow(TypeError);
});

describe('where a digest belongs', () => {
  const wordsOf = (value: number, place: (value: number, word: number) => number) =>
    Uint32Array.from({ length: 8 }, (_, word) => place(value, word));

  it.each([
    ['in one word only', (value: number, word: number) => (word === 3 ? value : 7)],
    ['in the highest bits of each word', (value: number, word: number) => ((value >>> (2 * word)) & 3) << 30],
    ['in the lowest bits of each word', (value: number, word: number) => (value >>> (2 * word)) & 3],
  ])('is spread, also for those that differ %s', (_, place) => {
    const count = 4096;
    const hashes = Array.from({ length: count }, (_unused, value) => hashOf(wordsOf(value, place), 0));
    expect(new Set(hashes).size).toBeGreaterThan(count * 0.99);
    expect(new Set(hashes.map((hash) => hash % 4093)).size).toBeGreaterThan(count / 16);
  });
});
