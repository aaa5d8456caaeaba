import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ShortTurns } from './short-turns.ts';

/** Computes for so long, as handling packets does. */
function busy(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

test('what others have to do comes in between, and all is done in the order given', async () => {
  const turns = new ShortTurns(5);
  const done: number[] = [];
  for (let n = 0; n < 20; n++) {
    turns.run(() => {
      busy(2);
      done.push(n);
    });
  }
  // As many as fit into 5 ms ran at once: three at most.
  expect(done[0]).toBe(0);
  expect(done.length).toBeLessThanOrEqual(3);
  let others = 0;
  for (; done.length < 20; others++) {
    const before = done.length;
    await nextTurn();
    expect(done.length - before).toBeLessThanOrEqual(3);
    expect(others).toBeLessThan(40);
  }
  expect(others).toBeGreaterThanOrEqual(6);
  expect(done).toEqual(Array.from({ length: 20 }, (_, n) => n));
});

test('work that comes while a turn is under way joins at the end', async () => {
  const turns = new ShortTurns(1);
  const done: string[] = [];
  turns.run(() => busy(2));
  turns.run(() => {
    done.push('first');
    turns.run(() => done.push('from the first'));
  });
  turns.run(() => done.push('second'));
  expect(done).toEqual([]);
  for (let turn = 0; turn < 5; turn++) await nextTurn();
  expect(done).toEqual(['first', 'second', 'from the first']);
});

test('what waits when it is closed is forgotten, also by a turn that closes it', async () => {
  const turns = new ShortTurns(1);
  const done: string[] = [];
  turns.run(() => busy(2));
  turns.run(() => {
    done.push('closes');
    turns.close();
    busy(2);
  });
  turns.run(() => done.push('late'));
  for (let turn = 0; turn < 5; turn++) await nextTurn();
  expect(done).toEqual(['closes']);
});
