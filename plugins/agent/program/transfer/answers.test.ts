/** How long was waited for answers: what the appliance goes by when it chooses what to compress. */

import { zstdCompressSync } from 'node:zlib';
import { digestOf, FRAME, type Frame } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openedAnswers } from '../receiver/opened-answers.ts';
import { AnswerReader } from './answers.ts';
import { GivenChunks } from './given-chunks.ts';

const answer: Frame = { type: FRAME.chunk, payload: Buffer.from('a chunk') };

/** Answers, each as soon as its promise is kept. */
function reader(...arrivals: readonly Promise<void>[]): AnswerReader {
  const frames = (async function* () {
    for (const arrival of arrivals) {
      await arrival;
      yield answer;
    }
  })();
  return new AnswerReader({
    opened: openedAnswers(frames),
    asked: [],
    most: 0,
    given: new GivenChunks(),
    window: 0,
  });
}

/** Everything that needs no time. */
const settled = () => new Promise((done) => setImmediate(done));

describe('a reader of answers', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['hrtime'] }));
  afterEach(() => void vi.useRealTimers());

  it('counts the time in which what was needed had not come yet', async () => {
    const line = Promise.withResolvers<void>();
    const answers = reader(line.promise);
    const next = answers.next();
    vi.advanceTimersByTime(60);
    line.resolve();
    expect(await next).toBe(answer);
    vi.advanceTimersByTime(40);
    expect(answers.takeWaited()).toBeCloseTo(0.6);
    await answers.close();
  });

  it('does not count what came while something else was done', async () => {
    const answers = reader(Promise.resolve());
    await settled();
    vi.advanceTimersByTime(100);
    expect(await answers.next()).toBe(answer);
    expect(answers.takeWaited()).toBe(0);
    await answers.close();
  });
});

describe('a group', () => {
  it('gives the chunks that are what they should be, short and long, and tells of the others', async () => {
    const KIB = 1024;
    const wanted = [300 * KIB, 10, 300 * KIB, 10, 600 * KIB].map((bytes, at) => Buffer.alloc(bytes, `${at}`));
    const asked = wanted.map((bytes) => ({ digest: digestOf(bytes), bytes: bytes.length }));
    const sent = wanted.map((bytes, at) => (at === 1 || at === 2 ? Buffer.alloc(bytes.length, 'x') : bytes));
    const raw = Buffer.concat(sent);
    const gives = wanted.map((_, at) => [at, at]);
    const head = { chunks: asked.map(({ bytes }) => bytes), encoding: 'raw', bytes: raw.length, gives };
    const frames = (async function* (): AsyncGenerator<Frame> {
      yield { type: FRAME.group, payload: Buffer.from(JSON.stringify(head)) };
      for (let at = 0; at < raw.length; at += 100 * KIB)
        yield { type: FRAME.piece, payload: raw.subarray(at, at + 100 * KIB) };
      yield { type: FRAME.piecesEnd, payload: new Uint8Array() };
    })();
    const given = new GivenChunks();
    const answers = new AnswerReader({
      opened: openedAnswers(frames),
      asked,
      most: asked.length,
      given,
      window: 16 * KIB * KIB,
    });
    expect(await answers.next()).toBe('group');
    for (const [at, { digest }] of asked.entries()) {
      const isBad = at === 1 || at === 2;
      expect(answers.takeBad(digest)).toBe(isBad);
      expect(given.has(digest)).toBe(!isBad);
      if (!isBad) expect(digestOf(given.take(digest) as Uint8Array)).toBe(digest);
    }
    await answers.close();
  });
});

describe('groups that come before anybody asks for them', () => {
  const MIB = 1024 * 1024;
  const contents = Array.from({ length: 6 }, (_, at) => Buffer.alloc(MIB, `group ${at}`));
  const asked = contents.map((bytes) => ({ digest: digestOf(bytes), bytes: bytes.length }));

  interface SixOptions {
    readonly window?: number;
    /** Kept from before: chunks that are none of these. */
    readonly held?: number;
    /** Of each group, before its last frame; told which. */
    readonly pause?: (at: number) => Promise<void>;
  }

  /** A reader of six groups, each of one chunk, that goes as far as it will before the first is asked for. */
  function sixGroups({ window = 16 * MIB, held = 0, pause }: SixOptions = {}) {
    const given = new GivenChunks();
    if (held > 0) {
      const kept = { digest: digestOf(Buffer.from('kept')), bytes: held, at: 0, uses: 1 };
      given.add(Buffer.alloc(held), [kept]);
    }
    const came: number[] = [];
    const frames = (async function* (): AsyncGenerator<Frame> {
      for (const [at, bytes] of contents.entries()) {
        const stored = zstdCompressSync(bytes);
        const head = { chunks: [MIB], encoding: 'zstd', bytes: stored.length, gives: [[at, 0]] };
        yield { type: FRAME.group, payload: Buffer.from(JSON.stringify(head)) };
        yield { type: FRAME.piece, payload: stored };
        await pause?.(at);
        came.push(at);
        yield { type: FRAME.piecesEnd, payload: new Uint8Array() };
      }
    })();
    const answers = new AnswerReader({
      opened: openedAnswers(frames),
      asked,
      most: asked.length,
      given,
      window,
    });
    const laid = () => asked.flatMap(({ digest }, at) => (given.has(digest) ? [at] : []));
    return { answers, came, laid };
  }

  it('are received one ahead, and laid down in their turn', async () => {
    const { answers, came, laid } = sixGroups();
    await vi.waitFor(() => expect(came).toEqual([0]));
    await settled();
    expect([came, laid()]).toEqual([[0], []]);
    expect(await answers.next()).toBe('group');
    await vi.waitFor(() => expect(came).toEqual([0, 1]));
    expect(laid()).toEqual([0]);
    await answers.close();
  });

  it('are not laid down any more once the reader is closed', async () => {
    const { answers, came, laid } = sixGroups();
    while (came.length === 0) await settled();
    await answers.close();
    await new Promise((done) => setTimeout(done, 50));
    expect([came, laid()]).toEqual([[0], []]);
  });

  it('are not waited for by who closes the reader, but for the one that is under way', async () => {
    const line = Promise.withResolvers<void>();
    const { answers, came } = sixGroups({ pause: (at) => (at === 0 ? line.promise : Promise.resolve()) });
    await settled();
    const closed = answers.close();
    line.resolve();
    await closed;
    expect(came).toEqual([0]);
  });

  it('are refused where they are more than was asked for and what may lie here', async () => {
    const { answers } = sixGroups({ window: -47 * MIB });
    expect(await answers.next()).toBe('group');
    await expect(answers.next()).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await answers.close();
  });

  it('may come beside what is kept from before, which the appliance was told of', async () => {
    const { answers } = sixGroups({ window: 0, held: 64 * MIB });
    for (const _ of asked) expect(await answers.next()).toBe('group');
    await answers.close();
  });
});
