import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Orders } from '@overdub/core/agent';
import { ManualClock } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Schedule } from './schedule.ts';

let directory: string;
let clock: ManualClock;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-schedule-'));
  clock = new ManualClock();
});

afterEach(() => rm(directory, { recursive: true, force: true }));

const orders = (every: number | undefined): Orders => ({
  standing: 'assigned',
  server: 'web-1',
  now: new Date(clock.now()).toISOString(),
  ...(every === undefined ? {} : { schedule: { everySeconds: every, jitterSeconds: every / 2 } }),
});

describe('the schedule of a server', () => {
  test('that never ran comes due after its share of the jitter, however often it is asked', async () => {
    const schedule = await Schedule.open(directory, clock);
    schedule.update(orders(20));
    const first = schedule.due()?.inMs ?? 0;
    expect(first).toBeLessThan(10_000);
    await clock.advance(first);
    schedule.update(orders(20));
    expect(schedule.due()).toEqual({ server: 'web-1', inMs: 0 });
  });

  test('comes due again one interval later, also for an agent that was started anew', async () => {
    const schedule = await Schedule.open(directory, clock);
    schedule.update(orders(20));
    await schedule.began();
    const again = await Schedule.open(directory, clock);
    again.update(orders(20));
    const next = again.due()?.inMs ?? 0;
    expect(next).toBeGreaterThan(0);
    expect(next).toBeLessThanOrEqual(20_000);
    await clock.advance(next);
    expect(again.due()?.inMs).toBe(0);
  });

  test('is absent when the server has none', async () => {
    const schedule = await Schedule.open(directory, clock);
    schedule.update(orders(undefined));
    expect(schedule.due()).toBeUndefined();
  });

  test('skips what came due while a snapshot ran', async () => {
    const schedule = await Schedule.open(directory, clock);
    schedule.update(orders(20));
    await schedule.began();
    await clock.advance(45_000);
    expect(schedule.due()?.inMs).toBe(0);
    await schedule.ended();
    const next = schedule.due()?.inMs ?? 0;
    expect(next).toBeGreaterThan(0);
    expect(next).toBeLessThanOrEqual(20_000);
  });

  test('waits a while after a failure', async () => {
    const schedule = await Schedule.open(directory, clock);
    schedule.update(orders(1));
    await schedule.began();
    schedule.failed();
    await clock.advance(5_000);
    expect(schedule.due()?.inMs).toBeGreaterThan(20_000);
  });
});
