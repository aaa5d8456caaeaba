/**
 * Tables of the catalogue, in types every SQL dialect has. Records are kept whole as JSON in `record`;
 * a column beside it exists only where something is searched, ordered or kept unique.
 */

import type { Kysely } from 'kysely';

export interface CatalogueSchema {
  machines: { id: string; name: string; uuid: string | null; record: string };
  machine_macs: { mac: string; machine_id: string };
  servers: { name: string; record: string };
  tokens: { id: string; hash: string; record: string };
  operations: { id: string; server: string | null; state: string; record: string };
  nonces: { hash: string; machine_id: string; expires_at: number; boot_id: string | null };
  credentials: { hash: string; server: string; generation: number; operation: string };
  settings: { name: string; value: string };
  schema_version: { version: number };
}

export type CatalogueDatabase = Kysely<CatalogueSchema>;
