import type { TokenInfo } from '../contracts/control.ts';
import type { CatalogueDatabase } from './schema.ts';
import { hashSecret } from './secrets.ts';

/** API tokens; the secret itself is never stored. */
export interface TokenRecords {
  list(): Promise<TokenInfo[]>;
  add(token: TokenInfo, secret: string): Promise<void>;
  bySecret(secret: string): Promise<TokenInfo | undefined>;
  /** False when there was none. */
  remove(id: string): Promise<boolean>;
}

export function tokenRecords(db: CatalogueDatabase): TokenRecords {
  return {
    async list() {
      const rows = await db.selectFrom('tokens').select('record').orderBy('id').execute();
      return rows.map((row) => JSON.parse(row.record) as TokenInfo);
    },
    async add(token, secret) {
      await db
        .insertInto('tokens')
        .values({ id: token.id, hash: hashSecret(secret), record: JSON.stringify(token) })
        .execute();
    },
    async bySecret(secret) {
      const row = await db
        .selectFrom('tokens')
        .select('record')
        .where('hash', '=', hashSecret(secret))
        .executeTakeFirst();
      return row === undefined ? undefined : (JSON.parse(row.record) as TokenInfo);
    },
    async remove(id) {
      const result = await db.deleteFrom('tokens').where('id', '=', id).executeTakeFirst();
      return result.numDeletedRows > 0n;
    },
  };
}
