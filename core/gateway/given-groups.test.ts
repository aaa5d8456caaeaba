/** Which stored frames go out whole, for which wants, and never twice while the agent keeps what they give. */

import { describe, expect, it } from 'vitest';
import type { StoredFrame } from '../contracts/repository.ts';
import { digestOf } from '../domain/content-ref.ts';
import { GroupPlan } from './given-groups.ts';

const contentOf = (name: string) => Buffer.from(name.padEnd(10, '.'));
const named = (name: string) => digestOf(contentOf(name));

/** Frames by name; a chunk is named `f0`, `f1`, …, each of ten bytes. Frames in capitals begin with a delta of three bytes. */
function repositoryOf(frames: Readonly<Record<string, number>>, damaged?: string) {
  const reads: string[] = [];
  const framed = Object.entries(frames).map(([id, count]) => {
    const names = Array.from({ length: count }, (_, at) => `${id}${at}`);
    const deltas = id === id.toLowerCase() ? [] : ['delta'];
    const chunks = names.map((name, at) => ({
      digest: named(name),
      bytes: 10,
      at: at * 10 + deltas.length * 3,
      place: at + deltas.length,
    }));
    const read = async () => {
      reads.push(id);
      return new Uint8Array(4);
    };
    const open = async () => {
      reads.push(`open ${id}`);
      const contents = names.map((name) => contentOf(name === damaged ? 'damaged' : name));
      return Buffer.concat([...deltas.map(() => Buffer.from('dlt')), ...contents]);
    };
    const lengths = [...deltas.map(() => 3), ...names.map(() => 10)];
    const digests = [...deltas, ...names].map(named);
    const sizes = { rawBytes: lengths.reduce((sum, length) => sum + length, 0), storedBytes: 4 };
    return { id, encoding: 'zstd' as const, ...sizes, lengths, digests, chunks, read, open };
  });
  const frameOf = async (wanted: string): Promise<StoredFrame | undefined> =>
    framed.find(({ chunks }) => chunks.some(({ digest }) => digest === wanted));
  return { frameOf, reads };
}

async function answers(
  frames: Readonly<Record<string, number>>,
  wanted: readonly string[],
  {
    due = wanted.length,
    window = 1000,
    mayGive = async (_digests: readonly string[]) => true,
    damaged = '',
  } = {},
) {
  const repository = repositoryOf(frames, damaged);
  const plan = new GroupPlan({ repository, wanted: wanted.map(named), mayGive, window });
  const given: unknown[] = [];
  for (let at = 0; at < due; at++) {
    const answer = await plan.next();
    given.push(typeof answer === 'string' ? answer : answer.head.gives);
  }
  return { given, reads: repository.reads };
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

  it('may be said while others are answered, and frames answer it from then on', async () => {
    const repository = repositoryOf({ a: 3, b: 2, c: 2 });
    const wanted = ['b0', 'a0'].map(named);
    const plan = new GroupPlan({ repository, wanted, mayGive: async () => true, window: 1000 });
    const next = async () => {
      const answer = await plan.next();
      return typeof answer === 'string' ? answer : answer.head.gives;
    };
    expect(await next()).toEqual([[0, 0]]);
    plan.want(['a1', 'b1', 'a0', 'a1'].map(named));
    expect(await next()).toEqual([
      [1, 0],
      [2, 1],
      [4, 0],
      [5, 1],
    ]);
    expect([await next(), await next(), await next(), await next()]).toEqual([
      'given',
      [[3, 1]],
      'given',
      'given',
    ]);
    // And once all that was said is answered.
    plan.want(Array.from({ length: 100 }, () => named('c1')));
    const last = await next();
    expect(last).toHaveLength(100);
    expect(await next()).toBe('given');
  });

  it('goes alone when it is all that is wanted of a frame, or it is in none', async () => {
    const { given, reads } = await answers({ a: 10 }, ['a0', 'x0']);
    expect(given).toEqual(['chunk', 'chunk']);
    expect(reads).toEqual([]);
  });

  const picked = [
    [
      [0, 1],
      [2, 0],
    ],
    'chunk',
    'given',
  ];

  it('brings what else is wanted of a frame of which little is, decoded once', async () => {
    const { given, reads } = await answers({ a: 10 }, ['a7', 'x0', 'a2']);
    expect(given).toEqual(picked);
    expect(reads).toEqual(['open a']);
  });

  it('brings what else is wanted of a frame that holds what the agent may not know of, and nothing of that', async () => {
    const mayGive = async (digests: readonly string[]) => !digests.includes(named('a2'));
    const { given, reads } = await answers({ a: 3 }, ['a1', 'x0', 'a0'], { mayGive });
    expect(given).toEqual(picked);
    expect(reads).toEqual(['open a']);
  });

  it('brings its whole frame also where that holds deltas, which answer nothing', async () => {
    const { given, reads } = await answers({ A: 2 }, ['A1', 'x0', 'A0']);
    expect(given).toEqual([
      [
        [0, 2],
        [2, 1],
      ],
      'chunk',
      'given',
    ]);
    expect(reads).toEqual(['A']);
  });

  it('is picked out of a frame that holds a delta of what the agent may not know of', async () => {
    const mayGive = async (digests: readonly string[]) => !digests.includes(named('delta'));
    const { given, reads } = await answers({ A: 2 }, ['A1', 'x0', 'A0'], { mayGive });
    expect(given).toEqual(picked);
    expect(reads).toEqual(['open A']);
  });

  it('comes with its own bytes when it is picked out of a frame', async () => {
    const { frameOf } = repositoryOf({ a: 10 });
    const wanted = ['a7', 'a2'].map(named);
    const plan = new GroupPlan({ repository: { frameOf }, wanted, mayGive: async () => true, window: 1000 });
    const answer = await plan.next();
    const parts = typeof answer === 'string' ? [] : answer.pieces;
    expect(Buffer.concat(parts)).toEqual(Buffer.concat([contentOf('a2'), contentOf('a7')]));
  });

  it('is not picked out of a frame where one that is wanted is damaged', async () => {
    const { given } = await answers({ a: 10 }, ['a0', 'a1'], { damaged: 'a1' });
    expect(given).toEqual(['chunk', 'chunk']);
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

describe('a frame of which only a part is wanted', () => {
  it('is opened for a sixteenth of it, not for less, unless that is all there is to want', async () => {
    const many = Array.from({ length: 64 }, (_, at) => `F${at}`);
    const full = await answers({ F: 64 }, many, { window: 40 });
    expect(full.reads.filter((read) => read === 'open F').length).toBeLessThanOrEqual(64 / 4);
    const narrow = await answers({ F: 64 }, many, { window: 30 });
    expect(narrow.reads.filter((read) => read === 'open F').length).toBeLessThanOrEqual(1);
    expect((await answers({ F: 64 }, ['F3', 'F9'])).reads).toEqual(['open F']);
  });

  it('is opened once when something in it is damaged', async () => {
    const wanted = ['F0', 'F1', 'F2', 'F3'];
    const mayGive = async () => false;
    const { given, reads } = await answers({ F: 4 }, wanted, { damaged: 'F3', mayGive });
    expect(given).toEqual(['chunk', 'chunk', 'chunk', 'chunk']);
    expect(reads).toEqual(['open F']);
  });
});
