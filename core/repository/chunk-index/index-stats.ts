import type { DatabaseSync } from 'node:sqlite';
import type { RepositoryStats } from '../../contracts/repository.ts';

/** Chunks, bytes and packs by what the index says of them. */
export function statsOf(database: DatabaseSync): RepositoryStats {
  const packs = database.prepare('SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM packs').get();
  const forms = database
    .prepare(
      `SELECT coalesce(codec, 'whole') AS form, count(*) AS chunks, sum(bytes) AS logical,
         sum(CASE WHEN frame_raw = 0 THEN 0 ELSE 1.0 * frame_stored * payload / frame_raw END) AS stored
       FROM chunks GROUP BY 1 ORDER BY 1`,
    )
    .all();
  const byForm = forms.map(
    (row) =>
      [
        row.form as string,
        {
          chunks: row.chunks as number,
          logicalBytes: row.logical as number,
          storedBytes: Math.round(row.stored as number),
        },
      ] as const,
  );
  return {
    chunks: byForm.reduce((sum, [, form]) => sum + form.chunks, 0),
    logicalBytes: byForm.reduce((sum, [, form]) => sum + form.logicalBytes, 0),
    storedBytes: packs?.bytes as number,
    packs: packs?.n as number,
    byForm: Object.fromEntries(byForm),
  };
}
