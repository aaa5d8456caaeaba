import type { DatabaseSync } from 'node:sqlite';
import { splitDigests, UNRESOLVED_DEPTH } from './chunk-rows.ts';

/** See {@link ChunkIndex.resolveDepths}; within a transaction of the caller's. */
export function resolveDepths(database: DatabaseSync): number {
  database.exec(`UPDATE chunks SET depth = ${UNRESOLVED_DEPTH} WHERE bases IS NOT NULL`);
  for (let depth = 1; depth < UNRESOLVED_DEPTH && resolveAt(database, depth) > 0; depth++);
  return Number(database.prepare('DELETE FROM chunks WHERE depth = ?').run(UNRESOLVED_DEPTH).changes);
}

/** Gives this depth to deltas whose bases all have less. Returns how many. */
function resolveAt(database: DatabaseSync, depth: number): number {
  const depthOf = database.prepare('SELECT depth FROM chunks WHERE digest = ?');
  const unresolved = database.prepare('SELECT digest, bases FROM chunks WHERE depth = ?');
  const ready: Uint8Array[] = [];
  for (const row of unresolved.iterate(UNRESOLVED_DEPTH)) {
    const bases = splitDigests(row.bases as Uint8Array);
    const known = bases.every((base) => Number(depthOf.get(base)?.depth ?? UNRESOLVED_DEPTH) < depth);
    if (known) ready.push(row.digest as Uint8Array);
  }
  const set = database.prepare('UPDATE chunks SET depth = ? WHERE digest = ?');
  for (const digest of ready) set.run(depth, digest);
  return ready.length;
}
