/** Overdub inside another program: no CLI, no HTTP API of its own, one object to talk to. */

import { type Appliance, createAppliance, type Event, type Server } from '@overdub/core';
import rsync from '@overdub/diff-rsync';
import zstd from '@overdub/diff-zstd';
import storage from '@overdub/storage-local';

/** Runs an appliance below `stateDir` for as long as `work` takes. Two of them may live in one process. */
export async function withAppliance<T>(
  stateDir: string,
  work: (appliance: Appliance) => Promise<T>,
): Promise<T> {
  const appliance = await createAppliance(
    { plugins: [storage(), rsync(), zstd()], http: { host: '127.0.0.1', port: 0 } },
    { stateDir },
  );
  await appliance.start();
  try {
    return await work(appliance);
  } finally {
    await appliance.stop();
  }
}

/** What a product might do: make sure that a customer's server exists, and snapshots itself every hour. */
export async function ensureServer({ control }: Appliance, name: string): Promise<Server> {
  const known = (await control.listServers()).find((server) => server.name === name);
  const schedule = { everySeconds: 3600, jitterSeconds: 300 };
  return known ?? (await control.createServer({ name, schedule }, 'our product'));
}

/** Follows what happens until the signal aborts. */
export async function follow(
  { control }: Appliance,
  signal: AbortSignal,
  tell: (event: Event) => void,
): Promise<void> {
  for await (const event of control.events(signal)) tell(event);
}

if (import.meta.main) {
  const state = process.argv[2] ?? './state';
  const server = await withAppliance(state, (appliance) => ensureServer(appliance, 'customer-1'));
  console.log(`${server.name} is ${server.state}, machine-id ${server.identity.machineId}`);
}
