import { randomBytes } from 'node:crypto';
import type { CatalogueDatabase } from './schema.ts';
import { hashSecret } from './secrets.ts';

/** How long a minted nonce may be exchanged for the first time. */
export const NONCE_LIFETIME_MS = 30 * 60_000;

/**
 * Boot nonces: 256 random bits, hex, stored hashed. The first exchange binds one to the boot that made it; the same
 * boot may repeat the exchange (the appliance was restarted), no other ever can.
 */
export interface NonceRecords {
  mint(machineId: string, nowMs: number): Promise<string>;
  /** The machine it was minted for, or undefined: unknown, used by another boot, or too old. */
  exchange(nonce: string, bootId: string, nowMs: number): Promise<string | undefined>;
  removeFor(machineId: string): Promise<void>;
}

export function nonceRecords(db: CatalogueDatabase): NonceRecords {
  return {
    async mint(machineId, nowMs) {
      const nonce = randomBytes(32).toString('hex');
      await db.deleteFrom('nonces').where('boot_id', 'is', null).where('expires_at', '<', nowMs).execute();
      await db
        .insertInto('nonces')
        .values({
          hash: hashSecret(nonce),
          machine_id: machineId,
          expires_at: nowMs + NONCE_LIFETIME_MS,
          boot_id: null,
        })
        .execute();
      return nonce;
    },
    exchange: (nonce, bootId, nowMs) =>
      db.transaction().execute(async (transaction) => {
        const hash = hashSecret(nonce);
        const row = await transaction
          .selectFrom('nonces')
          .selectAll()
          .where('hash', '=', hash)
          .executeTakeFirst();
        if (row === undefined) return undefined;
        if (row.boot_id !== null) return row.boot_id === bootId ? row.machine_id : undefined;
        if (row.expires_at < nowMs) return undefined;
        // A machine boots once at a time: what its earlier boots held is worth nothing from now on.
        await transaction
          .deleteFrom('nonces')
          .where('machine_id', '=', row.machine_id)
          .where('boot_id', 'is not', null)
          .execute();
        await transaction.updateTable('nonces').set({ boot_id: bootId }).where('hash', '=', hash).execute();
        return row.machine_id;
      }),
    async removeFor(machineId) {
      await db.deleteFrom('nonces').where('machine_id', '=', machineId).execute();
    },
  };
}
