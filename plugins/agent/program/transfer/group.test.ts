import { randomBytes } from 'node:crypto';
import {
  type Compression,
  FRAME,
  frameJson,
  type GroupHead,
  openGroup,
  Pieces,
  parseFrames,
  readGroup,
} from '@overdub/core/agent';
import { describe, expect, it } from 'vitest';
import { Groups } from './group.ts';

interface Opened {
  readonly encoding: string;
  /** As it came. */
  readonly bytes: number;
  readonly raw: Buffer;
}

/** What the frames hold, group by group. */
async function opened(frames: AsyncGenerator<Uint8Array>): Promise<Opened[]> {
  const groups: Opened[] = [];
  const parsed = parseFrames(frames);
  for (let { value } = await parsed.next(); value !== undefined; { value } = await parsed.next()) {
    expect(value.type).toBe(FRAME.group);
    const head = frameJson<GroupHead>(value);
    const group = await readGroup(head, new Pieces(parsed));
    const raw = Buffer.from(await openGroup(group));
    groups.push({ encoding: group.encoding, bytes: head.bytes, raw });
  }
  return groups;
}

it('gives out each group once, in order, while the next is compressed and the one after it filled', async () => {
  const groups = new Groups(60_000, 'small');
  const chunks = ['a', 'b', 'c', 'd'].map((letter) => Buffer.alloc(40_000, letter));
  async function* all(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) {
      if (groups.isFullFor(chunk.length)) yield* groups.next();
      // Read into its room, which must not be what is still being compressed.
      const room = groups.room(chunk.length);
      room.set(chunk);
      groups.add(room);
    }
    yield* groups.end();
  }
  try {
    expect(await opened(all())).toMatchObject(chunks.map((raw) => ({ encoding: 'zstd', raw })));
  } finally {
    await groups.close();
  }
});

it('leaves as it is what hardly shrinks', async () => {
  const raw = randomBytes(60_000);
  const groups = new Groups(raw.length, 'small');
  try {
    expect(groups.takes(raw.length + 1)).toBe(false);
    groups.add(raw);
    expect(groups.isFullFor(1)).toBe(true);
    expect(await opened(groups.end())).toEqual([{ encoding: 'raw', bytes: raw.length, raw }]);
  } finally {
    await groups.close();
  }
});

it('can be closed while a group is compressed', async () => {
  const groups = new Groups(8 << 20, 'small');
  groups.add(Buffer.alloc(8 << 20, 'x'));
  expect((await groups.next().next()).done).toBe(true);
  await groups.close();
});

describe('effort', () => {
  const word = (at: number) => (Math.imul(at * at + 7 * at, 2654435761) >>> 12).toString(36);
  const words = Array.from({ length: 200_000 }, (_, at) => `${word((at * at) % 4001)} ${word(at % 977)}`);
  const text = Buffer.from(words.join(' ')).subarray(0, 1 << 20);

  /** Of each chunk, a group by itself. */
  async function sizes(compression: Compression, ...chunks: readonly Buffer[]): Promise<number[]> {
    const groups = new Groups(text.length, compression);
    async function* all() {
      for (const chunk of chunks) {
        if (groups.isFullFor(chunk.length)) yield* groups.next();
        groups.add(chunk);
      }
      yield* groups.end();
    }
    try {
      return (await opened(all())).map(({ bytes }) => bytes);
    } finally {
      await groups.close();
    }
  }

  it('makes less of a group', async () => {
    const [fast] = (await sizes('fast', text)) as [number];
    const [first, second] = (await sizes('small', text, text)) as [number, number];
    expect(first).toBeLessThan(0.95 * fast);
    expect(second).toBe(first);
  });

  it.each([
    ['much is alike', Buffer.alloc(text.length, 'much the same ')],
    ['nothing is', randomBytes(text.length)],
  ])('is spared where %s, until that has passed', async (_, chunk) => {
    const [fast] = (await sizes('fast', text)) as [number];
    const [, , behind, later] = await sizes('small', text, chunk, text, text);
    expect(behind).toBe(fast);
    expect(later).toBeLessThan(0.95 * fast);
  });
});
