/** What a repository holds, for people. */

import type { OwnerUsage, RepositoryUsage } from '../contracts/repository.ts';
import { facts, size, table } from './format.ts';

export function usageText(usage: RepositoryUsage): string {
  const { snapshots, masters, logicalBytes, uniqueBytes, storedBytes, packBytes, packs, chunks } = usage;
  const head = facts([
    ['images', `${snapshots} snapshots, ${masters} masters`],
    ['logical', size(logicalBytes)],
    ['unique', `${size(uniqueBytes)} in ${chunks} chunks`],
    ['stored', `${size(storedBytes)}${ratio(logicalBytes, storedBytes)}`],
    ['packs', `${size(packBytes)} in ${packs} packs`],
    ['dead packs', size(usage.deadBytes)],
    ['gc would free', size(usage.reclaimableBytes)],
    ['unreadable', usage.unreadableImages === 0 ? undefined : 'some images are damaged: overdub verify'],
  ]);
  const forms = Object.entries(usage.byForm).map(([form, sum]) => [
    form,
    sum.chunks,
    size(sum.logicalBytes),
    size(sum.storedBytes),
  ]);
  return [
    head,
    table(['form', 'chunks', 'unique', 'stored'], forms, 'Nothing is stored yet.'),
    ...owners('server', 'snapshots', usage.byServer),
    ...owners('master', 'versions', usage.byMaster),
  ].join('\n\n');
}

function owners(kind: string, images: string, usages: readonly OwnerUsage[]): string[] {
  if (usages.length === 0) return [];
  const rows = usages.map((one) => [
    one.name,
    one.images,
    size(one.logicalBytes),
    size(one.uniqueBytes),
    size(one.ownBytes),
    size(one.shareBytes),
  ]);
  return [table([kind, images, 'logical', 'only its', 'stored for it', 'share'], rows)];
}

function ratio(logicalBytes: number, storedBytes: number): string {
  return storedBytes === 0 ? '' : `, ${(logicalBytes / storedBytes).toFixed(1)} to 1`;
}
