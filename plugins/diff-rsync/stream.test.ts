import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { rsyncCodec } from './codec.ts';

const MIB = 1024 * 1024;

/** Lengths of the pieces in which the target of a delta against nothing comes, and whether they make it. */
async function patched(targetBytes: number) {
  const target = randomBytes(targetBytes);
  const delta = await rsyncCodec().encode(new Uint8Array(0), target);
  const base = { bytes: 0, read: async () => new Uint8Array(0) };
  const once = async function* () {
    yield delta;
  };
  const pieces: Uint8Array[] = [];
  const made = rsyncCodec().signatures?.patch(base, once(), { targetBytes });
  for await (const piece of made ?? []) pieces.push(piece);
  expect(Buffer.concat(pieces).equals(target)).toBe(true);
  return pieces.map((piece) => piece.length);
}

describe('what a delta makes', () => {
  it.each([1, 3 * MIB + 5, 8 * MIB])('comes in one piece where it is a chunk of %i bytes', async (bytes) => {
    expect(await patched(bytes)).toEqual([bytes]);
  });

  it('comes in pieces of 1 MiB where it is longer', async () => {
    const lengths = await patched(8 * MIB + 1);
    expect(lengths).toEqual([...Array<number>(8).fill(MIB), 1]);
  });
});
