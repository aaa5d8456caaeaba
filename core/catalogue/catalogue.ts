/** The catalogue: an index over the repository, plus machines, tokens and operations. */

import { join } from 'node:path';
import { type CredentialRecords, credentialRecords } from './credentials.ts';
import { GroupCommit } from './group-commit.ts';
import { CachedMachines, type MachineRecords } from './machines.ts';
import { migrate } from './migrations.ts';
import { openNodeSqlite, relaxedCommits } from './node-sqlite.ts';
import { type NonceRecords, nonceRecords } from './nonces.ts';
import { type OperationRecords, operationRecords } from './operations.ts';
import type { CatalogueSchema } from './schema.ts';
import { type ServerRecords, serverRecords } from './servers.ts';
import { type SettingRecords, settingRecords } from './settings.ts';
import { unwritable } from './state-directory.ts';
import { type TokenRecords, tokenRecords } from './tokens.ts';

export interface Catalogue {
  readonly machines: MachineRecords;
  readonly servers: ServerRecords;
  readonly tokens: TokenRecords;
  readonly operations: OperationRecords;
  readonly nonces: NonceRecords;
  readonly credentials: CredentialRecords;
  readonly settings: SettingRecords;
  close(): Promise<void>;
}

/** Opens (and makes or upgrades) `catalogue.db` in a state directory. STATE_UNWRITABLE; CONFLICT for a newer schema. */
export async function openCatalogue(stateDir: string): Promise<Catalogue> {
  const db = await openDatabase(stateDir);
  const commits = relaxedCommits(db, join(stateDir, 'catalogue.db'));
  const group = new GroupCommit(commits);
  const machines = new CachedMachines(db, group);
  return {
    machines,
    servers: serverRecords(db),
    tokens: tokenRecords(db),
    operations: operationRecords(db),
    nonces: nonceRecords(group),
    credentials: credentialRecords(db),
    settings: settingRecords(db),
    async close() {
      await group.settle();
      machines.forget();
      await commits.close();
      await db.destroy();
    },
  };
}

async function openDatabase(stateDir: string) {
  try {
    const db = openNodeSqlite<CatalogueSchema>(join(stateDir, 'catalogue.db'));
    await migrate(db).catch(async (error) => {
      await db.destroy();
      throw error;
    });
    return db;
  } catch (error) {
    throw unwritable(stateDir, error);
  }
}
