/** Servers that shall offer everything with their next snapshot: their images lack something. Kept in the catalogue. */

import type { Catalogue } from '../catalogue/catalogue.ts';

const SETTING = 'repair.wanted';

type Needed = Pick<Catalogue, 'settings'>;

async function wanted({ settings }: Needed): Promise<Set<string>> {
  return new Set(JSON.parse((await settings.get(SETTING)) ?? '[]') as string[]);
}

export async function isWanted(catalogue: Needed, server: string): Promise<boolean> {
  return (await wanted(catalogue)).has(server);
}

export async function wantEverything(catalogue: Needed, server: string): Promise<void> {
  const servers = await wanted(catalogue);
  await catalogue.settings.set(SETTING, JSON.stringify([...servers.add(server)]));
}

/** This server has offered everything it has; without a name: nobody is wanted any more. */
export async function forgetWanted(catalogue: Needed, server?: string): Promise<void> {
  const servers = await wanted(catalogue);
  if (servers.size === 0) return;
  if (server === undefined) servers.clear();
  else servers.delete(server);
  await catalogue.settings.set(SETTING, JSON.stringify([...servers]));
}
