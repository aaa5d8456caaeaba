import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FRAME, type Frame } from '@overdub/core/agent';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ComingPages } from './coming-pages.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-pages-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const page = (text: string): Frame => ({ type: FRAME.page, payload: Buffer.from(text) });

/** Pages that come as fast as they are taken; how many were. */
function coming(pages: readonly Frame[], failure?: Error) {
  const taken = { count: 0, returned: false };
  const frames = (async function* () {
    try {
      for (const one of pages) {
        taken.count += 1;
        yield one;
      }
      if (failure !== undefined) throw failure;
    } finally {
      taken.returned = true;
    }
  })();
  return { pages: new ComingPages(frames, dir), taken };
}

it('takes all that comes, whoever reads it when, and leaves no name and nothing else behind', async () => {
  const texts = Array.from({ length: 300 }, (_, nth) => `page ${nth} `.repeat(nth + 1));
  const { pages, taken } = coming(texts.map(page));
  expect(Buffer.from(await pages.next()).toString()).toBe(texts[0]);
  for (let before = -1; taken.count !== before; await new Promise((done) => setTimeout(done, 50)))
    before = taken.count;
  expect(taken.count).toBe(300);
  expect(await readdir(dir)).toEqual([]);
  for (const text of texts.slice(1)) expect(Buffer.from(await pages.next()).toString()).toBe(text);
  await expect(pages.next()).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  await pages.close();
});

it('gives out what came before the line broke, and then what it broke with', async () => {
  const { pages } = coming([page('first')], new Error('the line broke'));
  expect(Buffer.from(await pages.next()).toString()).toBe('first');
  await expect(pages.next()).rejects.toThrow('the line broke');
  await pages.close();
});

it('refuses what is no page', async () => {
  const { pages, taken } = coming([
    page('first'),
    { type: FRAME.chunk, payload: Buffer.from('x') },
    page('no'),
  ]);
  await pages.next();
  await expect(pages.next()).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  await pages.close();
  expect(taken.returned).toBe(true);
});

it('is closed while pages come', async () => {
  const { pages, taken } = coming(Array.from({ length: 100_000 }, () => page('and another')));
  await pages.next();
  await pages.close();
  expect(taken.returned).toBe(true);
  expect(taken.count).toBeLessThan(100_000);
});
