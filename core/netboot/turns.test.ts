import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

test('so many run at a time, the others in the order they came, whatever became of those before', async () => {
  const turns = new Turns(2);
  const begun: number[] = [];
  const ends = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
  const taken = ends.map(({ promise }, n) =>
    turns.take(async () => {
      begun.push(n);
      await promise;
      return n;
    }),
  );
  const outcome = Promise.allSettled(taken);
  await setImmediate();
  expect(begun).toEqual([0, 1]);
  ends[1]?.reject(new Error('the disk'));
  await setImmediate();
  expect(begun).toEqual([0, 1, 2]);
  for (const { resolve } of ends) resolve();
  expect((await outcome).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ]);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
  // Nothing is left behind: the next has its turn at once.
  await expect(turns.take(async () => 'next')).resolves.toBe('next');
});
