import type { FileStamp } from '@overdub/core/agent';
import { beforeEach, expect, test } from 'vitest';
import { StampsInOrder } from './stamps-in-order.ts';

const stamp = (size: number): FileStamp => ({ size, mtimeNs: '1', ctimeNs: '2', inode: '3', device: '4' });

let told: (readonly [string, number])[];
let stamps: StampsInOrder;
beforeEach(() => {
  told = [];
  stamps = new StampsInOrder((path, { size }) => void told.push([path, size]));
});

test('what is left at once is told at once, unless something before is not left yet', () => {
  stamps.now('a', stamp(1));
  expect(told).toEqual([['a', 1]]);
  stamps.later('b');
  stamps.now('c', stamp(3));
  expect(told).toEqual([['a', 1]]);
  stamps.came(stamp(2));
  expect(told).toEqual([
    ['a', 1],
    ['b', 2],
    ['c', 3],
  ]);
  stamps.now('d', stamp(4));
  expect(told.at(-1)).toEqual(['d', 4]);
});

test('of files that are others by then nothing is told, and those behind them are', () => {
  stamps.later('a');
  stamps.now('b', undefined);
  stamps.later('c');
  stamps.came(undefined);
  stamps.came(stamp(3));
  stamps.now('d', undefined);
  expect(told).toEqual([['c', 3]]);
});

test('of very many, each once and in order', () => {
  let left = 0;
  for (let at = 0; at < 5000; at++) {
    if (at % 3 === 0) stamps.now(`${at}`, stamp(at));
    else stamps.later(`${at}`);
    if (at % 7 === 0) continue;
    for (; left < at - 40; left++) if (left % 3 !== 0) stamps.came(stamp(left));
  }
  for (; left < 5000; left++) if (left % 3 !== 0) stamps.came(stamp(left));
  expect(told).toEqual(Array.from({ length: 5000 }, (_, at) => [`${at}`, at]));
});
