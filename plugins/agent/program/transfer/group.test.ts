import {
  FRAME,
  frameJson,
  type GroupHead,
  openGroup,
  Pieces,
  parseFrames,
  readGroup,
} from '@overdub/core/agent';
import { expect, it } from 'vitest';
import { Groups } from './group.ts';

/** What the frames hold, each group with how it came. */
async function opened(frames: AsyncGenerator<Uint8Array>): Promise<(readonly [string, Buffer])[]> {
  const groups: (readonly [string, Buffer])[] = [];
  const parsed = parseFrames(frames);
  for (let { value } = await parsed.next(); value !== undefined; { value } = await parsed.next()) {
    expect(value.type).toBe(FRAME.group);
    const group = await readGroup(frameJson<GroupHead>(value), new Pieces(parsed));
    groups.push([group.encoding, Buffer.from(await openGroup(group))]);
  }
  return groups;
}

it('gives out each group once, in order, while the next is compressed and the one after it filled', async () => {
  const groups = new Groups(60_000);
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
    expect(await opened(all())).toEqual(chunks.map((chunk) => ['zstd', chunk]));
  } finally {
    await groups.close();
  }
});

it('leaves as it is what hardly shrinks', async () => {
  const raw = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)));
  const groups = new Groups(raw.length);
  try {
    expect(groups.takes(raw.length + 1)).toBe(false);
    groups.add(raw);
    expect(groups.isFullFor(1)).toBe(true);
    expect(await opened(groups.end())).toEqual([['raw', raw]]);
  } finally {
    await groups.close();
  }
});

it('can be closed while a group is compressed', async () => {
  const groups = new Groups(8 << 20);
  groups.add(Buffer.alloc(8 << 20, 'x'));
  expect((await groups.next().next()).done).toBe(true);
  await groups.close();
});
