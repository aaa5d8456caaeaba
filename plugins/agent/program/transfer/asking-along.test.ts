import { DIGESTS_LIMIT, digestOf, FRAME, type Frame, frameJson, readBody } from '@overdub/core/agent';
import { collect } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Appliance } from '../link/appliance.ts';
import type { OpenedAnswer } from '../receiver/opened-answers.ts';
import type { Receiver } from '../receiver/receiver.ts';
import type { SentAlong } from '../receiver/sent-along.ts';
import { AskingAlong } from './asking-along.ts';
import { GivenChunks } from './given-chunks.ts';

const MIB = 1024 * 1024;
const head = {
  image: { root: 'f'.repeat(64), entries: 1, bytes: 1 },
  groupBytes: MIB,
  streams: true as const,
};
const chunkOf = (name: string) => ({ digest: digestOf(Buffer.from(name)), bytes: name.length });

/** An appliance that answers when it is told to, or never ends; `asked`: what it was sent. */
function asking(ends: 'ends' | 'never' = 'ends') {
  const sent: Uint8Array[] = [];
  const begin = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const answers: OpenedAnswer[] = [];
  let stop: AbortSignal | undefined;
  const never = new Promise(() => undefined);
  const aborted = (signal: AbortSignal) =>
    new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  const fetchAlong = async function* (body: SentAlong, _receiver: Receiver, signal: AbortSignal) {
    body.follow((piece) => (piece === undefined ? ended.resolve() : sent.push(piece)));
    stop = signal;
    await Promise.race([aborted(signal), ends === 'ends' ? begin.promise.then(() => ended.promise) : never]);
    signal.throwIfAborted();
    yield* answers;
  };
  const onKeptBack = vi.fn();
  const one = new AskingAlong({
    appliance: { fetchAlong } as unknown as Appliance,
    receiver: undefined as unknown as Receiver,
    signal: new AbortController().signal,
    head,
    given: new GivenChunks(),
    window: MIB,
    onKeptBack,
  });
  const asked = async (): Promise<Frame[]> => {
    const body = (async function* () {
      yield* sent;
    })();
    return await collect(readBody(body));
  };
  return { one, asked, begin, onKeptBack, stopped: () => stop?.aborted };
}

describe('a fetch that goes on asking', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  it('says what it wants in its order, how long it waited meanwhile, and its end', async () => {
    const { one, asked, begin } = asking();
    begin.resolve();
    expect(one.want([chunkOf('a'), chunkOf('b')])).toBe(true);
    one.send();
    one.send();
    expect(one.want([chunkOf('c')])).toBe(true);
    await one.close();
    const frames = await asked();
    expect(frames.map(({ type }) => type)).toEqual([FRAME.head, FRAME.digests, FRAME.waited, FRAME.digests]);
    expect(frameJson(frames[0] as Frame)).toEqual(head);
    expect(Buffer.from((frames[1] as Frame).payload).toString('hex')).toBe(
      `${chunkOf('a').digest}${chunkOf('b').digest}`,
    );
    expect(frameJson(frames[2] as Frame)).toBe(0);
    expect(Buffer.from((frames[3] as Frame).payload).toString('hex')).toBe(chunkOf('c').digest);
    expect(one.want([chunkOf('d')])).toBe(false);
  });

  it('takes no more than one fetch may ask for', async () => {
    const { one, asked, begin } = asking();
    begin.resolve();
    const many = Array.from({ length: DIGESTS_LIMIT - 1 }, (_, at) => chunkOf(String(at)));
    expect(one.want(many)).toBe(true);
    expect(one.want([chunkOf('a'), chunkOf('b')])).toBe(false);
    expect(one.want([chunkOf('a')])).toBe(true);
    await one.close();
    expect((await asked()).map(({ type, payload }) => [type, payload.length]).slice(1)).toEqual([
      [FRAME.digests, 32 * DIGESTS_LIMIT],
    ]);
  });

  it('collects what is wanted until it is much, or an answer is waited for', async () => {
    const { one, asked, begin } = asking();
    begin.resolve();
    const many = (count: number, of: string) =>
      Array.from({ length: count }, (_, at) => chunkOf(`${of}${at}`));
    const send = (chunks: readonly ReturnType<typeof chunkOf>[]) => {
      one.want(chunks);
      one.send();
    };
    for (const [nth, count] of [1, 500, 3_000, 600].entries()) send(many(count, `${nth} `));
    send([{ ...chunkOf('large'), bytes: 16 * MIB }]);
    send(many(7, 'few '));
    const waiting = one.answers.next().catch(() => undefined);
    await one.close();
    await waiting;
    const lists = (await asked()).filter(({ type }) => type === FRAME.digests);
    expect(lists.map(({ payload }) => payload.length / 32)).toEqual([1, 4_100, 1, 7]);
  });

  it('ends by itself where somebody in between gives out nothing before it has ended', async () => {
    const { one, asked, onKeptBack } = asking();
    one.want([chunkOf('a')]);
    one.send();
    one.want([chunkOf('b')]);
    one.answers.next().catch(() => undefined);
    await vi.advanceTimersByTimeAsync(29_000);
    expect(one.want([chunkOf('c')])).toBe(true);
    expect(onKeptBack).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(onKeptBack).toHaveBeenCalledTimes(1);
    expect(one.want([chunkOf('d')])).toBe(false);
    const types = (await asked()).map(({ type }) => type);
    const more = [FRAME.waited, FRAME.digests];
    expect(types).toEqual([FRAME.head, FRAME.digests, ...more, ...more]);
  });

  it('goes on however long nobody waits for an answer', async () => {
    const { one, begin, onKeptBack } = asking();
    begin.resolve();
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(one.want([chunkOf('a')])).toBe(true);
    expect(onKeptBack).not.toHaveBeenCalled();
    await one.close();
  });

  it('is closed at once where something was not answered, and not waited for for ever where it does not end', async () => {
    const { one, stopped } = asking('never');
    one.want([chunkOf('a')]);
    one.send();
    await one.close();
    expect(stopped()).toBe(true);
    const other = asking('never');
    const closing = other.one.close();
    await vi.advanceTimersByTimeAsync(29_000);
    expect(other.stopped()).toBe(false);
    await vi.advanceTimersByTimeAsync(2_000);
    await closing;
    expect(other.stopped()).toBe(true);
  });
});
