import { describe, expect, it } from 'vitest';
import { LineGauge } from './line-gauge.ts';

/** A gauge whose clock goes on by what is told. */
function gauge(waited?: number) {
  let now = 0;
  const line = new LineGauge(() => now);
  line.begin(waited);
  const answer = (makingMs: number, sendingMs: number, bytes = 100_000) => {
    now += makingMs;
    line.made();
    now += sendingMs;
    line.sent(bytes);
  };
  const pause = (ms: number) => {
    now += ms;
  };
  return { line, answer, pause };
}

describe('the gauge of a line', () => {
  it('does not hold it for slow before anything went over it', () => {
    expect(gauge().line.isSlow).toBe(false);
    expect(gauge(0.6).line.isSlow).toBe(false);
  });

  it('keeps what it knows from one fetch to the next, and does not count the time between', () => {
    const { line, answer, pause } = gauge();
    for (let at = 0; at < 20; at++) answer(5, 20);
    pause(60_000);
    line.begin(0.6);
    expect(line.isSlow).toBe(true);
    for (let at = 0; at < 200; at++) answer(20, 0);
    pause(60_000);
    line.begin(0.6);
    expect(line.isSlow).toBe(false);
  });

  it('may be told in the middle of a fetch, and does not count the time in which nothing was asked for', () => {
    const { line, answer, pause } = gauge();
    for (let at = 0; at < 20; at++) answer(5, 20);
    expect(line.isSlow).toBe(true);
    line.told(0.1);
    expect(line.isSlow).toBe(false);
    line.told(0.6);
    pause(60_000);
    line.resume();
    expect(line.isSlow).toBe(true);
  });

  it('does not hold a line for slow on which answers are waited for, however often a fetch begins', () => {
    const { line, answer } = gauge();
    let slow = 0;
    for (let fetch = 0; fetch < 20; fetch++) {
      line.begin(0.8);
      for (let at = 0; at < 60; at++) {
        answer(20, 0.2);
        if (line.isSlow) slow += 1;
      }
    }
    expect(slow).toBe(0);
  });

  it('does not take a receiver that has no time for a slow line', () => {
    const { line, answer } = gauge(0.1);
    for (let at = 0; at < 50; at++) answer(1, 40);
    expect(line.isSlow).toBe(false);
  });

  it('tells a line that is waited for from answers that are', () => {
    const { line, answer } = gauge();
    answer(2, 40);
    expect(line.isSlow).toBe(true);
    for (let at = 0; at < 60; at++) answer(20, 1);
    expect(line.isSlow).toBe(false);
  });

  it('does not take a line for slow that carries more than gigabit Ethernet could, all its time counted', () => {
    const MB = 1_000_000;
    for (const [makingMs, sendingMs, bytes, isSlow] of [
      [1, 20, 2.5 * MB, true],
      [1, 20, 2.7 * MB, false],
      // While the next was made, the system's buffer went out.
      [3, 4, 0.7 * MB, true],
      [3, 4, 0.9 * MB, false],
    ] as const) {
      for (const waited of [undefined, 0.5]) {
        const { line, answer } = gauge(waited);
        for (let at = 0; at < 50; at++) answer(makingMs, sendingMs, bytes);
        expect(line.isSlow).toBe(isSlow);
      }
    }
  });

  it('needs less to be held for slow where the receiver said that it waits', () => {
    for (const [waited, isSlow] of [
      [undefined, false],
      [0.5, true],
    ] as const) {
      const { line, answer } = gauge(waited);
      for (let at = 0; at < 200; at++) answer(20, 10);
      expect(line.isSlow).toBe(isSlow);
    }
  });

  it('forgets what was: a second later the line counts as what it has become', () => {
    const { line, answer } = gauge();
    for (let at = 0; at < 1000; at++) answer(20, 1);
    for (let at = 0; at < 50; at++) answer(1, 20);
    expect(line.isSlow).toBe(true);
  });
});
