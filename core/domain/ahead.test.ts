import { describe, expect, it } from 'vitest';
import { ahead } from './ahead.ts';

async function* counted(made: number[], upTo: number): AsyncGenerator<number> {
  for (let item = 0; item < upTo; item++) {
    made.push(item);
    yield item;
  }
}

const settled = () => new Promise((done) => setImmediate(done));

describe('items that are made ahead', () => {
  it('come in order, so many of them before they are asked for, and no more', async () => {
    const made: number[] = [];
    const items = ahead(counted(made, 10), 2);
    expect((await items.next()).value).toBe(0);
    await settled();
    expect(made).toEqual([0, 1, 2]);
    const rest: number[] = [];
    for await (const item of items) rest.push(item);
    expect(rest).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('fail in their turn', async () => {
    const items = ahead(
      (async function* () {
        yield 1;
        throw new Error('the second');
      })(),
      2,
    );
    expect((await items.next()).value).toBe(1);
    await settled();
    await expect(items.next()).rejects.toThrow('the second');
  });

  it('are made no longer once nobody wants them, and their maker is closed', async () => {
    const made: number[] = [];
    let closed = false;
    const source = (async function* () {
      try {
        yield* counted(made, 100);
      } finally {
        closed = true;
      }
    })();
    for await (const item of ahead(source, 3)) if (item === 4) break;
    expect(closed).toBe(true);
    expect(made.length).toBeLessThan(10);
  });
});
