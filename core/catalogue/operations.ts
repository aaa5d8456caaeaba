import type { Operation, OperationState } from '../domain/operation.ts';
import type { CatalogueDatabase } from './schema.ts';

const OPEN: readonly OperationState[] = ['queued', 'running', 'waiting'];

/** Operations, open and ended: the audit log. Ids sort by time. */
export interface OperationRecords {
  get(id: string): Promise<Operation | undefined>;
  /** Newest first. */
  list(filter?: { server?: string; state?: OperationState; limit?: number }): Promise<Operation[]>;
  /** Those that have not ended, oldest first. */
  listOpen(): Promise<Operation[]>;
  /** Durable when it resolves. */
  save(operation: Operation): Promise<void>;
}

export function operationRecords(db: CatalogueDatabase): OperationRecords {
  const parse = (rows: { record: string }[]) => rows.map((row) => JSON.parse(row.record) as Operation);
  return {
    async get(id) {
      return parse(await db.selectFrom('operations').select('record').where('id', '=', id).execute())[0];
    },
    async list(filter = {}) {
      let query = db.selectFrom('operations').select('record').orderBy('id', 'desc');
      if (filter.server !== undefined) query = query.where('server', '=', filter.server);
      if (filter.state !== undefined) query = query.where('state', '=', filter.state);
      return parse(await query.limit(filter.limit ?? 1000).execute());
    },
    async listOpen() {
      return parse(
        await db.selectFrom('operations').select('record').where('state', 'in', OPEN).orderBy('id').execute(),
      );
    },
    async save(operation) {
      const row = {
        server: operation.server ?? null,
        state: operation.state,
        record: JSON.stringify(operation),
      };
      await db
        .insertInto('operations')
        .values({ id: operation.id, ...row })
        .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
        .execute();
    },
  };
}
