import { expect, it } from 'vitest';
import { Queue } from './queue.ts';

it('gives out what was put in, in order, whatever comes between', () => {
  const queue = new Queue<number>();
  expect([queue.first, queue.shift(), queue.length]).toEqual([undefined, undefined, 0]);
  const out: number[] = [];
  let put = 0;
  for (let round = 0; round < 200; round++) {
    for (let nth = 0; nth < (round % 7) + 1; nth++) queue.push(put++);
    for (let nth = 0; nth < (round % 5) + 1 && queue.length > 0; nth++) {
      expect(queue.first).toBe(out.length);
      out.push(queue.shift() as number);
    }
    expect([...queue]).toEqual(Array.from({ length: put - out.length }, (_, nth) => out.length + nth));
  }
  expect(out).toEqual(Array.from({ length: out.length }, (_, nth) => nth));
  queue.clear();
  expect([queue.length, queue.first]).toEqual([0, undefined]);
  queue.push(1);
  expect(queue.shift()).toBe(1);
});
