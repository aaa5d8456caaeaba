/** Files out of npm packages that are meant for another processor, so that `npm ci` has left them out. */

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Log, OverdubError } from '@overdub/core';
import { run } from './command.ts';

const NPM = { program: 'npm', package: 'npm' } as const;
const TAR = { program: 'tar', package: 'tar' } as const;

export interface NpmRequest {
  /** Fetched packages are kept in its folder `npm`, and checked at each use. */
  readonly cacheDir: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The version and digest that `package-lock.json` pins a package to. */
export interface Pin {
  readonly version: string;
  /** Subresource Integrity: `sha512-` and Base64. */
  readonly integrity: string;
}

/**
 * These files of a package, in their order: from `node_modules` where it is installed, else from the registry that npm
 * is set to, at the version and with the digest that `package-lock.json` pins. No script of the package runs.
 * @throws PREREQUISITE_MISSING when it can be had from neither; IMAGE_INVALID when what came is something else
 */
export async function npmPackageFiles(
  name: string,
  paths: readonly string[],
  request: NpmRequest,
): Promise<Buffer[]> {
  const installed = installedPackage(name);
  if (installed !== undefined) {
    return Promise.all(paths.map((path) => readFile(join(installed, path)).catch(unavailable(name))));
  }
  const archive = await pinnedArchive(name, await pinOf(name, import.meta.dirname), request);
  const extract = (path: string) =>
    run(TAR, ['-xzOf', archive, `package/${path}`], { signal: request.signal });
  const files: Buffer[] = [];
  for (const path of paths) files.push(await extract(path).catch(unavailable(name)));
  return files;
}

function installedPackage(name: string): string | undefined {
  try {
    return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
  } catch {
    return undefined; // Not for this processor, or left out: the caller fetches it.
  }
}

/** What the nearest `package-lock.json` at or above `from` pins `name` to. */
export async function pinOf(name: string, from: string): Promise<Pin> {
  for (let dir = from; ; dir = dirname(dir)) {
    const text = await readFile(join(dir, 'package-lock.json'), 'utf8').catch(() => undefined);
    const pin = text === undefined ? undefined : pinIn(text, name);
    if (pin !== undefined) return pin;
    if (dirname(dir) === dir) return unavailable(name)(new Error('no package-lock.json pins it'));
  }
}

function pinIn(lockfile: string, name: string): Pin | undefined {
  const { packages } = JSON.parse(lockfile) as { readonly packages?: Readonly<Record<string, Partial<Pin>>> };
  const { version, integrity } = packages?.[`node_modules/${name}`] ?? {};
  return version === undefined || !integrity?.startsWith('sha512-') ? undefined : { version, integrity };
}

async function pinnedArchive(name: string, pin: Pin, request: NpmRequest): Promise<string> {
  const directory = join(request.cacheDir, 'npm');
  const archive = join(directory, `${name.replace('/', '+')}-${pin.version}.tgz`);
  if (await isPinned(archive, pin)) return archive;
  request.log.info({ package: name, version: pin.version }, 'fetching from the npm registry');
  await mkdir(directory, { recursive: true });
  const fresh = await mkdtemp(join(directory, 'fetch-'));
  try {
    const spec = `${name}@${pin.version}`;
    await run(NPM, ['pack', spec, '--ignore-scripts', '--silent', '--pack-destination', fresh], {
      signal: request.signal,
      cwd: fresh,
    }).catch((error) => {
      if (request.signal.aborted) throw error;
      return unavailable(name)(error);
    });
    const [file = ''] = (await readdir(fresh)).filter((entry) => entry.endsWith('.tgz'));
    if (!(await isPinned(join(fresh, file), pin))) throw damaged(spec);
    await rename(join(fresh, file), archive);
    return archive;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Whether a file is the very archive that was pinned. */
export async function isPinned(archive: string, { integrity }: Pin): Promise<boolean> {
  const content = await readFile(archive).catch(() => undefined);
  if (content === undefined) return false;
  return `sha512-${createHash('sha512').update(content).digest('base64')}` === integrity;
}

function unavailable(name: string): (cause: unknown) => never {
  return (cause) => {
    if (cause instanceof OverdubError) throw cause;
    throw new OverdubError(
      'PREREQUISITE_MISSING',
      `The npm package ${name}, of which the ramdisk needs files, cannot be had: ${cause instanceof Error ? cause.message : String(cause)}`,
      `Run \`npm ci\` without --omit=optional; where npm leaves it out for its processor, let npm reach its registry, or run \`npm install --no-save --force ${name}\`.`,
      { cause },
    );
  };
}

function damaged(spec: string): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    `${spec} does not match the digest in package-lock.json; it was not used.`,
    'Check which registry npm is set to (`npm config get registry`), then build again.',
  );
}
