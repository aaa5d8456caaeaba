import { type ContentRef, digestOf } from '@overdub/core/agent';
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
  return { ask, close, fetcher: { ask } as unknown as Fetcher };
}

it('asks for the first contents as soon as they are announced, and for the next ones when these are through', async () => {
  const { ask, close, fetcher: one } = fetcher();
  const source = new FetchingSource(one, new Map());
  source.announce([contentOf('first')]);
  expect(ask.mock.calls).toEqual([[[{ kind: 'raw', chunks: contentOf('first').chunks }], []]]);
  source.announce([contentOf('second')]);
  expect(ask).toHaveBeenCalledTimes(1);
  for (const text of ['first', 'second']) for await (const _ of source.open(contentOf(text)));
  expect(ask).toHaveBeenCalledTimes(2);
  expect(close).toHaveBeenCalledTimes(1);
  await source.close();
  expect(close).toHaveBeenCalledTimes(2);
});
