/** Damage, for people: which packs, which files of which images. */

import type { DamageReport, RepairReport, VerifyReport } from '../contracts/repository.ts';
import { facts, safe, size, table } from './format.ts';

/** Places that are printed; `--json` has up to a thousand. */
const MAX_LINES = 50;

export function verified(report: VerifyReport): string {
  const { sound, images, packs, readPacks, readChunks, readBytes, damagedPacks } = report;
  const looked = facts([
    ['looked at', `${images} images, ${packs} packs`],
    ['read', readPacks === 0 ? undefined : `${size(readBytes)}: ${readChunks} chunks in ${readPacks} packs`],
    ['damage', sound ? 'none' : summary(report)],
  ]);
  if (sound) return looked;
  const rows = damagedPacks.slice(0, MAX_LINES).map(({ pack, why }) => [pack, safe(why)]);
  const parts = [looked, rows.length === 0 ? '' : table(['pack', 'what is wrong'], rows), damageText(report)];
  return [...parts.filter((part) => part !== ''), 'Repair what machines still have: overdub repair.'].join(
    '\n\n',
  );
}

export function repaired(report: RepairReport): string {
  const { sound, repairedChunks, salvagedPacks, asked, damagedChunks, placesTotal } = report;
  const head = facts([
    ['repaired', `${repairedChunks} chunks`],
    ['salvaged', salvagedPacks === 0 ? undefined : `${salvagedPacks} packs whose index was damaged`],
    ['still damaged', sound ? 'nothing' : `${damagedChunks} chunks, ${placesTotal} files`],
  ]);
  const rows = asked.map(({ server, outcome, why }) => [
    server,
    `${OUTCOMES[outcome]}${why ? `: ${safe(why)}` : ''}`,
  ]);
  const parts = [head, rows.length === 0 ? '' : table(['server', 'asked'], rows), damageText(report)];
  const next = sound
    ? []
    : [
        'What is left comes back when a machine that has it takes its next snapshot, or goes with its snapshots.',
      ];
  return [...parts.filter((part) => part !== ''), ...next].join('\n\n');
}

const OUTCOMES: Readonly<Record<RepairReport['asked'][number]['outcome'], string>> = {
  sent: 'sent what was lacking and it has',
  absent: 'is away; it is asked with its next snapshot',
  failed: 'failed',
};

function summary({ damagedPacksTotal, placesTotal, damagedImages, damagedRecords }: VerifyReport): string {
  const records = damagedRecords.length === 0 ? '' : `, ${damagedRecords.length} commit objects`;
  return `${damagedPacksTotal} packs; ${placesTotal} files in ${damagedImages.length} images${records}`;
}

/** The files that cannot be read, and commit objects; empty when there are none. */
export function damageText({ places, placesTotal, damagedRecords }: DamageReport): string {
  const rows = places
    .slice(0, MAX_LINES)
    .map(({ image, path, what }) => [
      image,
      `/${safe(path)}${what === 'list' ? ' and what follows it' : ''}`,
    ]);
  const more = placesTotal > rows.length ? [`… and ${placesTotal - rows.length} more`] : [];
  const records = damagedRecords.map(({ name, why }) => `${name}: ${safe(why)}`);
  return [...(rows.length === 0 ? [] : [table(['image', 'path'], rows)]), ...more, ...records].join('\n');
}
