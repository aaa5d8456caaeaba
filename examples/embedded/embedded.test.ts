import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureServer, follow, withAppliance } from './main.ts';

let state: string;
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'overdub-embedded-'));
});
afterEach(() => rm(state, { recursive: true, force: true }));

test('a server is made once and found again by the next appliance', async () => {
  const first = await withAppliance(state, (appliance) => ensureServer(appliance, 'customer-1'));
  expect(first.schedule?.everySeconds).toBe(3600);
  const second = await withAppliance(state, (appliance) => ensureServer(appliance, 'customer-1'));
  expect(second.identity).toEqual(first.identity);
});

test('two appliances live in one process and share nothing', async () => {
  await withAppliance(join(state, 'a'), async (one) => {
    await withAppliance(join(state, 'b'), async (two) => {
      expect(one.url).not.toBe(two.url);
      await ensureServer(one, 'customer-1');
      expect(await two.control.listServers()).toEqual([]);
    });
  });
});

test('a second appliance on the same state is refused', async () => {
  await withAppliance(state, async () => {
    const second = withAppliance(state, async () => 'started');
    await expect(second).rejects.toMatchObject({ code: 'STATE_LOCKED' });
  });
});

test('following ends with its signal', async () => {
  await withAppliance(state, async (appliance) => {
    const stop = new AbortController();
    const following = follow(appliance, stop.signal, () => {});
    stop.abort();
    await following;
  });
});
