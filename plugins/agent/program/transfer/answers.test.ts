/** How long was waited for answers: what the appliance goes by when it chooses what to compress. */

import { FRAME, type Frame } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
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
  return new AnswerReader({ frames, asked: [], given: new GivenChunks(), window: 0 });
}

/** Everything that needs no time. */
const settled = () => new Promise((done) => setImmediate(done));

describe('a reader of answers', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  it('counts the time in which what was needed had not come yet', async () => {
    const line = Promise.withResolvers<void>();
    const answers = reader(line.promise);
    const next = answers.next();
    vi.advanceTimersByTime(60);
    line.resolve();
    expect(await next).toBe(answer);
    vi.advanceTimersByTime(40);
    expect(answers.waited).toBeCloseTo(0.6);
    await answers.close();
  });

  it('does not count what came while something else was done', async () => {
    const answers = reader(Promise.resolve());
    await settled();
    vi.advanceTimersByTime(100);
    expect(await answers.next()).toBe(answer);
    expect(answers.waited).toBe(0);
    await answers.close();
  });
});
