import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PluginContext } from '@overdub/core';
import { expect, it } from 'vitest';
import agentHalf from './agent.ts';
import imagingTree from './index.ts';

it('taps imaging.source and nothing else, and exports the tree imager for machines', async () => {
  const { definition } = imagingTree();
  const taps: ((input: { path: string }) => unknown)[] = [];
  const hooks = {
    imaging: { source: { tap: (handler: (input: { path: string }) => unknown) => taps.push(handler) } },
  };
  definition.apply({ hooks, ensureStateDir: async () => '/nowhere' } as unknown as PluginContext, {});
  expect(taps).toHaveLength(1);
  await expect(taps[0]?.({ path: '/no/such/image' })).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  expect(existsSync(fileURLToPath(definition.agent as URL))).toBe(true);
  expect(agentHalf.imagers?.map(({ kind, disks }) => [kind, disks !== undefined])).toEqual([['tree', true]]);
});
