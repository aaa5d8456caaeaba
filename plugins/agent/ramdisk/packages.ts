/** Debian packages for the ramdisk: resolved and downloaded by apt, verified, unpacked; never installed or run. */

import { createHash, randomUUID } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Log, OverdubError } from '@overdub/core';
import { run } from './command.ts';

const APT = { program: 'apt-get', package: 'apt' } as const;
const DPKG_DEB = { program: 'dpkg-deb', package: 'dpkg' } as const;
/** Packages the host itself downloaded before; looked at first, trusted by digest only. */
const HOST_ARCHIVES = '/var/cache/apt/archives';
const HOST_LISTS = '/var/lib/apt/lists';

/** One package of a resolved closure. `sha256` comes from the archive's signed index. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface PackageRequest {
  /** dpkg's name of the architecture; need not be the host's own, nor one that dpkg was told of. */
  readonly debian: 'amd64' | 'arm64';
  /** Private apt state, indexes and downloaded packages live here and are reused. */
  readonly cacheDir: string;
  /** Take versions of this release among the host's own sources, e.g. `bookworm-backports`. */
  readonly suite?: string;
  /** Fetch fresh indexes even when there are some. */
  readonly refresh?: boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Resolves `names` with all their dependencies against the host's apt sources and trust, as if nothing were
 * installed. Sorted by name. Every digest is from an index whose signature apt has verified.
 * `alternatives` are groups of which the first known name is taken.
 */
export async function resolvePackages(
  names: readonly string[],
  alternatives: readonly (readonly string[])[],
  request: PackageRequest,
): Promise<DebianPackage[]> {
  const apt = await privateApt(request);
  const own = { ...apt, lists: join(apt.root, 'lists') };
  const refreshFirst = request.refresh || !(await hasIndexes(apt.lists, request.debian));
  if (refreshFirst) await update(own, request);
  try {
    return await resolveNow(refreshFirst ? own : apt, names, alternatives, request);
  } catch (error) {
    if (request.signal.aborted || error instanceof OverdubError) throw error;
    if (refreshFirst) throw unresolved(error, request);
    request.log.info({ reason: message(error) }, 'package indexes are stale');
  }
  await update(own, request);
  return resolveNow(own, names, alternatives, request).catch((error) => {
    throw unresolved(error, request);
  });
}

interface PrivateApt {
  readonly root: string;
  readonly lists: string;
  readonly suite: string | undefined;
  readonly debian: string;
}

async function privateApt({ cacheDir, suite, debian }: PackageRequest): Promise<PrivateApt> {
  const root = join(cacheDir, debian === 'amd64' ? 'apt' : `apt-${debian}`);
  const own = join(root, 'lists');
  await mkdir(join(own, 'partial'), { recursive: true });
  await mkdir(join(root, 'archives'), { recursive: true });
  await mkdir(join(root, 'none', 'partial'), { recursive: true });
  await writeFile(join(root, 'status'), '');
  const lists = (await hasIndexes(own, debian)) || !(await hasIndexes(HOST_LISTS, debian)) ? own : HOST_LISTS;
  return { root, lists, suite, debian };
}

async function hasIndexes(lists: string, debian: string): Promise<boolean> {
  const names = await readdir(lists).catch(() => []);
  return names.some((name) => /_Packages(\.|$)/.test(name) && name.includes(`binary-${debian}_`));
}

function aptArguments(apt: PrivateApt): string[] {
  const settings = {
    'Dir::State': apt.root,
    'Dir::State::status': join(apt.root, 'status'),
    'Dir::State::lists': apt.lists,
    'Dir::Cache': apt.root,
    // Always empty: apt prints nothing for packages it finds there.
    'Dir::Cache::archives': join(apt.root, 'none'),
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'APT::Install-Recommends': 'false',
    'APT::Architecture': apt.debian,
    // Without it apt also asks dpkg, for architectures that no package is wanted of.
    'APT::Architectures': apt.debian,
    'APT::Sandbox::User': 'root',
    'Acquire::ForceHash': 'SHA256',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'Debug::NoLocking': 'true',
    ...(apt.suite === undefined ? {} : { 'APT::Default-Release': apt.suite }),
  };
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}

async function update(apt: PrivateApt, { log, signal }: PackageRequest): Promise<void> {
  log.info({ lists: apt.lists }, 'fetching package indexes');
  // A third party's source that is down must not stop a build that takes nothing from it: resolving tells.
  await run(APT, [...aptArguments(apt), 'update'], { signal }).catch((error) => {
    if (error instanceof OverdubError || signal.aborted) throw error;
    log.warn({ reason: message(error) }, 'some package indexes could not be fetched');
  });
}

async function resolveNow(
  apt: PrivateApt,
  names: readonly string[],
  alternatives: readonly (readonly string[])[],
  { signal }: PackageRequest,
): Promise<DebianPackage[]> {
  const attempt = async (wanted: readonly string[]) =>
    parsePrintedUris(
      (
        await run(APT, [...aptArguments(apt), '-qq', '-y', '--print-uris', 'install', ...wanted], { signal })
      ).toString(),
    );
  const [first, ...rest] = combinations(alternatives);
  let failure: unknown;
  for (const choice of [first ?? [], ...rest]) {
    try {
      return await attempt([...names, ...choice]);
    } catch (error) {
      if (error instanceof OverdubError || signal.aborted) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

function combinations(alternatives: readonly (readonly string[])[]): string[][] {
  return alternatives.reduce<string[][]>(
    (sets, group) => group.flatMap((name) => sets.map((set) => [...set, name])),
    [[]],
  );
}

/** Parses `apt-get --print-uris`: `'URI' FILE BYTES SHA256:HEX`. A line without a SHA-256 is refused. */
export function parsePrintedUris(output: string): DebianPackage[] {
  const lines = output.split('\n').filter((line) => line.startsWith("'"));
  const packages = lines.map((line) => {
    const match = /^'[^']+' (\S+\.deb) (\d+) SHA256:([0-9a-f]{64})$/.exec(line.trim());
    const [, file, bytes, sha256] = match ?? [];
    const [name, version] = (file ?? '').split('_');
    if (!file || !bytes || !sha256 || !name || !version) throw new Error(`apt names no SHA-256 in: ${line}`);
    return { name, version: decodeURIComponent(version), file, bytes: Number(bytes), sha256 };
  });
  return packages.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Downloads what is not in the cache yet and checks every digest. Returns the path of each package's file. */
export async function downloadPackages(
  packages: readonly DebianPackage[],
  request: PackageRequest,
): Promise<Map<string, string>> {
  const apt = await privateApt(request);
  const archives = join(apt.root, 'archives');
  const missing: DebianPackage[] = [];
  for (const item of packages) if (!(await inCache(item, archives))) missing.push(item);
  if (missing.length > 0) {
    const bytes = missing.reduce((sum, item) => sum + item.bytes, 0);
    request.log.info({ packages: missing.length, bytes }, 'downloading packages');
    await downloadMissing(missing, archives, aptArguments(apt), request.signal);
  }
  return new Map(packages.map((item) => [item.name, join(archives, item.file)]));
}

/** Into a directory of its own first, so that builds at the same time never see each other's half files. */
async function downloadMissing(
  missing: readonly DebianPackage[],
  archives: string,
  aptOptions: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const fresh = await mkdtemp(join(archives, 'fetch-'));
  const exact = missing.map(({ name, version }) => `${name}=${version}`);
  try {
    // apt-get download writes into its working directory.
    await run(APT, [...aptOptions, '-q', 'download', ...exact], { signal, cwd: fresh });
    for (const item of missing) {
      if (!(await matches(join(fresh, item.file), item))) throw damaged(item);
      await rename(join(fresh, item.file), join(archives, item.file));
    }
  } catch (cause) {
    if (cause instanceof OverdubError || signal.aborted) throw cause;
    throw new OverdubError(
      'PREREQUISITE_MISSING',
      `Debian packages for the ramdisk could not be downloaded: ${message(cause)}`,
      'Check the network and the host’s apt sources, then run `overdub ramdisk build --refresh`.',
      { cause },
    );
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function inCache(item: DebianPackage, archives: string): Promise<boolean> {
  const path = join(archives, item.file);
  if (await matches(path, item)) return true;
  const host = join(HOST_ARCHIVES, item.file);
  if (!(await matches(host, item))) return false;
  const copy = `${path}.${randomUUID()}`;
  await copyFile(host, copy);
  await rename(copy, path);
  return matches(path, item);
}

async function matches(path: string, item: DebianPackage): Promise<boolean> {
  const content = await readFile(path).catch(() => undefined);
  if (content?.length !== item.bytes) return false;
  return createHash('sha256').update(content).digest('hex') === item.sha256;
}

/** Unpacks a package's files below `directory`; no maintainer script runs. */
export async function unpackPackage(deb: string, directory: string, signal: AbortSignal): Promise<void> {
  await mkdir(directory, { recursive: true });
  await run(DPKG_DEB, ['--extract', deb, directory], { signal });
}

function unresolved(cause: unknown, { debian }: PackageRequest): OverdubError {
  if (cause instanceof OverdubError) return cause;
  return new OverdubError(
    'PREREQUISITE_MISSING',
    `The ${debian} packages of the ramdisk cannot be resolved from this host’s apt sources: ${message(cause)}`,
    'On Debian the sources need `main`, on Ubuntu `main universe`; a source with `[arch=…]` (Architectures:) counts for ' +
      'those only, and Ubuntu’s arm64 has a mirror of its own (ports.ubuntu.com). Then build again with --refresh.',
    { cause },
  );
}

function damaged(item: DebianPackage): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    `${item.file} does not match the digest in the signed package index; it was not used.`,
    'Run `overdub ramdisk build --refresh`; if it stays, the mirror is damaged.',
  );
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
