import { expect, it } from 'vitest';
import { keptBack } from './kept-back.ts';

const MIB = 1024 * 1024;

/** How far ahead of what is given out steps are announced: after each block, both counts. */
async function ahead(steps: number, bytes: number) {
  let announced: number[] = [];
  const given: number[] = [];
  const lead: number[] = [];
  const all = (async function* () {
    for (let step = 0; step < steps; step++) yield step;
  })();
  const announce = (block: readonly number[]) => {
    announced = [...announced, ...block];
  };
  for await (const block of keptBack(all, () => bytes, announce)) {
    lead.push(announced.length - given.length);
    given.push(...block);
  }
  return { announced, given, lead };
}

const upTo = (count: number) => Array.from({ length: count }, (_, nth) => nth);

it.each([0, 1, 2048, 2049, 50_000])(
  'announces each step once, and gives it out once, in order: %i',
  async (count) => {
    const { announced, given } = await ahead(count, 1);
    expect(announced).toEqual(upTo(count));
    expect(given).toEqual(upTo(count));
  },
);

it('announces many steps before it gives out the first, and keeps as many ahead', async () => {
  const { lead } = await ahead(50_000, 1);
  const steady = lead.slice(0, -40);
  expect(Math.min(...steady)).toBeGreaterThan(16_384);
  expect(Math.max(...lead)).toBeLessThanOrEqual(16_384 + 2048);
});

it('keeps no more than a gigabyte back, whatever the files are', async () => {
  const { given, lead } = await ahead(200, 100 * MIB);
  expect(given).toEqual(upTo(200));
  expect(Math.max(...lead) * 100).toBeLessThanOrEqual(1024 + 400);
  expect((await ahead(3, 5000 * MIB)).given).toEqual([0, 1, 2]);
});
