/** Brings a catalogue to this program's schema, forwards only, one transaction a migration. */

import { type Kysely, sql } from 'kysely';
import { OverdubError } from '../errors.ts';
import type { CatalogueDatabase } from './schema.ts';

type Migration = (db: Kysely<unknown>) => Promise<void>;

/** In order; a migration that was released is never edited, only followed. */
const MIGRATIONS: readonly Migration[] = [firstTables];

/** The schema this program writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/** CONFLICT when a newer program wrote this catalogue: it is left as it is. */
export async function migrate(db: CatalogueDatabase): Promise<void> {
  await db.schema
    .createTable('schema_version')
    .ifNotExists()
    .addColumn('version', 'integer', (column) => column.notNull())
    .execute();
  const row = await db.selectFrom('schema_version').select('version').executeTakeFirst();
  const present = row?.version ?? 0;
  if (present > SCHEMA_VERSION) {
    throw new OverdubError(
      'CONFLICT',
      `The state directory was written by a newer Overdub (schema ${present}; this one knows ${SCHEMA_VERSION}).`,
      'Run the newer version again, or start this one with another --state directory.',
    );
  }
  for (let version = present; version < SCHEMA_VERSION; version++) {
    await db.transaction().execute(async (transaction) => {
      await (MIGRATIONS[version] as Migration)(transaction as unknown as Kysely<unknown>);
      await transaction.deleteFrom('schema_version').execute();
      await transaction
        .insertInto('schema_version')
        .values({ version: version + 1 })
        .execute();
    });
  }
}

async function firstTables(db: Kysely<unknown>): Promise<void> {
  const text = (name: string, columns: Record<string, 'key' | 'text' | 'optional' | 'unique' | 'number'>) => {
    let table = db.schema.createTable(name);
    for (const [column, kind] of Object.entries(columns)) {
      table = table.addColumn(column, kind === 'number' ? 'bigint' : sql`text`, (definition) => {
        if (kind === 'key') return definition.primaryKey().notNull();
        if (kind === 'unique') return definition.unique().notNull();
        return kind === 'optional' ? definition : definition.notNull();
      });
    }
    return table.execute();
  };
  await text('machines', { id: 'key', name: 'unique', uuid: 'optional', record: 'text' });
  await text('machine_macs', { mac: 'key', machine_id: 'text' });
  await text('servers', { name: 'key', record: 'text' });
  await text('tokens', { id: 'key', hash: 'unique', record: 'text' });
  await text('operations', { id: 'key', server: 'optional', state: 'text', record: 'text' });
  await text('nonces', { hash: 'key', machine_id: 'text', expires_at: 'number', boot_id: 'optional' });
  await text('credentials', { hash: 'key', server: 'text', generation: 'number', operation: 'text' });
  await text('settings', { name: 'key', value: 'text' });
  await db.schema.createIndex('operations_state').on('operations').column('state').execute();
  await db.schema.createIndex('operations_server').on('operations').column('server').execute();
  await db.schema.createIndex('machines_uuid').on('machines').column('uuid').execute();
}
