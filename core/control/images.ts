/** Looking into images: differences, one file's history, one file's bytes. */

import type { ApplianceControl, LogEntry } from '../contracts/control.ts';
import type { Entry, ManifestRef } from '../domain/manifest.ts';
import { formatMaster } from '../domain/master.ts';
import { OverdubError } from '../errors.ts';
import { findMaster } from '../operations/images.ts';
import { compareEntries, diffManifests } from '../operations/manifest-diff.ts';
import type { ControlDeps } from './deps.ts';
import { parseMaster } from './masters.ts';
import { findSnapshot, imagePath } from './snapshots.ts';

type ImageControl = Pick<ApplianceControl, 'resolveImage' | 'diff' | 'log' | 'readFile' | 'listFiles'>;

export function imageControl(deps: ControlDeps): ImageControl {
  const { repository } = deps;
  const resolve = (ref: string) => resolveImage(deps, ref);
  return {
    resolveImage: resolve,
    async *diff(from, to) {
      const [before, after] = [await resolve(from), await resolve(to)];
      if (before.manifest.root === after.manifest.root) return;
      yield* diffManifests(repository.readManifest(before.manifest), repository.readManifest(after.manifest));
    },
    log: (server, path) => fileLog(deps, server, imagePath(path)),
    async readFile(ref, path) {
      const { manifest, label } = await resolve(ref);
      const entry = await findFile(repository, manifest, imagePath(path), label);
      return { entry, content: repository.readContent(contentOf(entry)) };
    },
    async *listFiles(ref, under) {
      const { manifest } = await resolve(ref);
      const top = under === undefined ? '' : imagePath(under);
      yield* repository.readManifest(manifest, top === '' ? {} : { under: top });
    },
  };
}

/** `web-1@12:45Z` is a server's snapshot, `web@3` and `web` are masters. A server's name wins over a master's. */
async function resolveImage(
  deps: ControlDeps,
  ref: string,
): Promise<{ manifest: ManifestRef; label: string }> {
  const at = ref.indexOf('@');
  const name = at < 0 ? ref : ref.slice(0, at);
  if ((await deps.catalogue.servers.get(name)) !== undefined) {
    const snapshot = await findSnapshot(deps, name, at < 0 ? 'latest' : ref.slice(at + 1));
    return { manifest: snapshot.manifest, label: `${name}@${snapshot.id}` };
  }
  const master = await findMaster(deps.repository, parseMaster(ref));
  return { manifest: master.manifest, label: formatMaster(master) };
}

async function* fileLog(
  { repository, servers }: ControlDeps,
  server: string,
  path: string,
): AsyncGenerator<LogEntry> {
  await servers.get(server);
  let before: Entry | undefined;
  for (const snapshot of await repository.listSnapshots(server)) {
    const after = await findEntry(repository, snapshot.manifest, path);
    const change = changeOf(before, after);
    if (change !== undefined) yield { snapshot, change, ...(after === undefined ? {} : { after }) };
    before = after;
  }
}

function changeOf(before: Entry | undefined, after: Entry | undefined): LogEntry['change'] | undefined {
  if (before === undefined) return after === undefined ? undefined : 'added';
  return after === undefined ? 'removed' : compareEntries(before, after);
}

async function findEntry(
  repository: ControlDeps['repository'],
  manifest: ManifestRef,
  path: string,
): Promise<Entry | undefined> {
  for await (const entry of repository.readManifest(manifest, { under: path })) {
    if (entry.path === path) return entry;
  }
  return undefined;
}

/** A hard link leads to the entry that holds the content. NOT_FOUND; INPUT_INVALID for what has no bytes. */
async function findFile(
  repository: ControlDeps['repository'],
  manifest: ManifestRef,
  path: string,
  label: string,
): Promise<Entry> {
  const named = await findEntry(repository, manifest, path);
  if (named === undefined) {
    throw new OverdubError(
      'NOT_FOUND',
      `${label} has no /${path}.`,
      'Look which files it has, or in which snapshots this one was: overdub log SERVER PATH.',
    );
  }
  const first =
    named.type === 'hardlink' ? await findEntry(repository, manifest, named.target ?? '') : undefined;
  const entry = first ?? named;
  if (entry.type === 'file') return entry;
  const leads = entry.type === 'symlink' ? ` to ${entry.target}` : '';
  throw new OverdubError(
    'INPUT_INVALID',
    `/${path} in ${label} is a ${entry.type}${leads}, not a file.`,
    entry.type === 'symlink' ? 'Ask for the file it leads to.' : 'Name a file.',
  );
}

function contentOf(entry: Entry): NonNullable<Entry['content']> {
  if (entry.content !== undefined) return entry.content;
  throw new OverdubError(
    'REPOSITORY_DAMAGED',
    `The file ${entry.path} has no content on record.`,
    'Verify the repository: overdub verify.',
  );
}
