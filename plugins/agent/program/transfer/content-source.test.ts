import { type ChunkRef, type ContentRef, DIGESTS_LIMIT, digestOf } from '@overdub/core/agent';
import { expect, it, vi } from 'vitest';
import { FetchingSource } from './content-source.ts';
import type { Answers, Fetcher } from './fetch.ts';

/** A content of one chunk. */
function contentOf(text: string): ContentRef {
  const [digest, bytes] = [digestOf(Buffer.from(text)), text.length];
  return { digest, bytes, chunks: [{ digest, bytes }] };
}

function fetcher() {
  const close = vi.fn(async () => undefined);
  const ask = vi.fn((): Answers => {
    const chunk = async () => Buffer.from('first');
    return { chunk, atHand: () => undefined, delta: async () => undefined, close };
  });
  return { ask, close, fetcher: { ask, along: () => undefined } as unknown as Fetcher };
}

/** One whose requests go on, each with so many chunks; `asked`: the contents of each. */
function growing(most: number) {
  const asked: string[][] = [];
  const closed: number[] = [];
  const ask = vi.fn();
  const along = () => {
    const at = asked.push([]) - 1;
    const wanted: ChunkRef[] = [];
    return {
      want(chunks: readonly ChunkRef[]) {
        if (wanted.length + chunks.length > most) return false;
        wanted.push(...chunks);
        return true;
      },
      send() {
        asked[at] = wanted.map(({ digest }) => digest);
      },
      chunk: async ({ digest }: ChunkRef) => Buffer.from(digest, 'hex'),
      atHand: () => undefined,
      delta: async () => undefined,
      close: async () => void closed.push(at),
    };
  };
  return { asked, closed, ask, fetcher: { ask, along } as unknown as Fetcher };
}

it('asks by whole requests when contents are opened, or many are announced, and for the next ones when these are through', async () => {
  const { ask, close, fetcher: one } = fetcher();
  const source = new FetchingSource(one, new Map());
  source.announce([contentOf('first')]);
  expect(ask).not.toHaveBeenCalled();
  for await (const _ of source.open(contentOf('first')));
  expect(ask.mock.calls).toEqual([[[{ kind: 'raw', chunks: contentOf('first').chunks }], []]]);
  source.announce(Array.from({ length: 8191 }, (_, nth) => contentOf(String(nth))));
  expect(ask).toHaveBeenCalledTimes(1);
  for await (const _ of source.open(contentOf('0')));
  expect(ask).toHaveBeenCalledTimes(2);
  expect(close).toHaveBeenCalledTimes(1);
  await source.close();
  expect(close).toHaveBeenCalledTimes(2);
  const [segments, later] = ask.mock.calls[1] as unknown as [unknown[], unknown[]];
  expect([segments.length, later.length]).toEqual([4096, 8191 - 4096]);
  source.announce([contentOf('another')]);
  expect(ask).toHaveBeenCalledTimes(2);
  source.announce(Array.from({ length: 8191 }, (_, nth) => contentOf(String(nth))));
  expect(ask).toHaveBeenCalledTimes(3);
});

it('goes on asking as contents are announced, and begins anew when one request takes no more', async () => {
  const { asked, closed, fetcher: one } = growing(3);
  const source = new FetchingSource(one, new Map());
  const contents = ['a', 'b', 'c', 'd', 'e'].map(contentOf);
  const digests = contents.map(({ digest }) => digest);
  source.announce(contents.slice(0, 1));
  expect(asked).toEqual([digests.slice(0, 1)]);
  source.announce(contents.slice(1, 2));
  expect(asked).toEqual([digests.slice(0, 2)]);
  source.announce(contents.slice(2));
  expect(asked).toEqual([digests.slice(0, 3)]);
  for (const content of contents) {
    const got: string[] = [];
    for await (const bytes of source.open(content)) got.push(Buffer.from(bytes).toString('hex'));
    expect(got).toEqual([content.digest]);
  }
  expect(asked).toEqual([digests.slice(0, 3), digests.slice(3)]);
  await source.close();
  expect(closed).toEqual([0, 1]);
});

it('asks by whole requests for what no request that goes on takes, and where something lies already', async () => {
  const opened = (source: FetchingSource, content: ContentRef) =>
    source
      .open(content)
      [Symbol.asyncIterator]()
      .next()
      .catch(() => undefined);
  const many = growing(DIGESTS_LIMIT);
  const chunks = Array.from({ length: DIGESTS_LIMIT + 1 }, () => contentOf('x').chunks[0] as ChunkRef);
  const large = { digest: 'f'.repeat(64), bytes: chunks.length, chunks };
  const one = new FetchingSource(many.fetcher, new Map());
  one.announce([large]);
  await opened(one, large);
  expect([many.asked.length, many.ask.mock.calls.length]).toEqual([0, 1]);
  const there = growing(DIGESTS_LIMIT);
  const [wanted, present] = [contentOf('wanted'), contentOf('present')];
  const other = new FetchingSource(there.fetcher, new Map([[wanted.digest, present]]));
  other.announce([wanted]);
  await opened(other, wanted);
  expect([there.asked.length, there.ask.mock.calls.length]).toEqual([0, 1]);
});
