import type { CatalogueDatabase } from './schema.ts';

/** Single values the appliance remembers about itself. */
export interface SettingRecords {
  get(name: string): Promise<string | undefined>;
  set(name: string, value: string): Promise<void>;
}

export function settingRecords(db: CatalogueDatabase): SettingRecords {
  return {
    async get(name) {
      const row = await db.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirst();
      return row?.value;
    },
    async set(name, value) {
      await db
        .insertInto('settings')
        .values({ name, value })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
        .execute();
    },
  };
}
