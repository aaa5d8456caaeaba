import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jitterShareMs, nextRun } from './schedule.ts';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const schedule = fc.record({
  everySeconds: fc.integer({ min: 1, max: 86_400 }),
  jitterSeconds: fc.integer({ min: 0, max: 3600 }),
});

describe('jitterShareMs', () => {
  it('lies within the jitter and never changes for a server', () => {
    fc.assert(
      fc.property(schedule, name, (plan, server) => {
        const share = jitterShareMs(plan, server);
        expect(share).toBeGreaterThanOrEqual(0);
        expect(share).toBeLessThan(Math.max(1, plan.jitterSeconds * 1000));
        expect(jitterShareMs(plan, server)).toBe(share);
      }),
    );
  });

  it('spreads a fleet evenly, numbered names too', () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let number = 0; number < 1000; number++) {
      const share = jitterShareMs({ everySeconds: 60, jitterSeconds: 10 }, `web-${number}`);
      tenths[Math.floor(share / 1000)] = (tenths[Math.floor(share / 1000)] ?? 0) + 1;
    }
    for (const count of tenths) expect(count).toBeGreaterThan(60);
  });
});

describe('nextRun', () => {
  it('is never in the past, and after a run at most one interval away', () => {
    fc.assert(
      fc.property(schedule, name, fc.integer({ min: 0, max: 10 ** 7 }), (plan, server, ago) => {
        const next = nextRun(plan, NOW - ago, server, NOW);
        expect(next).toBeGreaterThanOrEqual(NOW);
        expect(next).toBeLessThanOrEqual(NOW + plan.everySeconds * 1000);
      }),
    );
  });

  it('keeps the interval exactly, however long each run takes', () => {
    fc.assert(
      fc.property(schedule, name, fc.double({ min: 0, max: 0.99, noNaN: true }), (plan, server, part) => {
        const first = nextRun(plan, NOW, server, NOW);
        const second = nextRun(plan, first, server, first + Math.floor(part * plan.everySeconds * 1000));
        expect(second - first).toBe(plan.everySeconds * 1000);
      }),
    );
  });

  it('catches up once, now, what passed while the machine was off', () => {
    const plan = { everySeconds: 60, jitterSeconds: 0 };
    expect(nextRun(plan, NOW - 10 * 60_000, 'web-1', NOW + 5)).toBe(NOW + 5);
    expect(nextRun(plan, NOW + 5, 'web-1', NOW + 5)).toBe(NOW + 60_000);
  });

  it('starts a new server after its share', () => {
    const plan = { everySeconds: 60, jitterSeconds: 30 };
    expect(nextRun(plan, undefined, 'web-1', NOW)).toBe(NOW + jitterShareMs(plan, 'web-1'));
  });
});
