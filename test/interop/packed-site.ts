/**
 * A folder far from the checkout with Overdub installed in it from packed tarballs: what `npm run build` and `npm pack`
 * make, unpacked where npm would put it. Needs no network: other packages are linked from the checkout, to each of ours
 * only those that its package.json names.
 */

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const checkout = fileURLToPath(new URL('../..', import.meta.url));
const modules = join(checkout, 'node_modules');

/** What the tests look at in a package.json. */
export interface Package {
  readonly name: string;
  readonly version: string;
  readonly exports?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface PackedSite {
  readonly folder: string;
  readonly packages: readonly Package[];
  /** Paths in a package's tarball. */
  files(name: string): readonly string[];
}

/** Makes it; the caller removes `folder`. `wanted` are other packages that the site itself depends on. */
export async function packedSite(wanted: readonly string[]): Promise<PackedSite> {
  await run(process.execPath, [join(checkout, 'scripts', 'build.mjs')]);
  const folder = await mkdtemp(join(tmpdir(), 'overdub-packed-'));
  const files = new Map<string, readonly string[]>();
  const packages: Package[] = [];
  for (const { filename, name, files: packed } of await pack(folder)) {
    const to = join(folder, 'node_modules', name);
    await unpack(join(folder, filename), to);
    files.set(
      name,
      packed.map(({ path }) => path),
    );
    packages.push(JSON.parse(await readFile(join(to, 'package.json'), 'utf8')));
  }
  await Promise.all(packages.map((one) => linkDependencies(one, join(folder, 'node_modules', one.name))));
  await Promise.all(wanted.map((name) => link(name, folder)));
  await mkdir(join(folder, 'node_modules', '.bin'));
  await symlink('../overdub/bin/overdub.mjs', join(folder, 'node_modules', '.bin', 'overdub'));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'site', type: 'module' }));
  return { folder, packages, files: (name) => files.get(name) ?? [] };
}

interface Tarball {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

async function pack(folder: string): Promise<readonly Tarball[]> {
  const which = ['--workspaces', '--include-workspace-root', '--ignore-scripts'];
  const options = { cwd: checkout, maxBuffer: 1 << 26 };
  const { stdout } = await run('npm', ['pack', ...which, '--json', '--pack-destination', folder], options);
  // npm 12 answers by name, its elders with a list.
  return Object.values(JSON.parse(stdout) as Record<string, Tarball>);
}

/** A tarball of npm holds one folder, `package`. */
async function unpack(tarball: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', to, '--strip-components=1']);
  await rm(tarball);
}

async function linkDependencies(
  { dependencies, optionalDependencies }: Package,
  folder: string,
): Promise<void> {
  const others = Object.keys({ ...dependencies, ...optionalDependencies });
  const installed = await readdir(modules);
  // An optional one for another architecture is not there.
  const foreign = others.filter(
    (name) => !name.startsWith('@overdub/') && installed.includes(name.split('/')[0] as string),
  );
  await Promise.all(foreign.map((name) => link(name, folder)));
}

async function link(name: string, folder: string): Promise<void> {
  const at = join(folder, 'node_modules', name);
  await mkdir(dirname(at), { recursive: true });
  await symlink(join(modules, name), at);
}
