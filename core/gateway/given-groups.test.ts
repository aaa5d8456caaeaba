/** Which stored frames go out whole, for which wants, and never twice while the agent keeps what they give. */

import { describe, expect, it } from 'vitest';
import type { StoredFrame } from '../contracts/repository.ts';
import { parseFrames } from '../domain/frames.ts';
import type { GivenGroup } from '../domain/transfer-bodies.ts';
import { GroupPlan } from './given-groups.ts';

/** Frames by name; a chunk is named `f0`, `f1`, …, each of ten bytes. */
function repositoryOf(frames: Readonly<Record<string, number>>) {
  const reads: string[] = [];
  const frameOf = async (digest: string): Promise<StoredFrame | undefined> => {
    const id = digest.slice(0, 1);
    const count = frames[id];
    if (count === undefined) return undefined;
    const chunks = Array.from({ length: count }, (_, at) => ({
      digest: `${id}${at}`,
      bytes: 10,
      at: at * 10,
    }));
    const read = async () => {
      reads.push(id);
      return new Uint8Array(4);
    };
    return { id, encoding: 'zstd', rawBytes: count * 10, storedBytes: 4, chunks, read };
  };
  return { frameOf, reads };
}

async function answers(
  frames: Readonly<Record<string, number>>,
  wanted: readonly string[],
  { due = wanted.length, window = 1000, mayGive = async (_digests: readonly string[]) => true } = {},
) {
  const repository = repositoryOf(frames);
  const plan = new GroupPlan({ repository, wanted, mayGive, window });
  const given: unknown[] = [];
  for (let at = 0; at < due; at++) {
    const answer = await plan.next();
    given.push(typeof answer === 'string' ? answer : (await headOf(answer)).gives);
  }
  return { given, reads: repository.reads };
}

async function headOf(frames: readonly Uint8Array[]): Promise<GivenGroup> {
  const source = (async function* () {
    yield* frames;
  })();
  for await (const frame of parseFrames(source)) return JSON.parse(Buffer.from(frame.payload).toString());
  throw new Error('no frame');
}

describe('a wanted chunk', () => {
  it('brings its whole frame, once, for all wants it answers', async () => {
    const { given, reads } = await answers({ a: 2, b: 2 }, ['a1', 'b0', 'a0', 'b1', 'a1']);
    const [a, b] = [
      [
        [0, 1],
        [2, 0],
        [4, 1],
      ],
      [
        [1, 0],
        [3, 1],
      ],
    ];
    expect(given).toEqual([a, b, 'given', 'given', 'given']);
    expect(reads).toEqual(['a', 'b']);
  });

  it('brings its frame for what a later request wants, too', async () => {
    const { given } = await answers({ a: 4 }, ['a0', 'a2', 'a3'], { due: 1 });
    expect(given).toEqual([
      [
        [0, 0],
        [1, 2],
        [2, 3],
      ],
    ]);
  });

  it('goes alone when little of its frame is wanted, or it is in none', async () => {
    const { given, reads } = await answers({ a: 10 }, ['a0', 'x0', 'a1']);
    expect(given).toEqual(['chunk', 'chunk', 'chunk']);
    expect(reads).toEqual([]);
  });

  it('goes alone when its frame holds what the agent may not know of', async () => {
    const mayGive = async (digests: readonly string[]) => !digests.includes('a2');
    const { given, reads } = await answers({ a: 3, b: 2 }, ['a0', 'b0', 'b1', 'a1'], { mayGive });
    expect(given.filter((one) => one === 'chunk')).toHaveLength(2);
    expect(reads).toEqual(['b']);
  });

  it('is not given before there is room for it: then its frame comes again', async () => {
    const { given, reads } = await answers({ a: 4 }, ['a0', 'a1', 'a2', 'a3'], { window: 20 });
    expect(given).toEqual([
      [
        [0, 0],
        [1, 1],
      ],
      'given',
      [
        [2, 2],
        [3, 3],
      ],
      'given',
    ]);
    expect(reads).toEqual(['a', 'a']);
  });
});
