import type { CatalogueDatabase } from './schema.ts';
import { hashSecret } from './secrets.ts';

/** Whom an installed agent's credential speaks for: one server, in one generation. */
export interface CredentialInfo {
  readonly server: string;
  readonly generation: number;
  /** The operation that issued it. */
  readonly operation: string;
}

/** Credentials of installed agents, hashed. */
export interface CredentialRecords {
  /** Idempotent. */
  add(secret: string, info: CredentialInfo): Promise<void>;
  bySecret(secret: string): Promise<CredentialInfo | undefined>;
  /** Revokes a server's credentials of this generation that other operations issued. */
  keepOnly(info: CredentialInfo): Promise<void>;
  removeFor(server: string): Promise<void>;
}

export function credentialRecords(db: CatalogueDatabase): CredentialRecords {
  return {
    async add(secret, info) {
      await db
        .insertInto('credentials')
        .values({ hash: hashSecret(secret), ...info })
        .onConflict((conflict) => conflict.column('hash').doNothing())
        .execute();
    },
    async bySecret(secret) {
      return await db
        .selectFrom('credentials')
        .select(['server', 'generation', 'operation'])
        .where('hash', '=', hashSecret(secret))
        .executeTakeFirst();
    },
    async keepOnly({ server, generation, operation }) {
      // Older generations stay known, so that a machine risen from the dead can be told from a stranger.
      await db
        .deleteFrom('credentials')
        .where('server', '=', server)
        .where('generation', '=', generation)
        .where('operation', '!=', operation)
        .execute();
    },
    async removeFor(server) {
      await db.deleteFrom('credentials').where('server', '=', server).execute();
    },
  };
}
