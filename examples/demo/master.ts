/** The demo's prototype: a real Debian with nginx, PostgreSQL and OpenSSH, built by mmdebstrap and cached. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const PACKAGES = [
  'systemd',
  'systemd-sysv',
  'udev',
  'kmod',
  'dbus',
  'iproute2',
  'ifupdown',
  'isc-dhcp-client',
  'openssh-server',
  'ca-certificates',
  'nginx-light',
  'postgresql',
  'procps',
  'initramfs-tools',
];

/** Virtual hardware and NVMe only: the smallest there is. `linux-image-amd64` has every driver. */
const KERNEL = 'linux-image-cloud-amd64';

/**
 * Left out of the packages, as every minute of an emulated machine counts: what people read, drivers of desktops, and
 * PostgreSQL's compiler of queries with the LLVM that it is made of (a quarter of the image).
 */
const EXCLUDED = [
  '/usr/share/man/*',
  '/usr/share/doc/*',
  '/usr/share/locale/*',
  '/usr/share/i18n/*',
  ...['sound', 'drivers/gpu', 'drivers/media', 'drivers/infiniband', 'drivers/isdn'].map(
    (directory) => `/lib/modules/*/kernel/${directory}/*`,
  ),
  '/usr/lib/postgresql/*/lib/bitcode/*',
  '/usr/lib/postgresql/*/lib/llvmjit*',
  '/usr/lib/*/libLLVM-*',
  '/usr/lib/*/libz3.so.*',
];

/** A small real package that the demo installs as drift: shipped inside the master, as the lab has no internet. */
const DRIFT_PACKAGE = 'hello';

const PAGE = '<!doctype html><title>web</title><h1>It works: this is the web master.</h1>\n';

export interface DemoMasterOptions {
  /** Debian package of the kernel; default: {@link KERNEL}. */
  readonly kernel?: string;
}

export interface DemoMaster {
  /** Tar of the root filesystem. */
  readonly tar: string;
  /** Private key whose public half may log in as root. */
  readonly sshKey: string;
}

/** Where masters are kept between runs: `$XDG_CACHE_HOME`, else `/var/cache` for root and `~/.cache` for others. */
export function demoCacheDirectory(): string {
  const base =
    process.env.XDG_CACHE_HOME || (process.getuid?.() === 0 ? '/var/cache' : join(homedir(), '.cache'));
  return join(base, 'overdub', 'demo');
}

/** The snapshot hooks that the master carries: the PostgreSQL example. */
export const DEMO_HOOKS: string = resolve(import.meta.dirname, '../hooks/postgresql');

/** Builds the master unless a cached one was made by this very recipe for this release of Debian. */
export async function buildDemoMaster(
  cacheDir: string,
  hooksDir: string,
  log: (line: string) => void,
  { kernel = KERNEL }: DemoMasterOptions = {},
): Promise<DemoMaster> {
  await mkdir(cacheDir, { recursive: true });
  const sshKey = await ensureSshKey(cacheDir);
  const suite = await hostSuite();
  const hooks = await readHooks(hooksDir);
  const recipe = JSON.stringify([
    mmdebstrapArguments('overlay', suite, kernel, 'target'),
    DRIFT_PACKAGE,
    PAGE,
    hooks,
    await readFile(`${sshKey}.pub`, 'utf8'),
  ]);
  const tar = join(cacheDir, `master-${createHash('sha256').update(recipe).digest('hex').slice(0, 16)}.tar`);
  if (existsSync(tar)) return { tar, sshKey };
  log(`building a Debian ${suite} master with nginx and PostgreSQL (once, then cached)`);
  const work = await mkdtemp(join(cacheDir, 'build-'));
  try {
    const overlay = join(work, 'overlay');
    await writeOverlay(overlay, sshKey, hooks);
    const part = join(work, 'master.tar');
    await run('mmdebstrap', mmdebstrapArguments(overlay, suite, kernel, part), { maxBuffer: 64 << 20 });
    await rename(part, tar);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return { tar, sshKey };
}

function mmdebstrapArguments(overlay: string, suite: string, kernel: string, target: string): string[] {
  return [
    '--quiet',
    '--variant=minbase',
    `--mode=${process.getuid?.() === 0 ? 'root' : 'unshare'}`,
    '--format=tar',
    `--include=${[...PACKAGES, kernel].join(',')}`,
    '--aptopt=Acquire::Languages "none"',
    ...EXCLUDED.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
    `--customize-hook=sync-in ${overlay} /`,
    // Without a DHCP server a machine goes on with the lease that it had, after so many seconds instead of 300.
    '--customize-hook=echo "timeout 8;" >> "$1/etc/dhcp/dhclient.conf"',
    '--customize-hook=chroot "$1" chown -R root:root /root /etc/overdub /opt/packages',
    '--customize-hook=chroot "$1" chmod 755 /',
    '--customize-hook=chroot "$1" chmod 700 /root/.ssh',
    suite,
    target,
  ];
}

/** A tree laid over the master: the administrator's key, the page, the snapshot hooks, the drift package. */
async function writeOverlay(overlay: string, sshKey: string, hooks: readonly HookFile[]): Promise<void> {
  await mkdir(join(overlay, 'root/.ssh'), { recursive: true });
  await copyFile(`${sshKey}.pub`, join(overlay, 'root/.ssh/authorized_keys'));
  await mkdir(join(overlay, 'etc/overdub'), { recursive: true });
  await mkdir(join(overlay, 'var/www/html'), { recursive: true });
  await writeFile(join(overlay, 'var/www/html/index.html'), PAGE);
  for (const hook of hooks) {
    const path = join(overlay, 'etc/overdub', hook.path);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, hook.text, { mode: 0o755 });
  }
  const packages = join(overlay, 'opt/packages');
  await mkdir(packages, { recursive: true });
  await run('apt-get', ['download', '-q', DRIFT_PACKAGE], { cwd: packages });
}

interface HookFile {
  /** `pre-snapshot.d/50-postgresql` */
  readonly path: string;
  readonly text: string;
}

/** The snapshot hooks that the demo's server gets: the PostgreSQL example, as a user would copy it. */
async function readHooks(directory: string): Promise<HookFile[]> {
  const found: HookFile[] = [];
  for (const phase of ['pre-snapshot.d', 'post-snapshot.d']) {
    for (const name of (await readdir(join(directory, phase))).sort()) {
      found.push({ path: `${phase}/${name}`, text: await readFile(join(directory, phase, name), 'utf8') });
    }
  }
  return found;
}

async function hostSuite(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8');
  return /^VERSION_CODENAME=(.+)$/m.exec(release)?.[1]?.trim() ?? 'bookworm';
}

async function ensureSshKey(cacheDir: string): Promise<string> {
  const path = join(cacheDir, 'id_ed25519');
  if (!existsSync(path))
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'overdub demo', '-f', path]);
  return path;
}
