import { describe, expect, it } from 'vitest';
import { ByteCache } from './byte-cache.ts';

describe('what is kept', () => {
  it('is what was used last, by what it weighs once that is known', async () => {
    const dropped: Promise<string>[] = [];
    const cache = new ByteCache<string>(10, (value) => dropped.push(value));
    const made: string[] = [];
    const get = (key: string, bytes = 1) =>
      cache.get(key, bytes, async () => {
        made.push(key);
        return key;
      });
    for (const key of ['a', 'b', 'c']) await get(key);
    cache.weigh('b', 6);
    await get('a');
    cache.weigh('c', 4);
    expect(await Promise.all(dropped)).toEqual(['b']);
    cache.weigh('b', 100);
    await Promise.all(['a', 'c', 'b'].map((key) => get(key)));
    expect(made).toEqual(['a', 'b', 'c', 'b']);
    cache.weigh('a', 11);
    expect(await Promise.all(dropped)).toEqual(['b', 'a']);
    await get('c');
    expect(made).toHaveLength(4);
  });
});
