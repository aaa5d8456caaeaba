import { digestOf } from '@overdub/core/agent';
import { expect, it } from 'vitest';
import { GivenChunks } from './given-chunks.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Chunks of 100 KiB, each of one letter, behind one another. */
function group(letters: string) {
  const raw = Buffer.allocUnsafeSlow(letters.length * 100 * KIB);
  const chunks = [...letters].map((letter, nth) => {
    const bytes = raw.fill(letter, nth * 100 * KIB, (nth + 1) * 100 * KIB).subarray(nth * 100 * KIB);
    return { digest: digestOf(bytes.subarray(0, 100 * KIB)), at: nth * 100 * KIB, bytes: 100 * KIB, uses: 1 };
  });
  return { raw, chunks };
}

const digest = (letter: string) => digestOf(Buffer.alloc(100 * KIB, letter));

it('gives each chunk as often as it was promised, right to the last, and frees its group then', () => {
  const given = new GivenChunks();
  const { raw, chunks } = group('abcdefgh');
  given.add(
    raw,
    chunks.map((chunk, at) => ({ ...chunk, uses: at === 0 ? 2 : 1 })),
  );
  expect(given.heldBytes).toBe(800 * KIB);
  for (const letter of 'ahgfedcba') {
    const bytes = given.take(digest(letter)) as Uint8Array;
    expect(bytes.length).toBe(100 * KIB);
    expect(bytes.every((byte) => byte === letter.charCodeAt(0))).toBe(true);
  }
  expect(given.heldBytes).toBe(0);
  expect(given.take(digest('a'))).toBeUndefined();
  expect(raw.length).toBe(0);
});

it('keeps a few chunks of a large group in little memory', () => {
  const given = new GivenChunks();
  const { raw, chunks } = group('abcdefgh');
  given.add(raw, [chunks[1], chunks[6]] as typeof chunks);
  expect(raw.length).toBe(0);
  expect(given.heldBytes).toBe(200 * KIB);
  expect(digestOf(given.take(digest('g')) as Uint8Array)).toBe(digest('g'));
  expect(digestOf(given.take(digest('b')) as Uint8Array)).toBe(digest('b'));
});

it('lays nothing together as long as little is wasted', () => {
  const given = new GivenChunks(MIB);
  const [first, second] = [group('abcdefgh'), group('ijklmnop')];
  given.add(first.raw, [first.chunks[1], first.chunks[6]] as typeof first.chunks);
  expect(first.raw.length).toBe(800 * KIB);
  // Of this one 700 KiB are not needed, and of the other 600.
  given.add(second.raw, [second.chunks[3]] as typeof second.chunks);
  expect([first.raw.length, second.raw.length]).toEqual([800 * KIB, 0]);
  for (const letter of 'lgb') expect(digestOf(given.take(digest(letter)) as Uint8Array)).toBe(digest(letter));
  expect(given.take(digest('a'))).toBeUndefined();
  expect([first.raw.length, given.heldBytes]).toEqual([0, 0]);
  // What was freed counts no more.
  const third = group('abcdefgh');
  given.add(third.raw, [third.chunks[0]] as typeof third.chunks);
  expect(third.raw.length).toBe(800 * KIB);
});

it('lets go of what nobody will take', () => {
  const given = new GivenChunks();
  const { raw, chunks } = group('abc');
  given.add(raw, chunks);
  given.keep(new Map([[digest('b'), 1]]));
  expect(given.heldBytes).toBe(100 * KIB);
  expect(given.has(digest('a'))).toBe(false);
  expect(digestOf(given.take(digest('b')) as Uint8Array)).toBe(digest('b'));
  expect(given.has(digest('b'))).toBe(false);
});

it('counts a chunk that two groups hold once', () => {
  const given = new GivenChunks();
  const [first, second] = [group('ab'), group('bc')];
  given.add(first.raw, first.chunks);
  given.add(second.raw, second.chunks);
  expect(given.heldBytes).toBe(300 * KIB);
  for (const letter of 'abbc')
    expect(digestOf(given.take(digest(letter)) as Uint8Array)).toBe(digest(letter));
  expect(given.heldBytes).toBe(0);
});
