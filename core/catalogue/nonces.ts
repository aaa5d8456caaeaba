import { randomBytes } from 'node:crypto';
import type { GroupCommit } from './group-commit.ts';
import type { CatalogueDatabase } from './schema.ts';
import { hashSecret } from './secrets.ts';

/** How long a minted nonce may be exchanged for the first time. */
export const NONCE_LIFETIME_MS = 30 * 60_000;
/** How often the expired ones are swept out. */
const SWEEP_MS = 60_000;
/** Held in memory at a time: a flood of requests pushes out the oldest. */
const MOST_HELD = 100_000;

/**
 * Boot nonces: 256 random bits, hex, stored hashed. The first exchange binds one to the boot that made it; the same
 * boot may repeat the exchange (the appliance was restarted), no other ever can.
 */
export interface NonceRecords {
  /**
   * `durable`: resolves when it outlives this process. `held`: at once, in memory until it is exchanged: for those that
   * most boots never use.
   */
  mint(machineId: string, nowMs: number, durability?: 'durable' | 'held'): Promise<string>;
  /** The machine it was minted for, or undefined: unknown, used by another boot, or too old. */
  exchange(nonce: string, bootId: string, nowMs: number): Promise<string | undefined>;
  removeFor(machineId: string): Promise<void>;
}

interface Held {
  readonly machineId: string;
  readonly expiresAt: number;
}

export function nonceRecords(group: GroupCommit): NonceRecords {
  /** By hash, the oldest first. */
  const held = new Map<string, Held>();
  let sweptAt = Number.NEGATIVE_INFINITY;
  const hold = (hash: string, fresh: Held, nowMs: number): void => {
    for (const [old, { expiresAt }] of held) {
      if (expiresAt >= nowMs && held.size < MOST_HELD) break;
      held.delete(old);
    }
    held.set(hash, fresh);
  };
  return {
    async mint(machineId, nowMs, durability = 'durable') {
      const nonce = randomBytes(32).toString('hex');
      const fresh = { machineId, expiresAt: nowMs + NONCE_LIFETIME_MS };
      if (durability === 'held') {
        hold(hashSecret(nonce), fresh, nowMs);
        return nonce;
      }
      const sweep = nowMs - sweptAt >= SWEEP_MS;
      if (sweep) sweptAt = nowMs;
      await group.now(async (transaction) => {
        if (sweep) await removeExpired(transaction, nowMs);
        await insert(transaction, hashSecret(nonce), fresh);
      });
      return nonce;
    },
    async exchange(nonce, bootId, nowMs) {
      const hash = hashSecret(nonce);
      const machineId = await group.now(async (transaction) => {
        const fresh = held.get(hash);
        if (fresh !== undefined) await insert(transaction, hash, fresh);
        return exchange(transaction, hash, bootId, nowMs);
      });
      held.delete(hash);
      return machineId;
    },
    async removeFor(machineId) {
      for (const [hash, each] of held) if (each.machineId === machineId) held.delete(hash);
      await group.now(async (transaction) => {
        await transaction.deleteFrom('nonces').where('machine_id', '=', machineId).execute();
      });
    },
  };
}

async function insert(db: CatalogueDatabase, hash: string, { machineId, expiresAt }: Held): Promise<void> {
  await db
    .insertInto('nonces')
    .values({ hash, machine_id: machineId, expires_at: expiresAt, boot_id: null })
    .onConflict((conflict) => conflict.column('hash').doNothing())
    .execute();
}

async function removeExpired(db: CatalogueDatabase, nowMs: number): Promise<void> {
  await db.deleteFrom('nonces').where('boot_id', 'is', null).where('expires_at', '<', nowMs).execute();
}

async function exchange(
  db: CatalogueDatabase,
  hash: string,
  bootId: string,
  nowMs: number,
): Promise<string | undefined> {
  const row = await db.selectFrom('nonces').selectAll().where('hash', '=', hash).executeTakeFirst();
  if (row === undefined) return undefined;
  if (row.boot_id !== null) return row.boot_id === bootId ? row.machine_id : undefined;
  if (row.expires_at < nowMs) return undefined;
  // A machine boots once at a time: what its earlier boots held is worth nothing from now on.
  await db
    .deleteFrom('nonces')
    .where('machine_id', '=', row.machine_id)
    .where('boot_id', 'is not', null)
    .execute();
  await db.updateTable('nonces').set({ boot_id: bootId }).where('hash', '=', hash).execute();
  return row.machine_id;
}
